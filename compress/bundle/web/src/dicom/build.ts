/** Making a stack of a run, or a refusal: `compress/data/dicom/build.py` in JavaScript. */

import { DataFault } from "../faults";
import type { Knowledge } from "../knowledge";
import { formatNumber } from "../words";
import type { Frame } from "./header";
import { nameOf, slicesOf, unevenStep, type Run, type Slice } from "./runs";
import { dot, normalOf } from "./views";

const ONE_SCAN = "Give a folder with one whole scan.";
const COPY_FOLDER = "Copy the folder again.";

/** One scan: times, each with its slices along the direction across them. */
export interface Stack {
  numbers: number[];
  frames: Frame[][];
  /** Mean milliseconds from frame to frame; 0 where times are not told. */
  intervalMs: number;
}

/** The stack that a run is, and what has to be said about it. */
export function buildStack(run: Run, folder: string, know: Knowledge): { stack: Stack; notes: string[] } {
  const where = `${folder}: ${nameOf(run)}`;
  const slices = slicesOf(run, know.dicom);
  checkDoubles(where, slices);
  checkCounts(where, slices);
  checkSteps(where, slices, know.dicom);
  const ordered = slices.map(([, frames]) => byTime(where, frames));
  checkLine(where, ordered.map(({ frames }) => frames[0]!), know.dicom);
  const count = ordered[0]!.frames.length;
  const { rows, columns } = ordered[0]!.frames[0]!.pixels;
  if (count > know.nifti.max_frames || count * slices.length * rows * columns > know.nifti.max_cine_voxels) {
    const message = `${where} has ${count} frames of ${slices.length} slices: too many to read.`;
    throw new DataFault(message, ONE_SCAN);
  }
  const frames = Array.from({ length: count }, (_, t) => ordered.map((slice) => slice.frames[t]!));
  const numbered = ordered.some(({ byNumber }) => byNumber);
  return {
    stack: { numbers: run.numbers, frames, intervalMs: intervalOf(ordered.map((slice) => slice.frames)) },
    notes: numbered ? [`${where} tells no trigger times: frames are in the order of their numbers`] : [],
  };
}

function checkDoubles(where: string, slices: Slice[]): void {
  const fewest = Math.min(...slices.map(([, frames]) => frames.length));
  for (const [place, frames] of slices) {
    const numbers = [...new Set(frames.map((frame) => frame.series))].sort((a, b) => a - b);
    if (numbers.length > 1 && frames.length > fewest) {
      const at = formatNumber(place, ".1f");
      throw new DataFault(
        `${where}: the slice at ${at} mm was taken by series ${numbers.join(" and ")}.`,
        "Move those that do not count out of the folder.",
      );
    }
  }
}

function checkCounts(where: string, slices: Slice[]): void {
  const counts = slices.map(([, frames]) => frames.length);
  const times = (value: number) => counts.filter((count) => count === value).length;
  const usual = [...counts].sort((a, b) => times(b) - times(a) || a - b)[0]!;
  const odd = counts.findIndex((count) => count !== usual);
  if (odd >= 0) {
    throw new DataFault(
      `${where}: slice ${odd + 1} of ${counts.length} has ${counts[odd]} frames, the others ${usual}: ` +
        "files are missing or there twice.",
      COPY_FOLDER,
    );
  }
}

function checkSteps(where: string, slices: Slice[], know: Knowledge["dicom"]): void {
  const found = unevenStep(slices, know);
  if (!found) return;
  const [before, step, usual] = found;
  const what = step > usual ? "a slice is missing" : "two scans overlap";
  const [one, other] = [step, usual].map((mm) => formatNumber(mm, ".1f"));
  throw new DataFault(
    `${where}: slices ${before} and ${before + 1} of ${slices.length} lie ${one} mm apart, the others ${other}: ${what}.`,
    ONE_SCAN,
  );
}

/** One affine must hold for all slices: equal steps, straight across them. */
function checkLine(where: string, first: Frame[], know: Knowledge["dicom"]): void {
  const steps = first.slice(1).map((frame, i) => frame.position.map((value, k) => value - first[i]!.position[k]!));
  const usual = [0, 1, 2].map((axis) => median(steps.map((step) => step[axis]!)));
  const length = Math.hypot(...usual);
  const off = steps.map((step) => Math.hypot(...step.map((value, k) => value - usual[k]!)));
  if (Math.max(...off) > 0.2 * length) {
    throw new DataFault(`${where}: its slices do not lie behind each other on one line.`, ONE_SCAN);
  }
  if (Math.abs(dot(normalOf(first[0]!.plane.orientation), usual)) < know.across * length) {
    throw new DataFault(`${where}: its slices lie askew behind each other.`, "Resample it straight first.");
  }
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** One slice's frames in the order of time, or of their numbers where nothing better tells it. */
function byTime(where: string, frames: Frame[]): { frames: Frame[]; byNumber: boolean } {
  if (frames.length === 1) return { frames, byNumber: false };
  const times = frames.map((frame) => frame.time);
  const known = times.filter((time) => time !== null);
  const different = new Set(known).size;
  if (known.length === times.length && different === times.length) {
    return { frames: [...frames].sort((a, b) => a.time! - b.time!), byNumber: false };
  }
  if (known.length === times.length && different > 1) {
    throw new DataFault(
      `${where} holds two different images at one place and one time (${doubled(frames)}).`,
      "Move those that do not count out of the folder.",
    );
  }
  if (known.length && known.length < times.length) {
    throw new DataFault(`${where} tells the trigger times of some images only.`, COPY_FOLDER);
  }
  for (const key of [0, 1] as const) {
    if (new Set(frames.map((frame) => frame.order[key])).size === frames.length) {
      return { frames: [...frames].sort((a, b) => a.order[key] - b.order[key]), byNumber: key === 1 };
    }
  }
  throw new DataFault(`${where} tells neither times nor numbers of its frames.`, "Export the study again.");
}

function doubled(frames: Frame[]): string {
  const seen = new Map<number | null, Frame>();
  const base = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  for (const frame of frames) {
    const other = seen.get(frame.time);
    if (other) return `${base(other.path)} and ${base(frame.path)}`;
    seen.set(frame.time, frame);
  }
  return "";
}

function intervalOf(slices: Frame[][]): number {
  const spans = slices.map((frames) => (frames[frames.length - 1]!.time ?? 0) - (frames[0]!.time ?? 0));
  return spans.reduce((a, b) => a + b, 0) / spans.length / Math.max(slices[0]!.length - 1, 1);
}
