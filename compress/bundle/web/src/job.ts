/** One study from its sources to masks and report, frame by frame. */

import { digestBytes } from "./bytes";
import type { Concern } from "./concerns";
import type { Engine } from "./engine";
import { writeMask } from "./mask";
import { percentile } from "./preprocess";
import type { Job, Source } from "./sources";
import { describeStudy, type Millilitres, type Phase, type Segmented } from "./study";

/** One image as the page shows it. */
export interface Shown {
  name: string;
  /** (Z, Y, X) of one frame. */
  shape: [number, number, number];
  spacing: [number, number, number];
  /** Grey levels (Z, Y, X) of each frame, made for the eye. */
  grey: Uint8Array[];
  labels: Uint8Array[];
  mask: string;
  maskFile: Uint8Array;
  volumes: Millilitres[];
}

/** All that the page shows of one study. */
export interface Result {
  study: string;
  images: Shown[];
  phases: Record<string, Phase>;
  clinical: Record<string, number | null>;
  document: Record<string, unknown>;
}

/** Told after each slice. */
export type Tell = (done: number, total: number, words: string) => void;

/** Segment one study; nothing comes of it when an image cannot be segmented. */
export async function doJob(engine: Engine, job: Job, force: boolean, tell: Tell): Promise<Result> {
  const sources = await job.open();
  const total = sources.reduce((sum, { file }) => sum + file.frames * file.shape[0], 0);
  const progress = { done: 0, total };
  const found: { segmented: Segmented; shown: Omit<Shown, "volumes"> }[] = [];
  for (const source of sources) found.push(await segmentImage(engine, source, force, progress, tell));
  const { bundle } = engine;
  const images = found.map(({ segmented }) => segmented);
  const study = describeStudy(job.study, images, bundle, traceOf(engine, force));
  return {
    study: job.study,
    images: found.map(({ shown }, i) => ({ ...shown, volumes: study.volumes[i]! })),
    phases: study.phases,
    clinical: study.clinical,
    document: study.document,
  };
}

function traceOf(engine: Engine, force: boolean): Record<string, unknown> {
  const { card, model, knowledge } = engine.bundle;
  return {
    model: model.sha256,
    model_file: model.file,
    network: card.provenance.network ?? "",
    provider: engine.provider,
    force,
    versions: { cardiocompress: knowledge.version, "onnxruntime-web": __ORT_VERSION__ },
  };
}

declare const __ORT_VERSION__: string;

async function segmentImage(
  engine: Engine,
  source: Source,
  force: boolean,
  progress: { done: number; total: number },
  tell: Tell,
): Promise<{ segmented: Segmented; shown: Omit<Shown, "volumes"> }> {
  const { file } = source;
  const labels: Uint8Array[] = [];
  const grey: Uint8Array[] = [];
  const looked: Segmented["looked"] = [];
  const concerns = new Map<string, Concern>();
  let limits: [number, number] | null = null;
  for await (const image of file.volumes()) {
    const number = labels.length + 1;
    const cine = file.frames > 1;
    const words = `${file.name}${cine ? `, frame ${number} of ${file.frames}` : ""}`;
    const name = cine ? `Frame ${number} of ${file.name}` : file.name;
    let slices = 0;
    const found = await engine.segment(
      { image, shape: file.shape, spacing: file.spacing },
      { name, force, told: file.told },
      () => {
        slices = Math.min(slices + 1, file.shape[0]);
        tell(progress.done + slices, progress.total, words);
      },
    );
    progress.done += file.shape[0];
    limits ??= greyLimits(image);
    grey.push(toGrey(image, limits));
    labels.push(found.mask);
    looked.push({ moves: found.moves, cut: found.cut });
    for (const concern of found.concerns) concerns.set(`${concern.kind} ${concern.message}`, concern);
  }
  const maskFile = writeMask(labels, file.header, engine.bundle.knowledge);
  const segmented: Segmented = {
    file,
    sha256: await file.digest(),
    phase: source.phase,
    phaseFrom: source.phaseFrom,
    mask: source.mask,
    maskSha256: digestBytes(maskFile),
    labels,
    looked,
    concerns: [...concerns.values()],
  };
  const { name, shape, spacing } = file;
  return { segmented, shown: { name, shape, spacing, grey, labels, mask: source.mask, maskFile } };
}

/** All frames as one array. */
export function joined(frames: Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0]!;
  const found = new Uint8Array(frames.length * frames[0]!.length);
  frames.forEach((frame, i) => found.set(frame, i * frame.length));
  return found;
}

/** Black and white of the picture: the same for all frames, so that a cine does not flicker. */
function greyLimits(image: Float32Array): [number, number] {
  const sorted = image.slice().sort();
  return [percentile(sorted, 1), percentile(sorted, 99.5)];
}

function toGrey(image: Float32Array, [low, high]: [number, number]): Uint8Array {
  const scale = high > low ? 255 / (high - low) : 0;
  const found = new Uint8Array(image.length);
  for (let i = 0; i < found.length; i++) found[i] = Math.min(Math.max((image[i]! - low) * scale, 0), 255);
  return found;
}
