/** The page: it opens the model in a worker, takes files, and shows what came of them. */

import { fromBase64 } from "./bytes";
import { byId, el } from "./dom";
import { lineOf } from "./faults";
import type { Result } from "./job";
import type { Bundle } from "./knowledge";
import { resultOf } from "./results";
import type { Dropped } from "./sources";
import { fill } from "./words";
import type { FromWorker, ToWorker } from "./worker";

const data = <T>(id: string): T => JSON.parse(byId(id).textContent!) as T;
const bundle = data<Bundle>("bundle");
const workerSource = data<string>("worker");
const model = bytesIn("model");
const packedWasm = bytesIn("wasm");
const results: Result[] = [];
let worker: Worker | null = null;
let isReady = false;
let runs = 0;
let last: Dropped[] = [];

/** The bytes that an element holds as base64; it goes, as its text takes more memory than they do. */
function bytesIn(id: string): Uint8Array {
  const found = fromBase64(byId(id).textContent!);
  byId(id).remove();
  return found;
}

async function unpacked(packed: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([packed as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start(): Promise<void> {
  setReady(false);
  const wasm = await unpacked(packedWasm);
  const address = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  worker = new Worker(address);
  URL.revokeObjectURL(address);
  worker.onmessage = ({ data: message }: MessageEvent<FromWorker>) => take(message);
  worker.onerror = (event) => {
    event.preventDefault();
    fail(event.message || "the worker did not start");
  };
  send({ type: "open", wasm, model, bundle }, [wasm.buffer as ArrayBuffer]);
}

/** `moved`: what the page does not keep. */
function send(message: ToWorker, moved: ArrayBuffer[] = []): void {
  worker!.postMessage(message, moved);
}

function take(message: FromWorker): void {
  switch (message.type) {
    case "ready": {
      const { verdict, reasons, differing_voxels, voxels } = message.verification;
      if (verdict === "broken") return fail(`the self-test is broken here: ${reasons.join("; ")}`);
      const told = `Self-test: ${verdict} (${differing_voxels} of ${voxels} voxels differ). Ready.`;
      status(told, "good");
      return setReady(true);
    }
    case "progress":
      return progress(message.done, message.total, message.words);
    case "notes":
      return notes(message.notes);
    case "refused":
      return refused(message);
    case "result":
      return show(message.result);
    case "done":
      byId("progress-part").hidden = true;
      byId("results").dataset["runs"] = String(++runs); // for who waits from outside
      return setReady(true);
    case "failed":
      return fail(message.message);
  }
}

function status(text: string, kind: "good" | "bad" | "wait"): void {
  const place = byId("status");
  place.textContent = text;
  place.className = `status ${kind}`;
}

function fail(message: string): void {
  byId("progress-part").hidden = true;
  setReady(false);
  status(`Nothing can be segmented: ${message}. Use another browser, or predict on the command line.`, "bad");
}

function setReady(on: boolean): void {
  isReady = on;
  for (const id of ["files", "folder"]) (byId(id) as HTMLInputElement).disabled = !on;
  byId("drop").classList.toggle("off", !on);
}

function segment(files: Dropped[], force: boolean): void {
  if (!isReady || !files.length) return;
  last = files;
  setReady(false);
  byId("messages").replaceChildren();
  byId("progress-part").hidden = false;
  progress(0, 1, "Reading");
  send({ type: "segment", files, force });
}

function progress(done: number, total: number, words: string): void {
  const bar = byId("progress") as HTMLProgressElement;
  bar.max = total;
  bar.value = done;
  byId("progress-words").textContent = words;
}

function cancel(): void {
  worker?.terminate();
  byId("progress-part").hidden = true;
  status("Stopped. Starting again.", "wait");
  void start().catch((fault: unknown) => fail(lineOf(fault)));
}

function notes(lines: string[]): void {
  const list = el("ul", {}, ...lines.map((line) => el("li", {}, line)));
  byId("messages").append(el("details", { class: "notes" }, el("summary", {}, "What was read and what was left out"), list));
}

function refused({ study, message, cure, canForce }: Extract<FromWorker, { type: "refused" }>): void {
  const files = last;
  const again = el("button", { type: "button", click: () => segment(files, true) }, "Segment anyway");
  byId("messages").append(
    el(
      "div",
      { class: "banner bad", role: "alert" },
      el("p", {}, el("strong", {}, study ? `${study} was not segmented. ` : "Not segmented. "), message),
      cure ? el("p", {}, cure) : null,
      canForce ? again : null,
    ),
  );
}

function show(result: Result): void {
  const same = results.findIndex((other) => other.study === result.study);
  if (same >= 0) results.splice(same, 1);
  results.unshift(result);
  choose(0);
  byId("result-heading").focus();
}

function choose(index: number): void {
  const options = results.map((result, i) => el("option", { value: i, selected: i === index }, result.study));
  const chooser = el("select", { id: "study", change: () => choose(Number(chooser.value)) }, ...options);
  const row = el("p", { class: "chooser" }, el("label", { for: "study" }, "Study"), chooser);
  byId("results").replaceChildren(...(results.length > 1 ? [row] : []), resultOf(results[index]!, bundle));
}

function listen(): void {
  for (const id of ["files", "folder"]) {
    const input = byId(id) as HTMLInputElement;
    input.addEventListener("change", () => {
      const chosen = [...input.files!].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      input.value = "";
      segment(chosen, false);
    });
  }
  const zone = document.body;
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
  zone.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").classList.remove("over");
    const entries = [...event.dataTransfer!.items].map((item) => item.webkitGetAsEntry()).filter((e) => e !== null);
    void Promise.all(entries.map(filesBelow)).then((found) => segment(found.flat(), false));
  });
  byId("cancel").addEventListener("click", cancel);
}

/** Every file of what was dropped, with its folders. */
async function filesBelow(entry: FileSystemEntry): Promise<Dropped[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Dropped[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return found;
    for (const each of part) found.push(...(await filesBelow(each)));
  }
}

function introduce(): void {
  const { model: file, banners, knowledge } = bundle;
  document.title = `${banners.length ? `${banners[0]!.split(":")[0]}: ` : ""}${file.title}`;
  byId("title").textContent = file.title;
  byId("banners").append(...banners.map((line) => el("p", { class: "banner warn" }, line)));
  byId("no-device").textContent = knowledge.no_device;
  byId("about").textContent = fill("Model {sha}, written by cardiocompress {version}.", {
    sha: file.sha256.slice(0, 12),
    version: knowledge.version,
  });
}

introduce();
listen();
void start().catch((fault: unknown) => fail(lineOf(fault)));
