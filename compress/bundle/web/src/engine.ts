/** The network in this browser: its session, its self-test, and from a volume to a mask on the volume's own grid. */

import type { InferenceSession, Tensor } from "onnxruntime-common";
import { inflate } from "pako";
import { digestBytes, fromBase64 } from "./bytes";
import { checkImage, type Asked, type Concern } from "./concerns";
import { DataFault } from "./faults";
import type { Bundle, Packed } from "./knowledge";
import { dropBare, dropSmall, fillHoles } from "./pieces";
import { forward, geometryOf, inverse, type Prepared, type Volume } from "./preprocess";
import { range } from "./resample";
import type { Looked } from "./study";
import { cutSlices, onto, type Shift } from "./window";
import { formatNumber } from "./words";

/** As much of onnxruntime-web as is needed here. */
export interface Ort {
  InferenceSession: { create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  Tensor: new (type: "float32", data: Float32Array, dims: number[]) => Tensor;
  env: { wasm: { numThreads?: number; proxy?: boolean; wasmBinary?: ArrayBufferLike | Uint8Array } };
}

export type Provider = "wasm" | "webgpu";

/** Does this browser still compute what was computed where the file was made? */
export interface Verification {
  verdict: "bit-equal" | "within tolerance" | "broken";
  reasons: string[];
  differing_voxels: number;
  voxels: number;
  max_logit_difference: number;
  logit_bound: number;
  provider: Provider;
}

/** What was found in one volume. */
export interface Found extends Looked {
  /** (Z, Y, X). */
  mask: Uint8Array;
  concerns: Concern[];
}

/** Called after each slice that the network has seen. */
export type Step = () => void | Promise<void>;

export class Engine {
  readonly classes: number;

  private constructor(
    readonly bundle: Bundle,
    readonly provider: Provider,
    private readonly session: InferenceSession,
    private readonly ort: Ort,
  ) {
    this.classes = Object.keys(bundle.card.labels).length + 1;
  }

  /** A session on a provider; rejects where the browser lacks it. */
  static async open(ort: Ort, model: Uint8Array, bundle: Bundle, provider: Provider): Promise<Engine> {
    const session = await ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 });
    return new Engine(bundle, provider, session, ort);
  }

  /** Frees what the session holds. */
  async close(): Promise<void> {
    await this.session.release();
  }

  /** Run the file's self-test. */
  async selfTest(): Promise<Verification> {
    const { golden, card, knowledge } = this.bundle;
    const limits = knowledge.verify;
    const image = Float32Array.from(unpack(golden.image));
    const volume: Volume = { image, shape: golden.image.shape as Volume["shape"], spacing: golden.spacing_mm };
    const logits: Float32Array[] = [];
    const prepared = forward(volume, card.preprocessing, "self-test");
    const { mask } = await this.look(prepared, () => {}, logits);
    this.tidy(mask, volume.shape);
    const expected = unpack(golden.mask);
    const flipped = mask.reduce((sum, value, i) => sum + (value === expected[i] ? 0 : 1), 0);
    const bound = Math.max(limits.logit_bound, card.quantization?.logit_bound ?? 0);
    const difference = this.difference(logits, unpack(golden.logits) as Float32Array, golden.logits.shape);
    const reasons: string[] = [];
    if (!(difference <= bound)) {
      const shown = [difference, bound].map((value, i) => formatNumber(value, i ? "g" : ".2g"));
      reasons.push(`logits differ by ${shown[0]}, at most ${shown[1]} is accepted`);
    }
    if (flipped > limits.flipped_voxels * mask.length) {
      reasons.push(`${flipped} of ${mask.length} voxels have another label`);
    }
    const equal = flipped === 0 && digestOf(logits) === golden.logits_sha256;
    return {
      verdict: reasons.length ? "broken" : equal ? "bit-equal" : "within tolerance",
      reasons,
      differing_voxels: flipped,
      voxels: mask.length,
      max_logit_difference: difference,
      logit_bound: bound,
      provider: this.provider,
    };
  }

  /** The largest difference over every `stride`th logit along rows and columns. */
  private difference(logits: Float32Array[], expected: Float32Array, shape: number[]): number {
    const [height, width] = this.bundle.card.preprocessing.size;
    const { stride } = this.bundle.knowledge.verify;
    const [, , rows, columns] = shape as [number, number, number, number];
    let worst = 0;
    let i = 0;
    for (const slice of logits) {
      for (let c = 0; c < this.classes; c++) {
        for (let y = 0; y < rows; y++) {
          for (let x = 0; x < columns; x++) {
            const gap = Math.abs(slice[(c * height + y * stride) * width + x * stride]! - expected[i++]!);
            if (!(gap <= worst)) worst = gap;
          }
        }
      }
    }
    return worst;
  }

  /** Segment one volume. A `ConcernFault` for an image unlike those of the training, unless it is forced. */
  async segment(volume: Volume, asked: Omit<Asked, "expected">, step: Step = () => {}): Promise<Found> {
    const { card, knowledge } = this.bundle;
    const concerns = checkImage(volume, { ...asked, expected: card.training.range }, knowledge);
    this.checkWork(volume, asked.name);
    const rules = card.preprocessing;
    const moves: Shift[] = [];
    for (;;) {
      const prepared = forward(volume, rules, asked.name, moves[moves.length - 1]);
      const { mask, grid } = await this.look(prepared, step);
      const cut = cutSlices(grid, prepared.slices, prepared.geometry);
      const now = prepared.geometry.moved;
      const moved = cut.length ? onto(grid, prepared.slices, prepared.geometry) : now;
      const stays = moved[0] === now[0] && moved[1] === now[1];
      if (stays || moves.length === (rules.recentre?.at_most ?? 0)) {
        this.tidy(mask, volume.shape);
        const [y, x] = rules.spacing_mm;
        return { mask, concerns, cut, moves: moves.map(([rows, columns]) => [rows * y, columns * x]) };
      }
      moves.push(moved);
    }
  }

  /** Labels on the native grid (Z, Y, X) and on the network's (Z, H, W). */
  private async look(prepared: Prepared, step: Step, kept?: Float32Array[]): Promise<{ mask: Uint8Array; grid: Uint8Array }> {
    const [height, width] = prepared.geometry.window;
    const [rows, columns] = prepared.geometry.native;
    const mask = new Uint8Array(prepared.slices * rows * columns);
    const grid = new Uint8Array(prepared.slices * height * width);
    for (let z = 0; z < prepared.slices; z++) {
      const image = prepared.images.subarray(z * height * width, (z + 1) * height * width);
      const logits = await this.run(image, height, width);
      kept?.push(logits);
      mask.set(inverse(logits, this.classes, prepared.geometry), z * rows * columns);
      grid.set(largestOf(logits, this.classes), z * height * width);
      await step();
    }
    return { mask, grid };
  }

  private async run(image: Float32Array, height: number, width: number): Promise<Float32Array> {
    const input = new this.ort.Tensor("float32", image, [1, 1, height, width]);
    const output = (await this.session.run({ image: input }))["logits"]!;
    const logits = (await output.getData()) as Float32Array;
    if (logits.length !== this.classes * height * width || !logits.every(Number.isFinite)) {
      throw new DataFault(
        "The network returned values that are not finite.",
        "Its weights or the image are broken.",
      );
    }
    return logits.slice();
  }

  private tidy(mask: Uint8Array, shape: Volume["shape"]): void {
    const { labels, postprocessing } = this.bundle.card;
    const valued = (rings: Record<string, string>) =>
      new Map(Object.entries(rings).map(([ring, inner]) => [labels[ring]!, labels[inner]!]));
    const shares = Object.entries(postprocessing.small_pieces?.shares ?? {});
    dropSmall(mask, shape, new Map(shares.map(([name, share]) => [labels[name]!, share])));
    if (postprocessing.bare) dropBare(mask, shape, valued(postprocessing.bare.rings), postprocessing.bare.share);
    if (postprocessing.holes === undefined) return;
    const { structures, rings } = postprocessing.holes;
    const values = new Set(structures.map((name) => labels[name]!));
    fillHoles(mask, shape, values, valued(rings));
  }

  private checkWork(volume: Volume, name: string): void {
    const rules = this.bundle.card.preprocessing;
    const { max_scores, max_grey } = this.bundle.knowledge.work;
    const [, y, x] = volume.spacing;
    const [rows, columns] = geometryOf(rules, [volume.shape[1], volume.shape[2]], [y, x]).resampled;
    if (rows * columns * this.classes > max_scores) {
      const pixel = rules.spacing_mm.map((size) => formatNumber(size, "g"));
      const needed = [columns, rows].map((side) => formatNumber(side, ".6g")).join(" x ");
      throw new DataFault(
        `${name}: its slices would need ${needed} pixels of ${pixel[1]} x ${pixel[0]} mm.`,
        "Correct the voxel size in its header.",
      );
    }
    const largest = Math.max(...range(volume.image).map(Math.abs));
    if (largest > max_grey) {
      const shown = [formatNumber(largest, ".3g"), formatNumber(max_grey, "g")];
      throw new DataFault(
        `${name} holds values up to ${shown[0]}; expected grey levels up to ${shown[1]}.`,
        "Export the image again.",
      );
    }
  }
}

function largestOf(logits: Float32Array, classes: number): Uint8Array {
  const area = logits.length / classes;
  const found = new Uint8Array(area);
  for (let i = 0; i < area; i++) {
    for (let c = 1; c < classes; c++) if (logits[c * area + i]! > logits[found[i]! * area + i]!) found[i] = c;
  }
  return found;
}

function unpack(packed: Packed): Uint8Array | Float32Array {
  const bytes = inflate(fromBase64(packed.data));
  return packed.type === "float32" ? new Float32Array(bytes.slice().buffer) : bytes;
}

function digestOf(logits: Float32Array[]): string {
  const all = new Float32Array(logits.reduce((sum, slice) => sum + slice.length, 0));
  let place = 0;
  for (const slice of logits) {
    all.set(slice, place);
    place += slice.length;
  }
  return digestBytes(new Uint8Array(all.buffer));
}
