/** What the page says of one study: values, flags, pictures, and files to keep. */

import { curveOf } from "./chart";
import { download, el } from "./dom";
import type { Flag } from "./flags";
import type { Result, Shown } from "./job";
import type { Bundle } from "./knowledge";
import { viewerOf } from "./viewer";
import { fill, formatNumber } from "./words";

/** The part of the page that shows one study. */
export function resultOf(result: Result, bundle: Bundle): HTMLElement {
  const { labels, colours } = bundle.card;
  const byValue = Object.entries(labels).map(([name, value]): [number, string] => [value, colours[name]!]);
  const curves = result.images.map((image) => curveOf(image, result, colours)).filter((curve) => curve !== null);
  return el(
    "section",
    { class: "result", "aria-labelledby": "result-heading" },
    el("h2", { id: "result-heading", tabindex: -1 }, result.study, ...marks(result, bundle)),
    values(result, bundle),
    volumes(result),
    doubts(result, bundle),
    files(result),
    ...(curves.length ? [el("h3", {}, "Volume curve"), ...curves] : []),
    el("h3", {}, "Slices"),
    viewerOf(result, byValue, colours),
  );
}

/** Words that no figure is shown without. */
function marks(result: Result, bundle: Bundle): HTMLElement[] {
  const { images } = result.document["phantom"] as { images: boolean };
  const words = bundle.banners.map((line) => line.split(":")[0]!);
  if (images) words.push("PHANTOM image");
  return [...new Set(words)].map((word) => el("span", { class: "mark" }, word));
}

function values(result: Result, { knowledge }: Bundle): HTMLElement | null {
  const pairs = Object.entries(result.clinical).map(([name, value]) => {
    const shown = value === null ? "undefined" : `${formatNumber(value, ".1f")} ${knowledge.study.units[name]}`;
    return el("div", {}, el("dt", {}, name), el("dd", {}, shown));
  });
  if (!pairs.length) return null;
  const phases = Object.entries(result.phases).map(([name, phase]) => {
    const image = result.images[phase.image]!;
    const frame = image.labels.length > 1 ? ` frame ${phase.frame + 1}` : "";
    return `${name}: ${image.name}${frame} (${phase.knownBy})`;
  });
  return el("div", {}, el("dl", { class: "keys" }, ...pairs), el("p", { class: "note" }, phases.join("; ")));
}

/** Millilitres where a study is one image of unknown phase. */
function volumes(result: Result): HTMLElement | null {
  const [image] = result.images as [Shown];
  const alone = !Object.keys(result.phases).length && result.images.length === 1 && image.labels.length === 1;
  const told = Object.entries(image.volumes[0]!);
  if (!alone || !told.length) return null;
  const pairs = told.map(([name, ml]) => {
    const shown = el("dd", {}, `${formatNumber(ml, ".1f")} ml`);
    return el("div", {}, el("dt", {}, `${name} volume`), shown);
  });
  return el("dl", { class: "keys" }, ...pairs);
}

function doubts(result: Result, { knowledge }: Bundle): HTMLElement {
  const images = result.document["images"] as { mask: string; flags: Flag[]; concerns: { message: string }[] }[];
  const forced = images.flatMap((image) => image.concerns.map((c) => fill(knowledge.concerns.forced, { concern: c.message })));
  const own = (result.document["flags"] as Flag[]).map((flag) => flag.message);
  const of = images.flatMap((image) =>
    image.flags.map((flag) => `${image.mask}${flag.frame ? ` frame ${flag.frame}` : ""}: ${flag.message}`),
  );
  const lines = [...forced, ...own, ...of].map((line) => el("li", {}, line));
  if (!lines.length) return el("p", { class: "note" }, "No flag was raised; no flag is no proof.");
  const many = lines.length > 8 ? [el("details", {}, el("summary", {}, `${lines.length - 8} more`), el("ul", {}, ...lines.splice(8)))] : [];
  return el("div", { class: "banner warn" }, el("h3", {}, "Look at these"), el("ul", {}, ...lines), ...many);
}

function files(result: Result): HTMLElement {
  const buttons = result.images.map((image) =>
    el(
      "button",
      {
        type: "button",
        class: "save",
        click: () => download(image.mask, image.maskFile as BlobPart, "application/gzip"),
      },
      `Save the mask ${image.mask}`,
    ),
  );
  const json = () => download(`${result.study}.json`, reportText(result), "application/json");
  return el(
    "div",
    { class: "actions" },
    ...buttons,
    el("button", { type: "button", click: json }, "Save the report (JSON)"),
    el("button", { type: "button", click: () => window.print() }, "Print"),
  );
}

/** The report as a file. */
export function reportText(result: Result): string {
  return `${JSON.stringify(result.document, null, 2)}\n`;
}
