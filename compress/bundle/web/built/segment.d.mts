/**
 * The engine of segment.html for a page of one's own:
 *
 *     import { open } from "./segment.mjs";
 *     const segmenter = await open();                       // takes model.onnx, which lies beside it
 *     const { mask, volumes, flags } = await segmenter.segment(arrayBuffer);
 *
 * It computes where it is imported: import it in a worker to keep a page awake.
 */

/** A part of onnxruntime-web, such as `import * as ort from "onnxruntime-web/webgpu"`. */
export interface OnnxRuntime {
  InferenceSession: unknown;
  Tensor: unknown;
  env: unknown;
}

export interface OpenOptions {
  /** The content of the bundle's model.onnx; without it, it is fetched from beside this module. */
  model?: ArrayBuffer | Uint8Array;
  /** onnxruntime-web with WebGPU. It computes where the self-test holds on it; WebAssembly does otherwise. */
  webgpu?: OnnxRuntime;
}

export interface SegmentOptions {
  /** How messages call the image; "image" without it. */
  name?: string;
  /** Segment an image that is unlike those of the training. */
  force?: boolean;
  /** Called after each slice. */
  progress?: (done: number, total: number) => void;
}

/** Something odd about an image, a mask or a value, as data. */
export interface Remark {
  kind: string;
  message: string;
  /** Of a cine, counted from 1. */
  frame?: number;
}

export interface Segmentation {
  /** Label values of all frames, (frame, slice, row, column). */
  mask: Uint8Array;
  shape: [frames: number, slices: number, rows: number, columns: number];
  /** Millimetres along (slice, row, column). */
  spacing: [number, number, number];
  /** Millilitres of each structure in each frame; empty tables where the slices hold no ventricle. */
  volumes: Record<string, number>[];
  /** What is odd about the masks and the values. */
  flags: Remark[];
  /** Doubts about the image that `force` overruled. */
  concerns: Remark[];
  /** Such as "LV EF", in the units of the report; null where undefined. */
  clinical: Record<string, number | null>;
  /** The mask as .nii.gz, on the image's own grid. */
  maskFile: Uint8Array;
  /** The report as `cardiocompress predict` writes it. */
  report: Record<string, unknown>;
}

export interface Verification {
  verdict: "bit-equal" | "within tolerance" | "broken";
  reasons: string[];
  differing_voxels: number;
  voxels: number;
  max_logit_difference: number;
  logit_bound: number;
  provider: "wasm" | "webgpu";
}

export interface Segmenter {
  /** Structure name -> label value; 0 is background. */
  labels: Record<string, number>;
  /** The self-test of the model, on what computes. */
  verification: Verification;
  /** Why WebGPU does not compute although it was asked for; "" otherwise. */
  withoutWebgpu: string;
  /** Segment a NIfTI image, 3D or a cine. Rejects with a `DataFault` that says what is wrong and what to do. */
  segment(image: ArrayBuffer | Blob, options?: SegmentOptions): Promise<Segmentation>;
  close(): Promise<void>;
}

/** An error that a person can act on. */
export declare class DataFault extends Error {
  readonly cure: string;
}

/** Open the model. Rejects where its self-test is broken, or the model is another one than the bundle's. */
export declare function open(options?: OpenOptions): Promise<Segmenter>;

/** `open` once, and `segment`. */
export declare function segment(image: ArrayBuffer | Blob, options?: SegmentOptions): Promise<Segmentation>;
