/** What is odd about a mask or the values computed from it: `compress/evaluate/plausibility.py` in JavaScript. */

import type { Knowledge } from "./knowledge";
import { findPieces, type Shape } from "./pieces";
import { fill, formatNumber } from "./words";

/** One oddity, as data. */
export interface Flag {
  kind: string;
  message: string;
  /** Of a cine, counted from 1. */
  frame?: number;
}

type Know = Knowledge["flags"];
type Labels = Record<string, number>;
/** For each slice whether it holds a structure. */
type Present = boolean[];

/** Oddities of a (Z, Y, X) label mask; at most one flag of each kind. */
export function maskFlags(
  mask: Uint8Array,
  shape: Shape,
  spacing: [number, number, number],
  labels: Labels,
  know: Know,
): Flag[] {
  const any = presentIn(mask, shape, (value) => value !== 0);
  if (!any.includes(true)) return [{ kind: "empty", message: know.words["empty"]! }];
  const present: Record<string, Present> = {};
  for (const [name, label] of Object.entries(labels)) present[name] = presentIn(mask, shape, (v) => v === label);
  const middle = middleOf(any);
  return [
    ...missing(present, know),
    ...noLv(present, middle, know),
    ...openRing(mask, shape, spacing, labels, middle, know),
    ...pieces(mask, shape, spacing, labels, know),
    ...gaps(present, know),
    ...touchesBorder(mask, shape, know),
  ];
}

/** Oddities of one study's clinical values. */
export function studyFlags(values: Record<string, number | null>, know: Know): Flag[] {
  const known = new Map(Object.entries(values).filter((pair): pair is [string, number] => pair[1] !== null));
  return [...efRange(known, know), ...negativeStroke(known, know), ...mismatch(known, know), ...massRange(known, know)];
}

/** The flag of a heart that reaches an edge of the network's window in the slices `cut`, counted from 0. */
export function windowFlags(cut: number[], know: Know): Flag[] {
  const words = know.words["window-edge"];
  return cut.length && words ? [{ kind: "window-edge", message: fill(words, { slices: slicesOf(cut, know) }) }] : [];
}

function presentIn(mask: Uint8Array, [depth, rows, columns]: Shape, holds: (value: number) => boolean): Present {
  const area = rows * columns;
  return Array.from({ length: depth }, (_, z) => mask.subarray(z * area, (z + 1) * area).some(holds));
}

/** The middle third of the slices with any structure. */
function middleOf(any: Present): number[] {
  const [first, last] = [any.indexOf(true), any.lastIndexOf(true)];
  const third = Math.floor((last - first + 1) / 3);
  return Array.from({ length: last + 1 - third - first - third }, (_, i) => first + third + i);
}

function missing(present: Record<string, Present>, know: Know): Flag[] {
  const absent = Object.keys(present).filter((name) => name !== "LV" && !present[name]!.includes(true));
  return absent.length
    ? [{ kind: "missing", message: fill(know.words["missing"]!, { names: absent.join(" and no ") }) }]
    : [];
}

function noLv(present: Record<string, Present>, middle: number[], know: Know): Flag[] {
  const lv = present["LV"];
  if (!lv) return [];
  if (!lv.includes(true)) return [{ kind: "no-lv", message: know.words["no-lv"]! }];
  const without = middle.filter((z) => !lv[z]);
  if (!without.length) return [];
  return [{ kind: "no-lv", message: fill(know.words["no-lv-mid"]!, { slices: slicesOf(without, know) }) }];
}

function openRing(
  mask: Uint8Array,
  [, rows, columns]: Shape,
  spacing: number[],
  labels: Labels,
  middle: number[],
  know: Know,
): Flag[] {
  if (labels["LV"] === undefined || labels["MYO"] === undefined) return [];
  const area = rows * columns;
  const bare = middle.filter((z) => {
    const slice = mask.subarray(z * area, (z + 1) * area);
    return bareMm(slice, rows, columns, labels["LV"]!, labels["MYO"]!, spacing[1]!, spacing[2]!) > know.gap_mm;
  });
  if (!bare.length) return [];
  return [{ kind: "open-ring", message: fill(know.words["open-ring"]!, { slices: slicesOf(bare, know) }) }];
}

/** Length in mm of the cavity's outline along pixel edges that has neither cavity nor muscle behind it. */
function bareMm(
  slice: Uint8Array,
  rows: number,
  columns: number,
  lv: number,
  myo: number,
  rowMm: number,
  columnMm: number,
): number {
  const open = (i: number) => slice[i] !== lv && slice[i] !== myo;
  let [above, beside] = [0, 0];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = y * columns + x;
      if (slice[i] !== lv) continue;
      if (y > 0 && open(i - columns)) above++;
      if (y < rows - 1 && open(i + columns)) above++;
      if (x > 0 && open(i - 1)) beside++;
      if (x < columns - 1 && open(i + 1)) beside++;
    }
  }
  return above * columnMm + beside * rowMm;
}

function pieces(mask: Uint8Array, shape: Shape, spacing: number[], labels: Labels, know: Know): Flag[] {
  const voxel = (spacing[0]! * spacing[1]! * spacing[2]!) / 1000;
  return know.ventricles.flatMap((name) => {
    if (labels[name] === undefined) return [];
    const sizes = findPieces(mask, labels[name]!, shape).sizes.map((size) => size * voxel);
    const found = sizes.filter((size) => size >= know.piece_ml).sort((a, b) => b - a);
    if (found.length < 2) return [];
    const listed = found.slice(0, 4).map((size) => formatNumber(size, ".1f")).join(", ");
    const values = { name, count: found.length, sizes: listed + (found.length > 4 ? ", ..." : "") };
    return [{ kind: `${name.toLowerCase()}-pieces`, message: fill(know.words["pieces"]!, values) }];
  });
}

function gaps(present: Record<string, Present>, know: Know): Flag[] {
  const parts = Object.entries(present).flatMap(([name, slices]) => {
    const [first, last] = [slices.indexOf(true), slices.lastIndexOf(true)];
    const empty = slices.flatMap((yes, z) => (!yes && z > first && z < last ? [z] : []));
    return first >= 0 && empty.length ? [fill(know.words["gap-part"]!, { name, slices: slicesOf(empty, know) })] : [];
  });
  return parts.length ? [{ kind: "gap", message: fill(know.words["gap"]!, { parts: parts.join(" and ") }) }] : [];
}

function touchesBorder(mask: Uint8Array, [depth, rows, columns]: Shape, know: Know): Flag[] {
  const touching: number[] = [];
  for (let z = 0; z < depth; z++) {
    const at = (y: number, x: number) => mask[(z * rows + y) * columns + x] !== 0;
    let found = false;
    for (let x = 0; x < columns; x++) found ||= at(0, x) || at(rows - 1, x);
    for (let y = 0; y < rows; y++) found ||= at(y, 0) || at(y, columns - 1);
    if (found) touching.push(z);
  }
  if (!touching.length) return [];
  return [
    { kind: "touches-border", message: fill(know.words["touches-border"]!, { slices: slicesOf(touching, know) }) },
  ];
}

/** Slice indices for people, counted from 1: "slice 4" or "slices 2-5, 8". */
export function slicesOf(indices: number[], know: Know): string {
  const runs: [number, number][] = [];
  for (const number of indices.map((index) => index + 1)) {
    const last = runs[runs.length - 1];
    if (last && number === last[1] + 1) last[1] = number;
    else runs.push([number, number]);
  }
  const named = runs.map(([first, last]) => (last > first ? `${first}-${last}` : `${first}`));
  const more = runs.length > know.max_runs ? ` and ${runs.length - know.max_runs} more` : "";
  return `slice${indices.length > 1 ? "s" : ""} ${named.slice(0, know.max_runs).join(", ")}${more}`;
}

type Known = Map<string, number>;

function efRange(known: Known, know: Know): Flag[] {
  const [low, high] = know.ef_percent;
  const odd = know.ventricles.flatMap((name) => {
    const value = known.get(`${name} EF`);
    const fine = value === undefined || (low <= value && value <= high);
    return fine ? [] : [`${name} ${formatNumber(value, ".1f")}%`];
  });
  return odd.length
    ? [{ kind: "ef-range", message: fill(know.words["ef-range"]!, { low, high, odd: odd.join(", ") }) }]
    : [];
}

function negativeStroke(known: Known, know: Know): Flag[] {
  const odd = know.ventricles.flatMap((name) => {
    const value = known.get(`${name} SV`) ?? 0;
    return value < 0 ? [`${name} by ${formatNumber(-value, ".1f")} ml`] : [];
  });
  return odd.length
    ? [{ kind: "negative-stroke", message: fill(know.words["negative-stroke"]!, { odd: odd.join(", ") }) }]
    : [];
}

function mismatch(known: Known, know: Know): Flag[] {
  const [left, right] = [known.get("LV SV") ?? 0, known.get("RV SV") ?? 0];
  if (Math.min(left, right) <= 0 || Math.max(left, right) <= know.stroke_ratio * Math.min(left, right)) return [];
  const message = fill(know.words["stroke-mismatch"]!, { ratio: know.stroke_ratio, left, right });
  return [{ kind: "stroke-mismatch", message }];
}

function massRange(known: Known, know: Know): Flag[] {
  const [low, high] = know.mass_g;
  const mass = known.get("MYO mass");
  if (mass === undefined || (low <= mass && mass <= high)) return [];
  return [{ kind: "mass-range", message: fill(know.words["mass-range"]!, { low, high, mass }) }];
}
