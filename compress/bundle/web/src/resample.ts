/**
 * Resampling slices, axis by axis: `compress/data/resample.py` in JavaScript, in its order of operations.
 * Cubic B-splines follow Unser, Aldroubi and Eden, IEEE TPAMI 13(3):277-285, 1991.
 */

const PAD = 12;
const POLE = Math.sqrt(3) - 2;

/** A half-open range of indices along one axis. */
export interface Part {
  start: number;
  stop: number;
}

export type Size = [rows: number, columns: number];

/** The window (rows, columns) of one slice resampled to `shape` by cubic splines, within the range of the slice. */
export function cubic(image: Float32Array, size: Size, shape: Size, window: [Part, Part]): Float32Array {
  const [height, width] = size;
  const [rows, columns] = window;
  const tall = rows.stop - rows.start;
  const wide = columns.stop - columns.start;
  if (height === shape[0] && width === shape[1]) return cut(image, width, rows, columns);
  const down = along(image, height, width, shape[0], rows); // (tall, width)
  const across = along(transpose(down, tall, width), width, tall, shape[1], columns); // (wide, tall)
  const [low, high] = range(image);
  const found = new Float32Array(tall * wide);
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < wide; x++) found[y * wide + x] = Math.min(Math.max(across[x * tall + y]!, low), high);
  }
  return found;
}

/** Planes (C, Y, X) resampled to `shape` by linear interpolation, pixel edges aligned. */
export function linear(planes: Float32Array, count: number, size: Size, shape: Size): Float32Array {
  const [height, width] = size;
  if (height === shape[0] && width === shape[1]) return planes;
  const rows = taps(height, shape[0]);
  const columns = taps(width, shape[1]);
  const found = new Float32Array(count * shape[0] * shape[1]);
  const row = new Float32Array(width);
  for (let c = 0; c < count; c++) {
    for (let y = 0; y < shape[0]; y++) {
      const above = (c * height + rows.first[y]!) * width;
      const below = (c * height + rows.second[y]!) * width;
      mix(row, planes, above, below, rows.share[y]!);
      const start = (c * shape[0] + y) * shape[1];
      for (let x = 0; x < shape[1]; x++) {
        const left = row[columns.first[x]!]!;
        const step = Math.fround(row[columns.second[x]!]! - left);
        found[start + x] = Math.fround(step * columns.share[x]!) + left;
      }
    }
  }
  return found;
}

/** first + (second - first) * share, rounded to float32 at each step. */
function mix(row: Float32Array, planes: Float32Array, above: number, below: number, share: number): void {
  for (let x = 0; x < row.length; x++) {
    const first = planes[above + x]!;
    row[x] = Math.fround(Math.fround(planes[below + x]! - first) * share) + first;
  }
}

interface Taps {
  first: Int32Array;
  second: Int32Array;
  share: Float32Array;
}

/** For each of `m` cells its two neighbours among `n`, and the share of the second. */
function taps(n: number, m: number): Taps {
  const found = { first: new Int32Array(m), second: new Int32Array(m), share: new Float32Array(m) };
  for (let i = 0; i < m; i++) {
    const place = Math.min(Math.max(placeOf(i, n, m), 0), n - 1);
    const first = Math.trunc(place);
    found.first[i] = first;
    found.second[i] = Math.min(first + 1, n - 1);
    found.share[i] = place - first;
  }
  return found;
}

/** Where the centre of cell `i` of `m` lies among the centres of `n` cells that cover the same length. */
function placeOf(i: number, n: number, m: number): number {
  return (i + 0.5) * (n / m) - 0.5;
}

/** The cells `part` of samples (n, inner) resampled to `m` along the first axis, float64. */
function along(samples: Float32Array | Float64Array, n: number, inner: number, m: number, part: Part): Float64Array {
  const coefficients = splineCoefficients(samples, n, inner);
  const found = new Float64Array((part.stop - part.start) * inner);
  for (let i = part.start; i < part.stop; i++) {
    const place = placeOf(i, n, m) + PAD;
    const base = Math.floor(place);
    const t = place - base;
    const s = 1 - t;
    const a = s ** 3 / 6;
    const b = (3 * t ** 3 - 6 * (t * t) + 4) / 6;
    const c = (3 * s ** 3 - 6 * (s * s) + 4) / 6;
    const d = t ** 3 / 6;
    const from = (base - 1) * inner;
    const to = (i - part.start) * inner;
    for (let j = 0; j < inner; j++) {
      let value = coefficients[from + j]! * a;
      value += coefficients[from + inner + j]! * b;
      value += coefficients[from + 2 * inner + j]! * c;
      value += coefficients[from + 3 * inner + j]! * d;
      found[to + j] = value;
    }
  }
  return found;
}

/** (n + 2 pads, inner): the spline through the samples with continued edges, mirrored beyond them. */
function splineCoefficients(samples: Float32Array | Float64Array, n: number, inner: number): Float64Array {
  const length = n + 2 * PAD;
  const found = new Float64Array(length * inner);
  for (let i = 0; i < length; i++) {
    const source = Math.min(Math.max(i - PAD, 0), n - 1) * inner;
    for (let j = 0; j < inner; j++) found[i * inner + j] = samples[source + j]! * 6;
  }
  addMirrored(found, Math.min(3 * PAD, length), inner);
  for (let i = inner; i < length * inner; i++) found[i]! += POLE * found[i - inner]!;
  for (let j = (length - 1) * inner; j < length * inner; j++) found[j]! *= POLE / (POLE - 1);
  for (let i = (length - 1) * inner - 1; i >= 0; i--) found[i] = POLE * (found[i + inner]! - found[i]!);
  return found;
}

function addMirrored(found: Float64Array, count: number, inner: number): void {
  const sums = new Float64Array(inner);
  for (let i = 0; i < count; i++) {
    const weight = POLE ** (i + 1);
    for (let j = 0; j < inner; j++) sums[j]! += found[i * inner + j]! * weight;
  }
  for (let j = 0; j < inner; j++) found[j]! += sums[j]!;
}

function transpose(values: Float64Array, rows: number, columns: number): Float64Array {
  const found = new Float64Array(values.length);
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) found[x * rows + y] = values[y * columns + x]!;
  return found;
}

function cut(image: Float32Array, width: number, rows: Part, columns: Part): Float32Array {
  const wide = columns.stop - columns.start;
  const found = new Float32Array((rows.stop - rows.start) * wide);
  for (let y = rows.start; y < rows.stop; y++) {
    const start = y * width + columns.start;
    found.set(image.subarray(start, start + wide), (y - rows.start) * wide);
  }
  return found;
}

/** Smallest and largest value. */
export function range(values: ArrayLike<number>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
