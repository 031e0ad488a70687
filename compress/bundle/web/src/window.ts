/** Where the network's window lies, and moving it onto a heart that it cuts: `compress/data/window.py` in JavaScript. */

import { findPieces } from "./pieces";
import { overlaps, type Geometry } from "./preprocess";
import { roundHalfEven } from "./words";

export type Shift = [rows: number, columns: number];

/** Slices in which the heart reaches an edge of the window behind which the slice goes on. found: (Z, H, W). */
export function cutSlices(found: Uint8Array, slices: number, geometry: Geometry): number[] {
  const [height, width] = geometry.window;
  const [rows, columns] = overlaps(geometry)[0];
  const edges: ((z: number) => number[])[] = [];
  const row = (y: number) => (z: number) => Array.from({ length: width }, (_, x) => (z * height + y) * width + x);
  const column = (x: number) => (z: number) => Array.from({ length: height }, (_, y) => (z * height + y) * width + x);
  if (rows.start > 0) edges.push(row(0));
  if (rows.stop < geometry.resampled[0]) edges.push(row(height - 1));
  if (columns.start > 0) edges.push(column(0));
  if (columns.stop < geometry.resampled[1]) edges.push(column(width - 1));
  const reaches = (mask: Uint8Array) =>
    Array.from({ length: slices }, (_, z) => z).filter((z) => edges.some((edge) => edge(z).some((i) => mask[i])));
  return reaches(found).length ? reaches(largestPiece(found, slices, geometry)) : [];
}

/** How the window has to be moved from the slice's centre so that the heart lies in its middle, or near to that. */
export function onto(found: Uint8Array, slices: number, geometry: Geometry): Shift {
  const heart = largestPiece(found, slices, geometry);
  const [height, width] = geometry.window;
  const used = [new Set<number>(), new Set<number>()] as const;
  heart.forEach((value, i) => {
    if (!value) return;
    used[0].add(Math.floor(i / width) % height);
    used[1].add(i % width);
  });
  return [0, 1].map((axis) => {
    const places = used[axis as 0 | 1];
    const [have, want, now] = [geometry.resampled[axis]!, geometry.window[axis]!, geometry.moved[axis]!];
    const off = roundHalfEven((Math.min(...places) + Math.max(...places) + 1 - want) / 2);
    const free = Math.max(have - want, 0);
    return Math.min(Math.max(now + off, -Math.floor(free / 2)), free - Math.floor(free / 2));
  }) as Shift;
}

/** The largest piece of all structures together: 1 inside. */
function largestPiece(found: Uint8Array, slices: number, geometry: Geometry): Uint8Array {
  const any = found.map((value) => (value ? 1 : 0));
  const { piece, sizes } = findPieces(any, 1, [slices, ...geometry.window]);
  const largest = sizes.indexOf(Math.max(...sizes));
  return any.map((_, i) => (piece[i] === largest ? 1 : 0));
}
