/** Can these slices hold a ventricle? `compress/runtime/stack.py` in JavaScript. */

import type { Concern } from "./concerns";
import type { Knowledge, TrainingRange } from "./knowledge";
import { fill } from "./words";

type Stack = Knowledge["stack"];

/** What is odd about the slices of an image (Z, Y, X) that lie `sliceMm` apart. */
export function stackDoubts(
  image: Float32Array,
  shape: number[],
  sliceMm: number,
  expected: TrainingRange | null,
  know: Stack,
): Concern[] {
  const { words } = know;
  const slices = shape[0]!;
  const height = slices * sliceMm;
  const [low, high] = know.height_mm;
  const counted = fill(words["counted"]!, { slices, s: slices > 1 ? "s" : "", height });
  const limit = expected ? Math.max(know.max_slices, know.slices_factor * expected.slices[1]) : know.max_slices;
  const say = (kind: string, key: string, values: Record<string, string | number>) => [
    { kind, message: fill(words[key]!, values) },
  ];
  if (slices < fewestSlices(sliceMm * know.rounding, know)) {
    const what = words[slices === 1 ? "single" : "part"]!;
    return say(know.flat, "flat", { counted, what, fewest: know.min_slices, low });
  }
  if (height > high) return say(know.time, "tall", { counted, high });
  if (slices > limit) return say(know.many, "many", { slices, limit });
  if (slices >= know.cine_frames && onePlace(image, slices, know.alike)) return say(know.time, "alike", { slices });
  return [];
}

/** Slices `sliceMm` apart that a stack needs at least. */
export function fewestSlices(sliceMm: number, know: Stack): number {
  return Math.max(know.min_slices, Math.ceil(know.height_mm[0] / sliceMm));
}

function onePlace(image: Float32Array, slices: number, alike: number): boolean {
  const area = image.length / slices;
  const slice = (index: number) => image.subarray(index * area, (index + 1) * area);
  const others = [Math.floor(slices / 2), slices - 1];
  return others.every((index) => correlation(slice(0), slice(index)) > alike);
}

/** Pearson's; 0 where one is constant. */
function correlation(first: Float32Array, second: Float32Array): number {
  const [a, b] = [mean(first), mean(second)];
  let [both, one, other] = [0, 0, 0];
  for (let i = 0; i < first.length; i++) {
    const [p, q] = [first[i]! - a, second[i]! - b];
    both += p * q;
    one += p * p;
    other += q * q;
  }
  const scale = Math.sqrt(one * other);
  return scale > 0 ? both / scale : 0;
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
