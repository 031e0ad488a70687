/** Which way a slice looks at the heart: `compress/data/dicom/views.py` in JavaScript. */

import type { Knowledge } from "../knowledge";
import { formatNumber } from "../words";

type Know = Knowledge["dicom"];

export function dot(a: number[], b: number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

/** The unit vector across a slice, from the directions of its rows and columns. */
export function normalOf([a, b, c, d, e, f]: number[]): number[] {
  const across = [b! * f! - c! * e!, c! * d! - a! * f!, a! * e! - b! * d!];
  const length = Math.hypot(...across);
  return across.map((value) => value / length);
}

/** Degrees from 0 to 90 between the direction across a slice and the axis of the heart. */
function angleToHeart(orientation: number[], know: Know): number {
  const axis = know.heart_axis.map((value) => value / Math.hypot(...know.heart_axis));
  return degrees(Math.acos(Math.min(1, Math.abs(dot(normalOf(orientation), axis)))));
}

function degrees(radians: number): number {
  return (radians * 180) / Math.PI;
}

/** Whether a slice lies across the heart. */
export function isShortAxis(orientation: number[], know: Know): boolean {
  return angleToHeart(orientation, know) <= know.short_axis;
}

/** By which quarter turns and mirrorings a slice is shown: head up, patient's right left. */
export interface Turn {
  /** Rows and columns change places, first of all. */
  swap: boolean;
  flipRows: boolean;
  flipColumns: boolean;
}

/** The turn that brings columns closest to the patient's feet and rows closest to the left and back. */
export function upright(orientation: number[], know: Know): Turn {
  const [row, column] = [orientation.slice(0, 3), orientation.slice(3)];
  const flags = [false, true];
  const turns = flags.flatMap((swap) =>
    flags.flatMap((flipRows) => flags.map((flipColumns): Turn => ({ swap, flipRows, flipColumns }))),
  );
  const fit = ({ swap, flipRows, flipColumns }: Turn) => {
    const [x, y] = swap ? [column, row] : [row, column];
    return (flipColumns ? -1 : 1) * dot(x, know.rightwards) + (flipRows ? -1 : 1) * dot(y, know.downwards);
  };
  return turns.reduce((best, turn) => (fit(turn) > fit(best) ? turn : best));
}

/** A slice (rows, columns) as stored -> upright. */
export function turned(stored: Float32Array, rows: number, columns: number, turn: Turn): Float32Array {
  const [height, width] = turn.swap ? [columns, rows] : [rows, columns];
  const found = new Float32Array(stored.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [v, u] = [turn.flipRows ? height - 1 - y : y, turn.flipColumns ? width - 1 - x : x];
      found[y * width + x] = turn.swap ? stored[u * columns + v]! : stored[v * columns + u]!;
    }
  }
  return found;
}

/** The view in words, such as "long axis (88 degrees off the short axis)". */
export function describeView(orientation: number[], know: Know): string {
  const angle = angleToHeart(orientation, know);
  if (angle <= know.short_axis) return "short axis";
  const lengths = normalOf(orientation).map(Math.abs);
  const largest = Math.max(...lengths);
  const body = ["sagittal", "coronal", "transverse"][lengths.indexOf(largest)]!;
  const straight = degrees(Math.acos(Math.min(1, largest)));
  const name = straight <= know.body ? body : angle >= know.long_axis ? "long axis" : "oblique";
  return `${name} (${formatNumber(angle, ".0f")} degrees off the short axis)`;
}
