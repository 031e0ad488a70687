// Builds what the wheel carries: node build.mjs, after npm ci. The same sources give the same bytes.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const OUT = "built";
const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));

const __ORT_VERSION__ = JSON.stringify(lock.packages["node_modules/onnxruntime-web"].version);

const shared = {
  bundle: true,
  minify: true,
  legalComments: "none", // the licences are in notices.txt
  target: "es2022",
  write: false,
  // onnxruntime-web asks where it lies, to load its parts from there; they are handed to it instead.
  define: { "import.meta.url": '"blob:null/ort"', __ORT_VERSION__ },
  logLevel: "error",
};

async function bundle(entry, options) {
  const { outputFiles } = await build({ ...shared, entryPoints: [`src/${entry}`], ...options });
  return outputFiles[0].text.trimEnd() + "\n";
}

/** The licence of every package whose code is in what is built. */
function notices() {
  const inside = ["onnxruntime-web", "pako", "@noble/hashes", "nifti-reader-js", "fflate", "dicom-parser"];
  return inside
    .map((name) => {
      const folder = `node_modules/${name}`;
      const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
      const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
      const text = file ? readFileSync(`${folder}/${file}`, "utf8").replaceAll("\r\n", "\n").trim() : "";
      return `${name} ${version} (${license})\n\n${text}`.trim();
    })
    .join(`\n\n${"-".repeat(20)}\n\n`);
}

function sources() {
  return readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort();
}

/** What the built files were built from: a test compares it with the sources. */
function sourcesDigest() {
  const files = ["build.mjs", "package.json", "package-lock.json", ...sources()];
  const digest = createHash("sha256");
  for (const file of files) digest.update(`${file}\n`).update(readFileSync(file)).update("\n");
  return digest.digest("hex");
}

const runtime = readFileSync("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm");
const built = {
  "page.html": readFileSync("src/page.html"),
  "page.css": readFileSync("src/page.css"),
  "app.js": await bundle("app.ts", { format: "iife" }),
  "segment.mjs": await bundle("module.ts", { format: "esm", define: { __ORT_VERSION__ } }),
  "segment.d.mts": readFileSync("src/segment.d.mts"),
  "worker.js": await bundle("worker.ts", { format: "iife" }),
  "runtime.wasm.gz": gzipSync(runtime, { level: 9 }),
  "notices.txt": `${notices()}\n`,
  "sources.sha256": `${sourcesDigest()}\n`,
};
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
for (const [name, content] of Object.entries(built)) writeFileSync(`${OUT}/${name}`, content);
