/** Reading NIfTI with suspicion: `compress/data/nifti.py` and `frames.py` in JavaScript. */

import { NIFTI1, NIFTI2 } from "nifti-reader-js";
import { ByteStream, COPY_AGAIN, digestBlob } from "./bytes";
import { DataFault } from "./faults";
import type { ImageFile, SpatialHeader } from "./image";
import type { Knowledge } from "./knowledge";

type Header = NIFTI1 | NIFTI2;
type Read = (view: DataView, place: number, little: boolean) => number;

const WRONG_UNITS: Record<number, string> = { 1: "metres", 3: "micrometres" };
/** Voxel type -> bytes and how one is read. */
const TYPES: Record<number, [bytes: number, read: Read]> = {
  2: [1, (view, i) => view.getUint8(i)],
  4: [2, (view, i, little) => view.getInt16(i, little)],
  8: [4, (view, i, little) => view.getInt32(i, little)],
  16: [4, (view, i, little) => view.getFloat32(i, little)],
  64: [8, (view, i, little) => view.getFloat64(i, little)],
  256: [1, (view, i) => view.getInt8(i)],
  512: [2, (view, i, little) => view.getUint16(i, little)],
  768: [4, (view, i, little) => view.getUint32(i, little)],
  1024: [8, (view, i, little) => Number(view.getBigInt64(i, little))],
  1280: [8, (view, i, little) => Number(view.getBigUint64(i, little))],
};

type Size = [x: number, y: number, z: number, frames: number];

/** Read and check the header of a 3D image or a cine; no voxel is read. A `DataFault` is one line that names the file. */
export async function openNifti(blob: Blob, name: string, know: Knowledge): Promise<ImageFile> {
  const stream = await ByteStream.open(blob, name);
  const { header, block } = await readHeader(stream, name);
  const size = checkHeader(header, name, know);
  if (header.dims[0]! > 7) {
    throw new DataFault(`${name} says that it has ${header.dims[0]} dimensions (dim[0]); NIfTI has 7 at most.`);
  }
  checkCine(size, name, know);
  checkSize(stream, blob, header, block, size, name, know);
  const scaling = scalingOf(header, name);
  const spatial = { version: block.length === 348 ? 1 : 2, littleEndian: header.littleEndian, block } as const;
  const told = toldSizes(header, spatial, name);
  const [x, y, z, frames] = size;
  return {
    name,
    shape: [z, y, x],
    frames,
    spacing: [header.pixDims[3]!, header.pixDims[2]!, header.pixDims[1]!],
    told,
    header: spatial,
    phantom: header.description === know.phantom_description,
    volumes: () => volumes(blob, name, header, size, scaling),
    digest: () => digestBlob(blob, name),
  };
}

async function readHeader(stream: ByteStream, name: string): Promise<{ header: Header; block: Uint8Array }> {
  const refused = new DataFault(`${name} is not a single-file NIfTI image.`, "Convert it to .nii.gz (X, Y, Z).");
  const first = await stream.read(348);
  const says = (block: Uint8Array, place: number, magic: string) =>
    String.fromCharCode(...block.subarray(place, place + 4)) === `${magic}\0`;
  const parse = <T extends Header>(header: T, block: Uint8Array) => {
    try {
      header.readHeader(block.slice().buffer);
    } catch {
      throw refused;
    }
    return { header, block };
  };
  if (first.length === 348 && says(first, 344, "n+1")) return parse(new NIFTI1(), first);
  const rest = await stream.read(540 - 348);
  const block = new Uint8Array(540);
  block.set(first);
  block.set(rest, first.length);
  if (first.length + rest.length !== 540 || !says(block, 4, "n+2")) throw refused;
  return parse(new NIFTI2(), block);
}

function tuple(values: number[]): string {
  return values.length === 1 ? `(${values[0]},)` : `(${values.join(", ")})`;
}

function product(values: number[]): number {
  return values.reduce((a, b) => a * b, 1);
}

function claimed(header: Header): number[] {
  return header.dims.slice(1, 1 + Math.max(header.dims[0]!, 0));
}

function checkHeader(header: Header, name: string, know: Knowledge): Size {
  const shape = claimed(header);
  if (!shape.length || Math.min(...shape) < 1) {
    throw new DataFault(`${name} has an empty or negative dimension: shape ${tuple(shape)}.`);
  }
  const dimensions = `${name} is ${shape.length}D: shape ${tuple(shape)}; expected 3D`;
  if (product(shape.slice(4)) > 1) throw new DataFault(`${dimensions}.`, "Split it into 3D files.");
  if (shape.length < 3) throw new DataFault(`${dimensions} (X, Y, Z).`, "Stack the slices.");
  if (product(shape.slice(0, 3)) > know.nifti.max_voxels) {
    const all = product(shape);
    throw new DataFault(`${name} claims ${all} voxels, shape ${tuple(shape)}: its header looks damaged.`);
  }
  if (!TYPES[header.datatypeCode]) {
    const code = header.datatypeCode;
    throw new DataFault(`${name} has NIfTI voxel type ${code}; expected plain numbers (no colour, no complex).`);
  }
  checkSpacing(header, name);
  return [shape[0]!, shape[1]!, shape[2]!, product(shape.slice(3))];
}

function checkSpacing(header: Header, name: string): void {
  const units = WRONG_UNITS[header.xyzt_units & 7];
  if (units) throw new DataFault(`${name} gives its voxel size in ${units}; expected millimetres.`);
  const spacing = [3, 2, 1].map((axis) => header.pixDims[axis]!);
  if (!spacing.every((size) => Number.isFinite(size) && size > 0)) {
    const shown = spacing.map((size) => (Number.isInteger(size) ? size.toFixed(1) : String(Number(size.toFixed(4)))));
    const message = `${name} has a voxel size that is not positive: (${shown.join(", ")}) mm (z, y, x).`;
    throw new DataFault(message, "Correct its pixdim.");
  }
}

function checkCine([x, y, z, frames]: Size, name: string, know: Knowledge): void {
  const { max_frames, max_cine_voxels } = know.nifti;
  if (frames > max_frames) {
    throw new DataFault(`${name} claims ${frames} frames; at most ${max_frames} are read.`, "Split the cine.");
  }
  const all = x * y * z * frames;
  if (all > max_cine_voxels) {
    const message = `${name} claims ${all} voxels in ${frames} frames; at most ${max_cine_voxels} are read.`;
    throw new DataFault(message, "Split the cine, if its header is not damaged.");
  }
}

function checkSize(
  stream: ByteStream,
  blob: Blob,
  header: Header,
  block: Uint8Array,
  size: Size,
  name: string,
  know: Knowledge,
): void {
  const offset = Math.trunc(header.vox_offset);
  if (!(offset >= block.length)) {
    const message = `${name} says that its voxels start at byte ${offset}, inside the header: it looks damaged.`;
    throw new DataFault(message);
  }
  const needed = offset + product(size) * TYPES[header.datatypeCode]![0];
  if (blob.size * (stream.packed ? know.nifti.gzip_max_ratio : 1) < needed) {
    throw new DataFault(`${name} is truncated: too small for shape ${tuple(claimed(header))}.`, COPY_AGAIN);
  }
}

/** (slope, intercept); (1, 0) where the header gives none. */
function scalingOf(header: Header, name: string): [number, number] {
  const [slope, inter] = [header.scl_slope, header.scl_inter];
  if (slope === 0 || !Number.isFinite(slope)) return [1, 0];
  if (!Number.isFinite(inter)) {
    throw new DataFault(`${name} cannot be read: Valid slope but invalid intercept ${inter}.`, COPY_AGAIN);
  }
  return [slope, inter];
}

/** The voxel size (z, y, x) by sform, else qform, else the zooms; a damaged orientation is refused. */
function toldSizes(header: Header, spatial: SpatialHeader, name: string): [number, number, number] {
  const zooms = [header.pixDims[3]!, header.pixDims[2]!, header.pixDims[1]!] as [number, number, number];
  if (header.sform_code !== 0) {
    const rows = sformOf(spatial);
    if (!rows.flat().every(Number.isFinite)) {
      throw new DataFault(`${name} has an affine with NaN or infinite values.`);
    }
    const column = (axis: number) => Math.hypot(...rows.map((row) => row[axis]!));
    return [column(2), column(1), column(0)];
  }
  if (header.qform_code !== 0) checkQform(header, name);
  return zooms;
}

/** The rows of the sform as they stand; nifti-reader-js gives the qform where that has the larger code. */
function sformOf({ version, littleEndian, block }: SpatialHeader): number[][] {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const read = (i: number) =>
    version === 1 ? view.getFloat32(280 + 4 * i, littleEndian) : view.getFloat64(400 + 8 * i, littleEndian);
  return [0, 1, 2].map((row) => [0, 1, 2, 3].map((column) => read(4 * row + column)));
}

function checkQform(header: Header, name: string): void {
  const damaged = (why: string) => new DataFault(`${name} has a damaged orientation (qform): ${why}.`);
  const { quatern_b: b, quatern_c: c, quatern_d: d } = header;
  const rest = 1 - (b * b + c * c + d * d);
  if (rest < -3.6e-7) throw damaged("its quaternion is longer than 1");
  if (Math.abs(header.pixDims[0]!) !== 1) throw damaged("qfac (pixdim[0]) should be 1 or -1");
  if (![b, c, d, header.qoffset_x, header.qoffset_y, header.qoffset_z].every(Number.isFinite)) {
    throw new DataFault(`${name} has an affine with NaN or infinite values.`);
  }
}

async function* volumes(
  blob: Blob,
  name: string,
  header: Header,
  [x, y, z, frames]: Size,
  scaling: [number, number],
): AsyncGenerator<Float32Array> {
  const stream = await ByteStream.open(blob, name);
  await stream.skip(Math.trunc(header.vox_offset));
  const [bytes, read] = TYPES[header.datatypeCode]!;
  const needed = x * y * z * bytes;
  for (let number = 1; number <= frames; number++) {
    const content = await stream.read(needed);
    if (content.length < needed) {
      const missing = `it is truncated, ${needed - content.length} bytes are missing`;
      throw new DataFault(`${name} cannot be read: ${missing}.`, COPY_AGAIN);
    }
    if (number === frames) await stream.read(1); // at its end, gzip compares the checksum
    const where = frames > 1 ? `Frame ${number} of ${name}` : name;
    yield finite(decode(content, read, bytes, header.littleEndian, scaling), where);
  }
}

function decode(
  content: Uint8Array,
  read: Read,
  bytes: number,
  little: boolean,
  [slope, inter]: [number, number],
): Float32Array {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const found = new Float32Array(content.length / bytes);
  for (let i = 0; i < found.length; i++) found[i] = read(view, i * bytes, little) * slope + inter;
  return found;
}

/** The values themselves; a fault for NaN, infinity and what overflows float32. */
export function finite(values: Float32Array, where: string): Float32Array {
  let bad = 0;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) bad++;
  if (bad) throw new DataFault(`${where} holds ${bad} NaN or infinite voxels.`, "Export the image again.");
  return values;
}
