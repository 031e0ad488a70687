/** Is this the kind of image that the network was trained on? `compress/runtime/concerns.py` in JavaScript. */

import { ConcernFault, DataFault } from "./faults";
import type { Knowledge, Range, TrainingRange } from "./knowledge";
import type { Volume } from "./preprocess";
import { range } from "./resample";
import { stackDoubts } from "./stack";
import { fill, formatNumber, roundHalfEven } from "./words";

/** One doubt about an image, as data. */
export interface Concern {
  kind: string;
  message: string;
}

export interface Asked {
  name: string;
  expected: TrainingRange | null;
  force: boolean;
  /** The voxel size (z, y, x) in mm that the file's affine tells; null: there is no file. */
  told: [number, number, number] | null;
}

/** Whether volumes, ejection fractions and mass may be stated of an image with these concerns. */
export function holdsVentricle(concerns: Concern[], know: Knowledge): boolean {
  return !concerns.some((concern) => know.stack.no_volume.includes(concern.kind));
}

/** The concerns about an image; a `ConcernFault` with all of them without `force`. */
export function checkImage(volume: Volume, asked: Asked, know: Knowledge): Concern[] {
  const { words, cures, force } = know.concerns;
  refuseUnusable(volume, asked.name, know);
  const concerns = findConcerns(volume, asked.expected, know);
  const sizes = asked.told && twoVoxelSizes(volume.spacing, asked.told, know);
  if (sizes) concerns.push({ kind: "two-voxel-sizes", message: fill(words["two-voxel-sizes"]!, { sizes }) });
  if (concerns.length && !asked.force) {
    const message = `${asked.name}: ${concerns.map((concern) => concern.message).join("; ")}.`;
    const cure = [...concerns.map((concern) => cures[concern.kind]!), force].join("; ");
    throw new ConcernFault(message, cure[0]!.toUpperCase() + cure.slice(1));
  }
  return concerns;
}

/** Doubts about a finite image. */
export function findConcerns(volume: Volume, expected: TrainingRange | null, know: Knowledge): Concern[] {
  const shape = [...volume.shape];
  const spacing = [...volume.spacing];
  const clues = sliceAxes(shape, spacing, know);
  const found = swapped(shape, spacing, clues, know);
  let image = volume.image;
  if (clues.length === 1 && clues[0] !== 0) {
    image = moveFirst(volume, clues[0]!);
    shape.unshift(...shape.splice(clues[0]!, 1));
    spacing.unshift(...spacing.splice(clues[0]!, 1));
  }
  if (clues.length < 2) {
    found.push(...farSpacing(spacing, expected, know), ...fieldOfView(shape, spacing, know));
    found.push(...stackDoubts(image, shape, spacing[0]!, expected, know.stack));
  }
  found.push(...fewValues(image, shape, know));
  return found;
}

function refuseUnusable(volume: Volume, name: string, know: Knowledge): void {
  const { words, export_again } = know.concerns;
  const [low, high] = range(volume.image);
  if (low === high) throw new DataFault(fill(words["constant"]!, { name, value: low }), export_again);
}

/** What a header contradicts itself in; "" where it does not. */
function twoVoxelSizes(spacing: number[], told: number[], know: Knowledge): string {
  const unit = told.every((size) => Math.abs(size - 1) <= 1e-3 + 1e-5);
  const agree = told.every((size, i) => Math.abs(size - spacing[i]!) <= know.concerns.sizes_agree * spacing[i]!);
  if (unit || agree) return "";
  const shown = (sizes: number[]) => [...sizes].reverse().map((size) => formatNumber(size, ".3g")).join(" x ");
  return fill(know.concerns.two_sizes, { pixdim: shown(spacing), sform: shown(told) });
}

function swapped(shape: number[], spacing: number[], clues: number[], know: Knowledge): Concern[] {
  const { words, axes, clearly } = know.concerns;
  const named = clues.map((axis) =>
    fill(words["axis"]!, { axis: axes[axis]!, samples: shape[axis]!, spacing: spacing[axis]! }),
  );
  const say = (key: string, values: Record<string, string | number>) => [
    { kind: "swapped-axes", message: fill(words[key]!, values) },
  ];
  const [y, x] = [spacing[1]!, spacing[2]!];
  if (clues.length === 2) return say("two-slice-axes", { first: named[0]!, second: named[1]! });
  if (clues.some((axis) => axis !== 0)) return say("other-slice-axis", { axis: named[0]! });
  if (Math.max(y, x) > clearly * Math.min(y, x)) return say("oblong-pixels", { x, y });
  return [];
}

/** The axes that look like the slice axis: none, one, or two when spacing and samples contradict each other. */
function sliceAxes(shape: number[], spacing: number[], know: Knowledge): number[] {
  const found = [coarseAxis(spacing, know), shortAxis(shape, know)].filter((axis) => axis !== null);
  return [...new Set(found)].sort();
}

function coarseAxis(spacing: number[], know: Knowledge): number | null {
  const axis = spacing.indexOf(Math.max(...spacing));
  const clear = [0, 1, 2].every((other) => other === axis || spacing[axis]! > know.concerns.clearly * spacing[other]!);
  return clear ? axis : null;
}

function shortAxis(shape: number[], know: Knowledge): number | null {
  const axis = shape.indexOf(Math.min(...shape));
  const few = [0, 1, 2].every((other) => other === axis || 2 * shape[axis]! < shape[other]!);
  return few && shape[axis]! <= know.stack.max_slices ? axis : null;
}

function farSpacing(spacing: number[], expected: TrainingRange | null, know: Knowledge): Concern[] {
  if (!expected) return [];
  const { words, far, rounding } = know.concerns;
  const near = (value: number, limits: Range) =>
    limits[0] / (far * rounding) <= value && value <= limits[1] * (far * rounding);
  const [z, y, x] = spacing as [number, number, number];
  const parts: string[] = [];
  if (!near(y, expected.pixel_mm) || !near(x, expected.pixel_mm)) {
    parts.push(fill(words["far-pixels"]!, { x, y, expected: shown(expected.pixel_mm) }));
  }
  if (!near(z, expected.slice_mm)) {
    parts.push(fill(words["far-slices"]!, { z, expected: shown(expected.slice_mm) }));
  }
  return parts.length ? [{ kind: "spacing", message: parts.join(" and ") }] : [];
}

function shown(limits: Range): string {
  return [...new Set(limits.map((limit) => formatNumber(limit, ".3g")))].join(" to ");
}

function fieldOfView(shape: number[], spacing: number[], know: Knowledge): Concern[] {
  const { words, field_mm, min_pixels } = know.concerns;
  const [rows, columns] = [shape[1]!, shape[2]!];
  const [height, width] = [rows * spacing[1]!, columns * spacing[2]!];
  const [low, high] = field_mm;
  if (Math.min(rows, columns) >= min_pixels && Math.min(height, width) >= low && Math.max(height, width) <= high) {
    return [];
  }
  const values = { columns, rows, width, height, pixels: min_pixels, low, high };
  return [{ kind: "field-of-view", message: fill(words["field-of-view"]!, values) }];
}

function fewValues(image: Float32Array, shape: number[], know: Knowledge): Concern[] {
  const { words, max_labels, sample } = know.concerns;
  const step = Math.max(1, roundHalfEven(Math.sqrt(image.length / sample)));
  if (valuesOf(image, shape, step, max_labels) === null) return [];
  const values = valuesOf(image, shape, 1, max_labels);
  if (values === null) return [];
  const listed = values.map((value) => formatNumber(value, "g")).join(", ");
  return [{ kind: "label-map", message: fill(words["label-map"]!, { values: listed }) }];
}

/** The values of every `step`th pixel, sorted; null for more than `most`. */
function valuesOf(image: Float32Array, shape: number[], step: number, most: number): number[] | null {
  const [slices, rows, columns] = shape as [number, number, number];
  const found = new Set<number>();
  for (let z = 0; z < slices; z++) {
    for (let y = 0; y < rows; y += step) {
      for (let x = 0; x < columns; x += step) {
        found.add(image[(z * rows + y) * columns + x]!);
        if (found.size > most) return null;
      }
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** The image with another axis first. */
function moveFirst(volume: Volume, axis: number): Float32Array {
  const [depth, height, width] = volume.shape;
  const strides = [height * width, width, 1];
  const order = [axis, ...[0, 1, 2].filter((other) => other !== axis)];
  const size = order.map((each) => [depth, height, width][each]!);
  const step = order.map((each) => strides[each]!);
  const found = new Float32Array(volume.image.length);
  let to = 0;
  for (let a = 0; a < size[0]!; a++) {
    for (let b = 0; b < size[1]!; b++) {
      for (let c = 0; c < size[2]!; c++) found[to++] = volume.image[a * step[0]! + b * step[1]! + c * step[2]!]!;
    }
  }
  return found;
}
