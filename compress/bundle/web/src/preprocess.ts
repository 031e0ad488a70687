/** From a native volume to the network's slices and back: `compress/data/preprocess.py` in JavaScript. */

import { DataFault } from "./faults";
import { cubic, linear, type Part, type Size } from "./resample";
import { roundHalfEven } from "./words";

/** One 3D image, slice by slice. */
export interface Volume {
  /** (Z, Y, X). */
  image: Float32Array;
  shape: [slices: number, rows: number, columns: number];
  /** Millimetres along (z, y, x). */
  spacing: [number, number, number];
}

/** The rules, as the model card states them. */
export interface Rules {
  spacing_mm: Size;
  size: Size;
  clip_percentiles: [number, number];
}

/** What one forward pass did to the grid: enough to undo it. */
export interface Geometry {
  native: Size;
  resampled: Size;
  window: Size;
  /** (rows, columns) by which the window lies off the slice's centre. */
  moved: Size;
}

export interface Prepared {
  /** (Z, H, W), clipped and z-scored. */
  images: Float32Array;
  slices: number;
  geometry: Geometry;
}

/** The grid that a slice of `shape` and `spacing` (row, column) passes through. */
export function geometryOf(rules: Rules, shape: Size, spacing: Size, moved: Size = [0, 0]): Geometry {
  const resampled = [0, 1].map((axis) =>
    Math.max(1, roundHalfEven((shape[axis]! * spacing[axis]!) / rules.spacing_mm[axis]!)),
  );
  return { native: shape, resampled: resampled as Size, window: rules.size, moved };
}

/** Bring a volume onto the network's grid, seen through a window that was moved; `name` is what a message calls it. */
export function forward(volume: Volume, rules: Rules, name: string, moved: Size = [0, 0]): Prepared {
  const [slices, height, width] = volume.shape;
  const geometry = geometryOf(rules, [height, width], [volume.spacing[1], volume.spacing[2]], moved);
  const [source, window] = overlaps(geometry);
  const area = (source[0].stop - source[0].start) * (source[1].stop - source[1].start);
  const cropped = new Float32Array(slices * area);
  for (let z = 0; z < slices; z++) {
    const slice = volume.image.subarray(z * height * width, (z + 1) * height * width);
    cropped.set(cubic(slice, [height, width], geometry.resampled, source), z * area);
  }
  const pad = normalise(cropped, rules, name);
  return { images: place(cropped, slices, rules.size, window, pad), slices, geometry };
}

/** Clip and z-score in place; returns the smallest value. */
function normalise(values: Float32Array, rules: Rules, name: string): number {
  const sorted = values.slice().sort();
  const [low, high] = rules.clip_percentiles.map((percent) => percentile(sorted, percent)) as [number, number];
  const clipped = Float64Array.from(values, (value) => Math.min(Math.max(value, low), high));
  const mean = pairwiseSum(clipped, 0, clipped.length) / clipped.length;
  const squares = clipped.map((value) => (value - mean) * (value - mean));
  const deviation = Math.sqrt(pairwiseSum(squares, 0, squares.length) / squares.length);
  if (!(deviation > 0)) {
    throw new DataFault(`${name}: the image is constant inside the window of (${rules.size.join(", ")}) pixels.`);
  }
  let smallest = Infinity;
  for (let i = 0; i < values.length; i++) {
    values[i] = (clipped[i]! - mean) / deviation;
    if (values[i]! < smallest) smallest = values[i]!;
  }
  return smallest;
}

/** The percentile of sorted float32 values, interpolated linearly as numpy does. */
export function percentile(sorted: Float32Array, percent: number): number {
  const index = (sorted.length - 1) * (percent / 100);
  const below = Math.floor(index);
  const share = index - below;
  const first = sorted[below]!;
  const second = sorted[Math.min(below + 1, sorted.length - 1)]!;
  const step = Math.fround(second - first);
  return share < 0.5 ? first + step * share : second - step * (1 - share);
}

/** A sum whose error does not grow with the number of values. */
function pairwiseSum(values: Float64Array, start: number, stop: number): number {
  if (stop - start <= 128) {
    let sum = 0;
    for (let i = start; i < stop; i++) sum += values[i]!;
    return sum;
  }
  const middle = start + ((stop - start) >> 1);
  return pairwiseSum(values, start, middle) + pairwiseSum(values, middle, stop);
}

function place(
  cropped: Float32Array,
  slices: number,
  [height, width]: Size,
  [rows, columns]: [Part, Part],
  pad: number,
): Float32Array {
  const found = new Float32Array(slices * height * width).fill(pad);
  const wide = columns.stop - columns.start;
  let from = 0;
  for (let z = 0; z < slices; z++) {
    for (let y = rows.start; y < rows.stop; y++, from += wide) {
      found.set(cropped.subarray(from, from + wide), (z * height + y) * width + columns.start);
    }
  }
  return found;
}

/** Labels (Y, X) on the native grid from the logits (C, H, W) of one slice; outside the window is background. */
export function inverse(logits: Float32Array, classes: number, geometry: Geometry): Uint8Array {
  const [source, window] = overlaps(geometry);
  const [height, width] = geometry.resampled;
  const area = height * width;
  const shares = softmax(logits, classes);
  const grid = new Float32Array(classes * area).fill(1, 0, area);
  const wide = window[1].stop - window[1].start;
  for (let c = 0; c < classes; c++) {
    for (let y = 0; y < window[0].stop - window[0].start; y++) {
      const from = (c * geometry.window[0] + window[0].start + y) * geometry.window[1] + window[1].start;
      grid.set(shares.subarray(from, from + wide), c * area + (source[0].start + y) * width + source[1].start);
    }
  }
  return largest(linear(grid, classes, geometry.resampled, geometry.native), classes);
}

/** Probabilities over the first axis of (C, pixels). */
function softmax(scores: Float32Array, classes: number): Float32Array {
  const area = scores.length / classes;
  const found = new Float32Array(scores.length);
  for (let i = 0; i < area; i++) {
    let top = scores[i]!;
    for (let c = 1; c < classes; c++) top = Math.max(top, scores[c * area + i]!);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      const power = Math.fround(Math.exp(Math.fround(scores[c * area + i]! - top)));
      found[c * area + i] = power;
      sum = Math.fround(sum + power);
    }
    for (let c = 0; c < classes; c++) found[c * area + i]! /= sum;
  }
  return found;
}

/** The index of the largest plane of (C, pixels) at each pixel, the first of equal ones. */
function largest(planes: Float32Array, classes: number): Uint8Array {
  const area = planes.length / classes;
  const found = new Uint8Array(area);
  for (let i = 0; i < area; i++) {
    let best = planes[i]!;
    for (let c = 1; c < classes; c++) {
      const value = planes[c * area + i]!;
      if (value > best) {
        best = value;
        found[i] = c;
      }
    }
  }
  return found;
}

/** Matching regions (rows, columns) of the resampled slice and of the window. */
export function overlaps(geometry: Geometry): [[Part, Part], [Part, Part]] {
  const pairs = [0, 1].map((axis) => overlap(geometry.resampled[axis]!, geometry.window[axis]!, geometry.moved[axis]!));
  return [
    [pairs[0]![0], pairs[1]![0]],
    [pairs[0]![1], pairs[1]![1]],
  ];
}

function overlap(have: number, want: number, moved: number): [Part, Part] {
  const length = Math.min(have, want);
  const first = Math.floor((have - length) / 2) + moved;
  const second = Math.floor((want - length) / 2);
  return [
    { start: first, stop: first + length },
    { start: second, stop: second + length },
  ];
}
