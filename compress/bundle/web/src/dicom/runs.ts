/** Which frames of an examination belong together: `compress/data/dicom/runs.py` in JavaScript. */

import type { Knowledge } from "../knowledge";
import type { Frame, Instance, Plane } from "./header";
import { dot, normalOf } from "./views";

type Know = Knowledge["dicom"];

/** Where a slice lies along the direction across it, in millimetres, and its frames. */
export type Slice = [place: number, frames: Frame[]];

/** Frames of one geometry and kind. */
export interface Run {
  /** Its series, as people call them. */
  numbers: number[];
  description: string;
  imageType: string[];
  reference: string;
  kind: string;
  plane: Plane;
  frames: Frame[];
}

/** A run's slices in order along the direction across them. */
export function slicesOf(run: Run, know: Know): Slice[] {
  const across = normalOf(run.plane.orientation);
  const placed = run.frames.map((frame): [number, Frame] => [dot(across, frame.position), frame]);
  const found: Slice[] = [];
  for (const [place, frame] of placed.sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last && place - last[0] < know.same_place_mm) last[1].push(frame);
    else found.push([place, [frame]]);
  }
  return found;
}

/** Whether slices were taken more than once. */
export function isCine(run: Run, know: Know): boolean {
  return run.frames.length > slicesOf(run, know).length;
}

/** What messages call it: numbers alone, as a series' own name may be a patient's. */
export function nameOf(run: Run): string {
  return `series ${run.numbers.slice(0, 6).join(", ")}${run.numbers.length > 6 ? " and more" : ""}`;
}

/** The frames of each series, apart where they differ in orientation, pixels or kind. */
export function runsOf(instances: Instance[], know: Know): Run[] {
  const found = new Map<string, Run[]>();
  for (const instance of instances) {
    for (const frame of instance.frames) {
      const pixels = pixelKey(frame);
      const key = JSON.stringify([instance.series, instance.kind, pixels]);
      const near = found.get(key) ?? [];
      found.set(key, near);
      let run = near.find((each) => parallel(each.plane, frame.plane, know));
      if (!run) {
        const { description, imageType, reference } = instance;
        const kind = instance.kind + pixels;
        run = { numbers: [instance.number], description, imageType, reference, kind, plane: frame.plane, frames: [] };
        near.push(run);
      }
      run.frames.push(frame);
    }
  }
  return [...found.values()].flat();
}

function pixelKey({ pixels, plane }: Frame): string {
  return JSON.stringify([pixels.rows, pixels.columns, ...plane.spacing.map((size) => size.toFixed(3))]);
}

/** Whether rows and columns of two planes point in the same directions, within a degree. */
function parallel(one: Plane, other: Plane, know: Know): boolean {
  return [0, 3].every(
    (i) => dot(one.orientation.slice(i, i + 3), other.orientation.slice(i, i + 3)) > know.parallel,
  );
}

/** Runs that are parts of one stack as one; whole stacks stay apart, as a scan that was repeated is another scan. */
export function join(runs: Run[], know: Know): Run[] {
  const groups: Run[][] = [];
  for (const run of runs) {
    const group = groups.find(([first]) => oneKind(first!, run, know));
    if (group) group.push(run);
    else groups.push([run]);
  }
  return groups.flatMap((group) => joinGroup(group, know));
}

function oneKind(one: Run, other: Run, know: Know): boolean {
  const told = (run: Run) => JSON.stringify([run.kind, isCine(run, know), run.reference]);
  return told(one) === told(other) && parallel(one.plane, other.plane, know);
}

function joinGroup(group: Run[], know: Know): Run[] {
  const whole = merged(group);
  const slices = slicesOf(whole, know);
  const count = (run: Run) => slicesOf(run, know).length;
  const apart = slices.length === group.reduce((sum, run) => sum + count(run), 0);
  if (group.length === 1 || (apart && slices.length >= know.min_slices && !unevenStep(slices, know))) return [whole];
  const stacks = group.filter((run) => count(run) >= know.min_slices);
  const parts = group.filter((run) => count(run) < know.min_slices);
  return [...stacks, ...(parts.length ? [merged(parts)] : [])];
}

function merged(group: Run[]): Run {
  const numbers = [...new Set(group.flatMap((run) => run.numbers))];
  return { ...group[0]!, numbers, frames: group.flatMap((run) => run.frames) };
}

/** The first step between slices that is unlike the others: slice before it from 1, its mm, the others' mm. */
export function unevenStep(slices: Slice[], know: Know): [before: number, step: number, usual: number] | null {
  const steps = slices.slice(1).map(([place], i) => place - slices[i]![0]);
  const usual = [...steps].sort((a, b) => a - b)[(steps.length - 1) >> 1] ?? 0;
  const odd = steps.findIndex((step) => Math.abs(step - usual) > know.uneven * usual);
  return odd < 0 ? null : [odd + 1, steps[odd]!, usual];
}
