/** segment.mjs: the engine for a hospital's own page; `segment.d.mts` says what it offers. */

import * as wasmOrt from "onnxruntime-web/wasm";
import { digestBytes, fromBase64 } from "./bytes";
import { findConcerns } from "./concerns";
import { Engine, type Ort, type Provider } from "./engine";
import { DataFault } from "./faults";
import { maskFlags, studyFlags, type Flag } from "./flags";
import { doJob, joined } from "./job";
import type { Bundle } from "./knowledge";
import { openNifti } from "./nifti";
import { dropBare, dropSmall, fillHoles } from "./pieces";
import { forward, inverse } from "./preprocess";
import type * as api from "./segment.mjs";
import { cutSlices, onto } from "./window";
import { formatNumber } from "./words";

/** Filled in by `ship`: what the model's card and the package say, and the runtime, gzip and base64. */
declare const __DATA__: { bundle: Bundle; wasm: string };

export { DataFault };

const MODEL = "model.onnx";
let opened: Promise<api.Segmenter> | null = null;

export const open: typeof api.open = async ({ model, webgpu } = {}) => {
  const { bundle } = __DATA__;
  const content = await modelOf(model, bundle);
  let withoutWebgpu = "";
  if (webgpu) {
    try {
      return segmenterOf(await proven(webgpu as Ort, content, bundle, "webgpu"), "");
    } catch (fault) {
      withoutWebgpu = fault instanceof Error ? fault.message : String(fault);
    }
  }
  const ort = wasmOrt as unknown as Ort;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary ??= await runtime();
  return segmenterOf(await proven(ort, content, bundle, "wasm"), withoutWebgpu);
};

export const segment: typeof api.segment = async (image, options) => {
  opened ??= open();
  return (await opened).segment(image, options);
};

type Proven = { engine: Engine; verification: api.Verification };

/** A session that the self-test holds on; rejects otherwise. */
async function proven(ort: Ort, model: Uint8Array, bundle: Bundle, provider: Provider): Promise<Proven> {
  if (provider === "webgpu" && !("gpu" in navigator)) throw new Error("this browser has no WebGPU");
  const engine = await Engine.open(ort, model, bundle, provider);
  const verification = await engine.selfTest();
  if (verification.verdict === "broken") {
    await engine.close();
    throw new Error(`the self-test is broken here: ${verification.reasons.join("; ")}`);
  }
  return { engine, verification };
}

function segmenterOf({ engine, verification }: Proven, withoutWebgpu: string): api.Segmenter {
  return {
    labels: engine.bundle.card.labels,
    verification,
    withoutWebgpu,
    segment: (image, options) => segmentWith(engine, image, options),
    close: () => engine.close(),
  };
}

async function segmentWith(
  engine: Engine,
  image: ArrayBuffer | Blob,
  { name = "image", force = false, progress = () => {} }: api.SegmentOptions = {},
): Promise<api.Segmentation> {
  const blob = image instanceof Blob ? image : new Blob([image]);
  const file = await openNifti(blob, name, engine.bundle.knowledge);
  const source = { file, phase: "", phaseFrom: "", mask: `${name}.nii.gz` };
  const result = await doJob(engine, { study: name, open: async () => [source] }, force, progress);
  const [shown] = result.images as [(typeof result.images)[0]];
  const [told] = result.document["images"] as [{ flags: Flag[]; concerns: api.Remark[] }];
  return {
    mask: joined(shown.labels),
    shape: [file.frames, ...file.shape],
    spacing: file.spacing,
    volumes: shown.volumes,
    flags: [...(result.document["flags"] as Flag[]), ...told.flags],
    concerns: told.concerns,
    clinical: result.clinical,
    maskFile: shown.maskFile,
    report: result.document,
  };
}

async function modelOf(given: ArrayBuffer | Uint8Array | undefined, bundle: Bundle): Promise<Uint8Array> {
  const content = new Uint8Array(given ?? (await (await fetch(new URL(MODEL, import.meta.url))).arrayBuffer()));
  if (digestBytes(content) !== bundle.model.sha256) {
    throw new DataFault("The model is another one than this module was made for.", `Give ${MODEL} of the same bundle.`);
  }
  return content;
}

async function runtime(): Promise<ArrayBuffer> {
  const packed = new Blob([fromBase64(__DATA__.wasm) as BlobPart]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** For tests: the parts that mirror Python modules. */
export const parts = { cutSlices, dropBare, dropSmall, fillHoles, findConcerns, formatNumber, forward, inverse, maskFlags, onto, studyFlags };
