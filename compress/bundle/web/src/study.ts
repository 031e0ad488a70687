/** Volumes, clinical values, flags and the report of one study: `study_report.py` and `evaluate/study.py` in JavaScript. */

import { holdsVentricle, type Concern } from "./concerns";
import { maskFlags, studyFlags, windowFlags, type Flag } from "./flags";
import type { ImageFile } from "./image";
import type { Bundle, Knowledge } from "./knowledge";
import { fill, rounded } from "./words";

export type Millilitres = Record<string, number>;

/** Where the network looked for the heart of one frame. */
export interface Looked {
  /** Where the window was moved to, time after time: mm along (y, x) from the slices' centre. */
  moves: [number, number][];
  /** Slices, from 0, in which the heart still reaches an edge of the window. */
  cut: number[];
}

/** One image of a study, segmented. */
export interface Segmented {
  file: ImageFile;
  sha256: string;
  /** "ED", "ES" or "" when unknown. */
  phase: string;
  phaseFrom: string;
  /** The mask's file name and the digest of that file. */
  mask: string;
  maskSha256: string;
  /** (Z, Y, X) of each frame. */
  labels: Uint8Array[];
  looked: Looked[];
  concerns: Concern[];
}

/** The frame that stands for a phase. */
export interface Phase {
  image: number;
  frame: number;
  knownBy: string;
}

/** What is known of a study; `document` is the report, as `predict` writes it. */
export interface Study {
  volumes: Millilitres[][];
  phases: Record<string, Phase>;
  clinical: Record<string, number | null>;
  document: Record<string, unknown>;
}

/** The report of one study. */
export function describeStudy(
  name: string,
  images: Segmented[],
  bundle: Bundle,
  trace: Record<string, unknown>,
): Study {
  const { card, knowledge: know } = bundle;
  const volumes = images.map((image) => volumesOf(image, card.labels, know));
  const phases = findPhases(images, volumes, know);
  const values = clinicalValues(
    Object.fromEntries(Object.entries(phases).map(([phase, p]) => [phase, volumes[p.image]![p.frame]!])),
    know,
  );
  const flags = [...notStated(images, know), ...leftOut(images, volumes, phases, know)];
  const units = know.study.units;
  const described = images.map((image, i) => describeImage(image, volumes[i]!, card.labels, know));
  const document = {
    schema: know.report_schema,
    study: name,
    phantom: { images: images.some((image) => image.file.phantom), model: card.training.phantom === true },
    phases: mapValues(phases, (p) => ({ mask: images[p.image]!.mask, frame: p.frame + 1, known_by: p.knownBy })),
    clinical: mapValues(values, (value, key) => ({
      value: value === null ? null : rounded(value, 3),
      unit: units[key]!,
    })),
    flags: [...flags, ...studyFlags(values, know.flags)],
    images: described,
    labels: card.labels,
    intended_use: card.intended_use,
    trace,
  };
  return { volumes, phases, clinical: values, document };
}

function mapValues<T, U>(table: Record<string, T>, change: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, change(value, key)]));
}

/** Of each frame; nothing of slices that cannot hold a ventricle. */
function volumesOf(image: Segmented, labels: Record<string, number>, know: Knowledge): Millilitres[] {
  if (!holdsVentricle(image.concerns, know)) return image.labels.map(() => ({}));
  const [z, y, x] = image.file.spacing;
  const voxel = (z * y * x) / 1000;
  return image.labels.map((mask) => {
    const counts = new Array<number>(256).fill(0);
    for (const value of mask) counts[value]!++;
    return mapValues(labels, (value) => counts[value]! * voxel);
  });
}

function findPhases(images: Segmented[], volumes: Millilitres[][], know: Knowledge): Record<string, Phase> {
  const told: Record<string, Phase> = {};
  images.forEach((image, index) => {
    if (image.phase && image.file.frames === 1) {
      told[image.phase] = { image: index, frame: 0, knownBy: image.phaseFrom };
    }
  });
  if (Object.keys(told).length) {
    return Object.fromEntries(["ED", "ES"].filter((name) => told[name]).map((name) => [name, told[name]!]));
  }
  const places = oneHeart(images, volumes, know);
  const ml = places.map(([i, t]) => volumes[i]![t]!["LV"]!);
  const [high, low] = [Math.max(...ml), Math.min(...ml)];
  if (ml.length < 2 || high === low) return {};
  const phase = (value: number, words: string): Phase => {
    const [image, frame] = places[ml.indexOf(value)]!;
    return { image, frame, knownBy: know.study.words[words]! };
  };
  return { ED: phase(high, "largest"), ES: phase(low, "smallest") };
}

/** (image, frame) of all frames with an LV that surely show one heart in one scan. */
function oneHeart(images: Segmented[], volumes: Millilitres[][], know: Knowledge): [number, number][] {
  const grid = ({ file }: Segmented) => [...file.shape, ...file.spacing.map((size) => rounded(size, 2))].join();
  const still = images.every((image) => image.file.frames === 1);
  const pair = images.length === 2 && still && grid(images[0]!) === grid(images[1]!);
  if (images.length !== 1 && !pair) return [];
  const odd = images.length === 1 ? jumping(volumes[0]!, know) : [];
  return volumes.flatMap((frames, i) =>
    frames.flatMap((frame, t): [number, number][] => ((frame["LV"] ?? 0) > 0 && !odd.includes(t) ? [[i, t]] : [])),
  );
}

/** Frames of a cine whose LV is far from that of the frames around them, as no heart beats. */
function jumping(frames: Millilitres[], know: Knowledge): number[] {
  const ml = frames.map((frame) => frame["LV"] ?? 0);
  const n = ml.length;
  if (n < know.study.cine_frames) return [];
  const around = ml.map((_, i) => median([-2, -1, 1, 2].map((step) => ml[(i - step + n) % n]!)));
  const smooth = ml.map((_, i) => median([-1, 0, 1].map((step) => ml[(i - step + n) % n]!)));
  const spread = Math.max(...smooth) - Math.min(...smooth);
  return ml.flatMap((value, i) => (Math.abs(value - around[i]!) > know.study.jump * spread ? [i] : []));
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Every clinical quantity that these phases allow; null where it is undefined. */
function clinicalValues(phases: Record<string, Millilitres>, know: Knowledge): Record<string, number | null> {
  const found: Record<string, number | null> = {};
  const { ED, ES } = phases;
  for (const name of know.flags.ventricles) {
    const [ed, es] = [ED?.[name], ES?.[name]];
    if (ed !== undefined) found[`${name} EDV`] = ed;
    if (es !== undefined) found[`${name} ESV`] = es;
    if (ed !== undefined && es !== undefined) {
      found[`${name} SV`] = ed - es;
      found[`${name} EF`] = ed > 0 ? (100 * (ed - es)) / ed : null;
    }
  }
  if (ED?.["MYO"] !== undefined) found["MYO mass"] = know.study.density * ED["MYO"];
  return Object.fromEntries(Object.keys(know.study.units).flatMap((k) => (k in found ? [[k, found[k]!]] : [])));
}

function notStated(images: Segmented[], know: Knowledge): Flag[] {
  const names = images.filter((image) => !holdsVentricle(image.concerns, know)).map((image) => image.file.name);
  const message = fill(know.study.words["no-volumes"]!, { names: names.join(" and ") });
  return names.length ? [{ kind: "no-volumes", message }] : [];
}

/** Frames of a cine that ED and ES were chosen without. */
function leftOut(
  images: Segmented[],
  volumes: Millilitres[][],
  phases: Record<string, Phase>,
  know: Knowledge,
): Flag[] {
  if (!Object.keys(phases).length || images.length !== 1) return [];
  const frames = volumes[0]!;
  const empty = frames.flatMap((frame, i) => (Object.keys(frame).length && !frame["LV"] ? [i] : []));
  const odd = jumping(frames, know).filter((i) => !empty.includes(i));
  const parts = Object.entries({ empty, jumping: odd }).flatMap(([why, numbers]) =>
    numbers.length ? [fill(know.study.words[why]!, { frames: listed(numbers) })] : [],
  );
  const message = fill(know.study.words["frames-left-out"]!, { parts: parts.join(" and ") });
  return parts.length ? [{ kind: "frames-left-out", message }] : [];
}

function listed(numbers: number[]): string {
  return numbers.slice(0, 8).map((i) => i + 1).join(", ") + (numbers.length > 8 ? " and more" : "");
}

function describeImage(
  image: Segmented,
  volumes: Millilitres[],
  labels: Record<string, number>,
  know: Knowledge,
): Record<string, unknown> {
  const { file } = image;
  const stated = Object.keys(labels).filter((name) => name in volumes[0]!);
  const cine = file.frames > 1;
  const flags = image.labels.flatMap((mask, t) =>
    [
      ...maskFlags(mask, file.shape, file.spacing, labels, know.flags),
      ...windowFlags(image.looked[t]!.cut, know.flags),
    ].map((flag) => (cine ? { ...flag, frame: t + 1 } : flag)),
  );
  const recentred = image.looked.flatMap(({ moves }, t) =>
    moves.length ? [{ frame: t + 1, moves_mm_yx: moves.map((move) => move.map((mm) => rounded(mm, 3))) }] : [],
  );
  return {
    file: file.name,
    sha256: image.sha256,
    phase: image.phase,
    phantom: file.phantom,
    mask: image.mask,
    mask_sha256: image.maskSha256,
    frames: file.frames,
    shape_zyx: file.shape,
    spacing_mm_zyx: file.spacing.map((size) => rounded(size, 6)),
    volumes_ml: Object.fromEntries(stated.map((name) => [name, volumes.map((frame) => rounded(frame[name]!, 3))])),
    concerns: image.concerns,
    ...(know.recentring ? { recentred } : {}),
    flags,
  };
}
