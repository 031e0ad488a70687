/** A stack as an image file, its slices read when a frame is asked for: `compress/data/dicom/stack.py` in JavaScript. */

import { digestBlob, digestBytes, fromBase64 } from "../bytes";
import type { ImageFile, SpatialHeader } from "../image";
import type { Knowledge } from "../knowledge";
import { finite } from "../nifti";
import type { Stack } from "./build";
import { readSlice } from "./header";
import { turned, upright } from "./views";

/** DICOM's x points to the left and its y to the back, NIfTI's to the right and to the front. */
const TO_RAS = [-1, -1, 1];

/** The scan as an image; `name` is its folder. */
export function openStack(stack: Stack, name: string, know: Knowledge): ImageFile {
  const first = stack.frames[0]![0]!;
  const turn = upright(first.plane.orientation, know.dicom);
  const { rows, columns } = first.pixels;
  const [height, width] = turn.swap ? [columns, rows] : [rows, columns];
  const affine = affineOf(stack, know);
  const [x, y, z] = [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis]!))) as [number, number, number];
  const frames = stack.frames.length;
  return {
    name,
    shape: [stack.frames[0]!.length, height, width],
    frames,
    spacing: [z, y, x],
    told: [z, y, x],
    header: headerOf(affine, [width, height, stack.frames[0]!.length], frames, stack.intervalMs / 1000, know),
    phantom: false,
    async *volumes() {
      for (const [t, slices] of stack.frames.entries()) {
        const volume = new Float32Array(slices.length * rows * columns);
        for (const [k, frame] of slices.entries()) {
          volume.set(turned(await readSlice(frame), rows, columns, turn), k * rows * columns);
        }
        yield finite(volume, frames > 1 ? `Frame ${t + 1} of ${name}` : name);
      }
    },
    async digest() {
      const files = new Map(stack.frames.flat().map((frame) => [frame.path, frame.file]));
      const digests: string[] = [];
      for (const [path, file] of files) digests.push(await digestBlob(file, path));
      return digestBytes(new TextEncoder().encode(JSON.stringify(digests)));
    },
  };
}

/** (3, 4): voxel (x, y, slice) of the upright stack to NIfTI's millimetres. */
function affineOf(stack: Stack, know: Knowledge): number[][] {
  const slices = stack.frames[0]!;
  const [first, last] = [slices[0]!, slices[slices.length - 1]!];
  const { orientation, spacing } = first.plane;
  const turn = upright(orientation, know.dicom);
  const steps = Math.max(slices.length - 1, 1);
  const { rows, columns } = first.pixels;
  return [0, 1, 2].map((k) => {
    const stored = [orientation[k]! * spacing[1], orientation[3 + k]! * spacing[0]];
    const across = (last.position[k]! - first.position[k]!) / steps;
    const [width, height] = turn.swap ? [rows, columns] : [columns, rows];
    const [u, v] = turn.swap ? [stored[1]!, stored[0]!] : [stored[0]!, stored[1]!];
    const place =
      first.position[k]! + (turn.flipColumns ? u * (width - 1) : 0) + (turn.flipRows ? v * (height - 1) : 0);
    const row = [turn.flipColumns ? -u : u, turn.flipRows ? -v : v, across, place];
    return row.map((value) => TO_RAS[k]! * value);
  });
}

/** A NIfTI header with the place in sform and qform. */
function headerOf(
  affine: number[][],
  size: [number, number, number],
  frames: number,
  intervalS: number,
  know: Knowledge,
): SpatialHeader {
  const block = fromBase64(know.mask.nifti1.block);
  const view = new DataView(block.buffer);
  const sizes = [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis]!)));
  const dims = [frames > 1 ? 4 : 3, ...size, frames, 1, 1, 1];
  dims.forEach((value, i) => view.setInt16(40 + 2 * i, value, true));
  const { quaternion, qfac } = quaternionOf(affine, sizes);
  const pixdim = [qfac, ...sizes, frames > 1 ? intervalS : 1, 1, 1, 1];
  pixdim.forEach((value, i) => view.setFloat32(76 + 4 * i, value, true));
  view.setUint8(123, 2 | 8); // millimetres and seconds
  view.setInt16(252, 1, true); // qform and sform: the scanner's coordinates
  view.setInt16(254, 1, true);
  const offsets = affine.map((row) => row[3]!);
  [...quaternion, ...offsets].forEach((value, i) => view.setFloat32(256 + 4 * i, value, true));
  affine.flat().forEach((value, i) => view.setFloat32(280 + 4 * i, value, true));
  return { version: 1, littleEndian: true, block };
}

/** b, c, d of the unit quaternion of an affine's rotation, and whether its third axis is mirrored. */
function quaternionOf(affine: number[][], sizes: number[]): { quaternion: number[]; qfac: number } {
  const r = nearestRotation(affine.map((row) => [0, 1, 2].map((axis) => row[axis]! / sizes[axis]!)));
  const at = (i: number, j: number) => r[i]![j]!;
  const qfac = determinant(r) < 0 ? -1 : 1;
  for (const row of r) row[2]! *= qfac;
  const squares = [
    1 + at(0, 0) + at(1, 1) + at(2, 2),
    1 + at(0, 0) - at(1, 1) - at(2, 2),
    1 - at(0, 0) + at(1, 1) - at(2, 2),
    1 - at(0, 0) - at(1, 1) + at(2, 2),
  ];
  const largest = squares.indexOf(Math.max(...squares));
  const s = 2 * Math.sqrt(squares[largest]!);
  const sums = [at(0, 1) + at(1, 0), at(0, 2) + at(2, 0), at(1, 2) + at(2, 1)].map((sum) => sum / s);
  const gaps = [at(2, 1) - at(1, 2), at(0, 2) - at(2, 0), at(1, 0) - at(0, 1)].map((gap) => gap / s);
  const found = [
    [s / 4, gaps[0]!, gaps[1]!, gaps[2]!],
    [gaps[0]!, s / 4, sums[0]!, sums[1]!],
    [gaps[1]!, sums[0]!, s / 4, sums[2]!],
    [gaps[2]!, sums[1]!, sums[2]!, s / 4],
  ][largest]!;
  return { quaternion: found.slice(1).map((value) => (found[0]! < 0 ? -value : value)), qfac };
}

/** The orthogonal matrix nearest to one that is almost so, by Newton's iteration: directions in files are rounded. */
function nearestRotation(matrix: number[][]): number[][] {
  let found = matrix;
  for (let i = 0; i < 8; i++) {
    const turnedBack = cofactors(found).map((row) => row.map((value) => value / determinant(found)));
    found = found.map((row, k) => row.map((value, j) => (value + turnedBack[k]![j]!) / 2));
  }
  return found;
}

function cofactors(m: number[][]): number[][] {
  const at = (i: number, j: number) => m[(i + 3) % 3]![(j + 3) % 3]!;
  return [0, 1, 2].map((i) =>
    [0, 1, 2].map((j) => at(i + 1, j + 1) * at(i + 2, j + 2) - at(i + 1, j + 2) * at(i + 2, j + 1)),
  );
}

function determinant(m: number[][]): number {
  return m[0]!.reduce((sum, value, j) => sum + value * cofactors(m)[0]![j]!, 0);
}
