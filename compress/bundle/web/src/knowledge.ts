/** What the page knows from the package: limits and words, as `knowledge.py` writes them, and the model's own card. */

import type { Rules } from "./preprocess";

export type Range = [low: number, high: number];
export type Words = Record<string, string>;

/** Limits and words; see the Python modules for what each means and where it comes from. */
export interface Knowledge {
  version: string;
  report_schema: number;
  /** Whether reports say where a window was moved to. */
  recentring: boolean;
  phantom_description: string;
  no_device: string;
  concerns: {
    clearly: number;
    far: number;
    rounding: number;
    field_mm: Range;
    min_pixels: number;
    max_labels: number;
    sample: number;
    sizes_agree: number;
    two_sizes: string;
    axes: string[];
    words: Words;
    cures: Words;
    force: string;
    export_again: string;
    forced: string;
  };
  stack: {
    min_slices: number;
    height_mm: Range;
    max_slices: number;
    slices_factor: number;
    cine_frames: number;
    alike: number;
    rounding: number;
    flat: string;
    time: string;
    many: string;
    no_volume: string[];
    words: Words;
  };
  flags: {
    piece_ml: number;
    gap_mm: number;
    ef_percent: Range;
    mass_g: Range;
    stroke_ratio: number;
    max_runs: number;
    ventricles: string[];
    words: Words;
  };
  study: { cine_frames: number; jump: number; density: number; units: Words; words: Words };
  mask: Record<"nifti1" | "nifti2", { block: string; spatial: [offset: number, size: number, count: number][] }>;
  nifti: { max_voxels: number; gzip_max_ratio: number; max_frames: number; max_cine_voxels: number };
  work: { max_scores: number; max_grey: number };
  verify: { flipped_voxels: number; logit_bound: number; stride: number };
  dicom: {
    classes: Words;
    packed: Words;
    max_side: number;
    max_files: number;
    max_cine_voxels: number;
    phase_images: string[];
    rightwards: number[];
    downwards: number[];
    heart_axis: number[];
    short_axis: number;
    min_slices: number;
    same_place_mm: number;
    uneven: number;
    parallel: number;
    across: number;
    long_axis: number;
    body: number;
  };
}

/** What the training images looked like. */
export interface TrainingRange {
  pixel_mm: Range;
  slice_mm: Range;
  slices: Range;
  width_mm: Range;
}

/** The document inside the model file. */
export interface Card {
  labels: Record<string, number>;
  colours: Record<string, string>;
  preprocessing: Rules & { recentre?: { at_most: number } };
  postprocessing: {
    bare?: { rings: Record<string, string>; share: number };
    small_pieces?: { shares: Record<string, number> };
    holes?: { structures: string[]; rings: Record<string, string> };
  };
  training: { phantom?: boolean; range: TrainingRange | null };
  provenance: { network?: string };
  quantization?: { logit_bound: number };
  intended_use: string;
}

/** An array in the self-test: zlib and base64. */
export interface Packed {
  shape: number[];
  type: "uint8" | "float32";
  data: string;
}

/** The self-test inside the model file. */
export interface Golden {
  spacing_mm: [number, number, number];
  image: Packed;
  mask: Packed;
  logits: Packed;
  logits_sha256: string;
}

/** All that `ship --web` puts into the page beside the code. */
export interface Bundle {
  card: Card;
  golden: Golden;
  knowledge: Knowledge;
  model: { file: string; sha256: string; title: string };
  banners: string[];
}
