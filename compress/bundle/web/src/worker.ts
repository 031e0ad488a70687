/** The worker: everything that takes time happens here, so that the page stays awake. */

import * as ort from "onnxruntime-web/wasm";
import { Engine, type Ort, type Verification } from "./engine";
import { ConcernFault, DataFault, lineOf } from "./faults";
import { doJob, type Result } from "./job";
import type { Bundle } from "./knowledge";
import { findSources, type Dropped } from "./sources";

export type ToWorker =
  | { type: "open"; wasm: Uint8Array; model: Uint8Array; bundle: Bundle }
  | { type: "segment"; files: Dropped[]; force: boolean };

export type FromWorker =
  | { type: "ready"; verification: Verification }
  | { type: "failed"; message: string }
  | { type: "progress"; done: number; total: number; words: string }
  | { type: "notes"; notes: string[] }
  | { type: "refused"; study: string; message: string; cure: string; canForce: boolean }
  | { type: "result"; result: Result }
  | { type: "done" };

let engine: Engine | null = null;

function say(message: FromWorker, moved: ArrayBufferLike[] = []): void {
  self.postMessage(message, { transfer: moved as ArrayBuffer[] });
}

/** The arrays of a result: they move to the page, as a copy of a cine's would take as much memory again. */
function arraysOf({ images }: Result): ArrayBufferLike[] {
  const arrays = images.flatMap(({ grey, labels, maskFile }) => [...grey, ...labels, maskFile]);
  return [...new Set(arrays.map((array) => array.buffer))];
}

async function open({ wasm, model, bundle }: Extract<ToWorker, { type: "open" }>): Promise<void> {
  ort.env.wasm.numThreads = 1; // a page from a disk has no shared memory
  ort.env.wasm.wasmBinary = wasm.buffer;
  engine = await Engine.open(ort as unknown as Ort, model, bundle, "wasm");
  ort.env.wasm.wasmBinary = undefined; // compiled: the bytes may go
  say({ type: "ready", verification: await engine.selfTest() });
}

async function segment(files: Dropped[], force: boolean): Promise<void> {
  const found = await findSources(files, engine!.bundle.knowledge);
  if (found.notes.length) say({ type: "notes", notes: found.notes });
  for (const problem of found.problems) refuse("", problem);
  for (const job of found.jobs) {
    try {
      const result = await doJob(engine!, job, force, (done, total, words) =>
        say({ type: "progress", done, total, words }),
      );
      say({ type: "result", result }, arraysOf(result));
    } catch (fault) {
      refuse(job.study, fault);
    }
  }
}

function refuse(study: string, fault: unknown): void {
  const data = fault instanceof DataFault;
  const message = data ? fault.message : lineOf(fault);
  say({ type: "refused", study, message, cure: data ? fault.cure : "", canForce: fault instanceof ConcernFault });
}

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.type === "open") {
      await open(data);
    } else {
      await segment(data.files, data.force).catch((fault: unknown) => refuse("", fault));
      say({ type: "done" });
    }
  } catch (fault) {
    say({ type: "failed", message: lineOf(fault) });
  }
};
