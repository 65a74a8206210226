// Many small images in one sheet, cut out onto canvases.

import { make } from "./dom.js";

/** Load a sheet `{source, columns, width, height}`; `drawn(canvas, index)` works once it is there. */
export function loadSheet(sheet) {
  const image = new Image();
  const waiting = [];
  let ready = false;
  image.onload = () => {
    ready = true;
    for (const task of waiting.splice(0)) task();
  };
  if (/^data:image\/(png|webp);base64,/.test(sheet.source)) image.src = sheet.source;
  const { columns, width, height } = sheet;
  const draw = (canvas, index) => {
    const context = canvas.getContext("2d");
    canvas.width = width;
    canvas.height = height;
    const [left, top] = [(index % columns) * width, Math.floor(index / columns) * height];
    context.drawImage(image, left, top, width, height, 0, 0, width, height);
  };
  return {
    width,
    height,
    draw(canvas, index) {
      canvas.dataset.image = index;
      const task = () => canvas.dataset.image === String(index) && draw(canvas, index);
      if (ready) task();
      else waiting.push(task);
    },
  };
}

/** A canvas with one image of a sheet, `text` in words. */
export function thumbnail(sheet, index, text) {
  const canvas = make("canvas", { class: "thumbnail", role: "img", "aria-label": text });
  sheet.draw(canvas, index);
  return canvas;
}
