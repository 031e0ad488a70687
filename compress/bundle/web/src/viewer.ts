/** The viewer: one slice at a time, with sliders over slices and frames, and all slices of a phase below it. */

import { el } from "./dom";
import { drawSlice, heartBox, wholeBox, type Box } from "./draw";
import type { Result, Shown } from "./job";

type Colours = [value: number, colour: string][];

const THUMB = 132;
const CINE_MS = 60;

/** A running cine stops when another study is shown. */
let stopCine = () => {};

/** The viewer of a study's images. */
export function viewerOf(result: Result, colours: Colours, names: Record<string, string>): HTMLElement {
  stopCine();
  const pictures = result.images.map((image, index) => new Picture(image, index, result, colours));
  const legend = el(
    "ul",
    { class: "legend" },
    ...Object.entries(names).map(([name, colour]) => {
      const mark = el("span", { class: "swatch", "aria-hidden": "true" });
      mark.style.background = colour;
      return el("li", {}, mark, name);
    }),
  );
  return el("div", {}, legend, ...pictures.map((picture) => picture.element));
}

class Picture {
  readonly element: HTMLElement;
  private readonly canvas = el("canvas", { role: "img" });
  private readonly slice: HTMLInputElement;
  private readonly frame: HTMLInputElement;
  private readonly boxes: { zoomed: Box; whole: Box };
  private contours = true;
  private zoom = true;
  private timer = 0;

  constructor(
    private readonly image: Shown,
    index: number,
    result: Result,
    private readonly colours: Colours,
  ) {
    this.boxes = { zoomed: heartBox(image), whole: wholeBox(image) };
    const first = Object.values(result.phases).find((phase) => phase.image === index)?.frame ?? 0;
    this.slice = this.slider("slice", image.shape[0], Math.floor(image.shape[0] / 2), index);
    this.frame = this.slider("frame", image.labels.length, first, index);
    const controls = el("div", { class: "controls" }, this.labelled(this.slice, "Slice"));
    if (image.labels.length > 1) controls.append(this.labelled(this.frame, "Frame"), this.playButton());
    controls.append(
      this.check("Contours", (on) => (this.contours = on)),
      this.check("Zoom to the heart", (on) => (this.zoom = on)),
    );
    this.element = el(
      "div",
      { class: "picture" },
      result.images.length > 1 ? el("h3", {}, image.name) : null,
      el("div", { class: "stage" }, this.canvas),
      controls,
      ...this.sheets(result, index),
    );
    new ResizeObserver(() => this.draw()).observe(this.canvas.parentElement!);
  }

  private slider(what: string, count: number, value: number, index: number): HTMLInputElement {
    return el("input", {
      type: "range",
      id: `${what}-${index}`,
      min: 1,
      max: count,
      value: value + 1,
      input: () => this.draw(),
    });
  }

  private labelled(input: HTMLInputElement, name: string): HTMLElement {
    const shown = el("output", { for: input.id });
    const update = () => (shown.textContent = `${input.value} of ${input.max}`);
    input.addEventListener("input", update);
    update();
    return el("div", { class: "slider" }, el("label", { for: input.id }, name), input, shown);
  }

  private check(name: string, change: (on: boolean) => void): HTMLElement {
    const box = el("input", {
      type: "checkbox",
      checked: true,
      change: () => {
        change(box.checked);
        this.draw();
      },
    });
    return el("label", { class: "check" }, box, name);
  }

  private playButton(): HTMLElement {
    const button = el("button", { type: "button", "aria-pressed": "false" }, "Play");
    const stop = () => {
      clearInterval(this.timer);
      this.timer = 0;
      button.textContent = "Play";
      button.setAttribute("aria-pressed", "false");
    };
    button.addEventListener("click", () => {
      if (this.timer) return stop();
      stopCine();
      stopCine = stop;
      this.timer = window.setInterval(() => {
        this.frame.value = String((Number(this.frame.value) % this.image.labels.length) + 1);
        this.frame.dispatchEvent(new Event("input"));
      }, CINE_MS);
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
    });
    return button;
  }

  private draw(): void {
    const width = this.canvas.parentElement!.clientWidth;
    if (!width) return;
    const [slice, frame] = [Number(this.slice.value) - 1, Number(this.frame.value) - 1];
    const box = this.zoom ? this.boxes.zoomed : this.boxes.whole;
    const view = { slice, frame, contours: this.contours, box };
    drawSlice(this.canvas, this.image, view, this.colours, Math.min(width, 560));
    const where = this.image.labels.length > 1 ? `, frame ${frame + 1} of ${this.image.labels.length}` : "";
    const outlined = this.contours ? " with the contours of its mask" : "";
    this.canvas.setAttribute("aria-label", `Slice ${slice + 1} of ${this.image.shape[0]}${where}${outlined}`);
  }

  /** All slices of each phase of this image; of its first frame where no phase is known. */
  private sheets(result: Result, index: number): HTMLElement[] {
    const phases = Object.entries(result.phases).filter(([, phase]) => phase.image === index);
    const wanted: [string, number][] = phases.map(([name, phase]) => [name, phase.frame]);
    if (!wanted.length) wanted.push(["", 0]);
    return wanted.map(([name, frame]) => {
      const cine = this.image.labels.length > 1 ? `frame ${frame + 1}` : "";
      const told = [name, cine].filter(Boolean).join(", ");
      const list = el("ul", { class: "sheet" });
      for (let slice = 0; slice < this.image.shape[0]; slice++) list.append(this.thumb(slice, frame));
      return el("section", { class: "sheet-part" }, el("h3", {}, `All slices${told ? ` (${told})` : ""}`), list);
    });
  }

  private thumb(slice: number, frame: number): HTMLElement {
    const canvas = el("canvas", { "aria-hidden": "true" });
    drawSlice(canvas, this.image, { slice, frame, contours: true, box: this.boxes.zoomed }, this.colours, THUMB);
    const name = `Slice ${slice + 1}`;
    const show = () => {
      for (const [slider, value] of [[this.slice, slice], [this.frame, frame]] as const) {
        slider.value = String(value + 1);
        slider.dispatchEvent(new Event("input"));
      }
      this.canvas.scrollIntoView({ block: "center" });
    };
    return el("li", {}, el("button", { type: "button", class: "thumb", click: show }, canvas, name));
  }
}
