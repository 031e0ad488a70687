/** Drawing one slice with the contours of its mask. */

import type { Shown } from "./job";

/** A part of a slice in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The whole slice. */
export function wholeBox({ shape }: Shown): Box {
  return { left: 0, top: 0, width: shape[2], height: shape[1] };
}

/** The box around all that was found, with a margin; the whole slice where nothing was. */
export function heartBox(image: Shown): Box {
  const [, rows, columns] = image.shape;
  let [left, top, right, bottom] = [columns, rows, -1, -1];
  for (const labels of image.labels) {
    for (let i = 0; i < labels.length; i++) {
      if (!labels[i]) continue;
      const x = i % columns;
      const y = Math.floor(i / columns) % rows;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
  }
  if (right < 0) return wholeBox(image);
  const margin = 0.25 * Math.max(right - left, bottom - top);
  [left, top] = [Math.max(0, Math.floor(left - margin)), Math.max(0, Math.floor(top - margin))];
  [right, bottom] = [Math.min(columns, Math.ceil(right + margin)), Math.min(rows, Math.ceil(bottom + margin))];
  return { left, top, width: right - left, height: bottom - top };
}

/** What one picture shows. */
export interface View {
  frame: number;
  slice: number;
  contours: boolean;
  box: Box;
}

/** Draw a slice onto a canvas that is `width` CSS pixels wide, in the shape that its millimetres have. */
export function drawSlice(
  canvas: HTMLCanvasElement,
  image: Shown,
  view: View,
  colours: [value: number, colour: string][],
  width: number,
): void {
  const { box } = view;
  const [, rowMm, columnMm] = image.spacing;
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.max(1, Math.round((canvas.width * box.height * rowMm) / (box.width * columnMm)));
  const context = canvas.getContext("2d")!;
  const [sx, sy] = [canvas.width / box.width, canvas.height / box.height];
  context.imageSmoothingQuality = "high";
  context.drawImage(greySlice(image, view), box.left, box.top, box.width, box.height, 0, 0, canvas.width, canvas.height);
  if (!view.contours) return;
  const placed = new DOMMatrix([sx, 0, 0, sy, -box.left * sx, -box.top * sy]);
  for (const [value, colour] of colours) {
    const scaled = new Path2D();
    scaled.addPath(outline(image, view, value), placed);
    context.lineWidth = Math.max(1.5 * density, canvas.width / 300);
    context.strokeStyle = colour;
    context.stroke(scaled);
  }
}

function greySlice(image: Shown, { frame, slice }: View): HTMLCanvasElement {
  const [, rows, columns] = image.shape;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const pixels = new ImageData(columns, rows);
  const grey = image.grey[frame]!.subarray(slice * rows * columns, (slice + 1) * rows * columns);
  for (let i = 0; i < grey.length; i++) {
    pixels.data.fill(grey[i]!, 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

/** The edges between pixels of one label and all others. */
function outline(image: Shown, { frame, slice }: View, value: number): Path2D {
  const [, rows, columns] = image.shape;
  const labels = image.labels[frame]!.subarray(slice * rows * columns, (slice + 1) * rows * columns);
  const inside = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < columns && y < rows && labels[y * columns + x] === value;
  const path = new Path2D();
  const line = (x: number, y: number, dx: number, dy: number) => {
    path.moveTo(x, y);
    path.lineTo(x + dx, y + dy);
  };
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x, y - 1)) line(x, y, 1, 0);
      if (!inside(x, y + 1)) line(x, y + 1, 1, 0);
      if (!inside(x - 1, y)) line(x, y, 0, 1);
      if (!inside(x + 1, y)) line(x + 1, y, 0, 1);
    }
  }
  return path;
}
