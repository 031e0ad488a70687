/** The volume curve of a cine, with a table of the same numbers. */

import { el, svg } from "./dom";
import type { Result, Shown } from "./job";
import { formatNumber } from "./words";

const WIDE = 640;
const TALL = 260;
const EDGE = { left: 48, right: 56, top: 26, bottom: 38 };

/** Volume against frame for each structure; null for an image with one frame or without volumes. */
export function curveOf(image: Shown, result: Result, colours: Record<string, string>): HTMLElement | null {
  const names = Object.keys(image.volumes[0]!);
  const frames = image.volumes.length;
  if (frames < 2 || !names.length) return null;
  const top = niceTop(Math.max(1, ...image.volumes.flatMap((frame) => Object.values(frame))));
  const x = (t: number) => EDGE.left + (t * (WIDE - EDGE.left - EDGE.right)) / (frames - 1);
  const y = (ml: number) => TALL - EDGE.bottom - (ml * (TALL - EDGE.top - EDGE.bottom)) / top;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": words(result, names) });
  for (let i = 0; i <= 4; i++) {
    const ml = (top * i) / 4;
    drawing.append(
      svg("line", { x1: EDGE.left, x2: WIDE - EDGE.right, y1: y(ml), y2: y(ml), class: "grid" }),
      svg("text", { x: EDGE.left - 6, y: y(ml) + 4, "text-anchor": "end" }, formatNumber(ml, "g")),
    );
  }
  for (const [phase, { frame }] of Object.entries(result.phases)) {
    drawing.append(
      svg("line", { x1: x(frame), x2: x(frame), y1: EDGE.top, y2: TALL - EDGE.bottom, class: "phase" }),
      svg("text", { x: x(frame) + 3, y: EDGE.top + 10 }, phase),
    );
  }
  for (const name of names) {
    const points = image.volumes.map((frame, t) => `${x(t)},${y(frame[name]!)}`).join(" ");
    drawing.append(
      svg("polyline", { points, stroke: colours[name]!, class: "curve" }),
      svg("text", { x: WIDE - EDGE.right + 5, y: y(image.volumes[frames - 1]![name]!) + 4 }, name),
    );
  }
  drawing.append(
    svg("text", { x: EDGE.left, y: TALL - 8 }, "frame 1"),
    svg("text", { x: WIDE - EDGE.right, y: TALL - 8, "text-anchor": "end" }, String(frames)),
    svg("text", { x: EDGE.left - 6, y: 12, "text-anchor": "end" }, "ml"),
  );
  return el("figure", {}, drawing, el("figcaption", {}, "Volume of each structure over the frames."), table(image, names));
}

function words(result: Result, names: string[]): string {
  const phases = Object.entries(result.phases).map(([name, { frame }]) => `${name} is frame ${frame + 1}`);
  return [`Volume curves of ${names.join(", ")}`, ...phases].join("; ");
}

function niceTop(value: number): number {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((times) => times * step).find((top) => top >= value) ?? value;
}

function table(image: Shown, names: string[]): HTMLElement {
  const rows = image.volumes.map((frame, t) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, String(t + 1)),
      ...names.map((name) => el("td", {}, formatNumber(frame[name]!, ".1f"))),
    ),
  );
  const head = el("tr", {}, ...["frame", ...names.map((n) => `${n} (ml)`)].map((h) => el("th", { scope: "col" }, h)));
  const whole = el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
  const box = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Volumes of all frames" }, whole);
  return el("details", {}, el("summary", {}, "The numbers"), box);
}
