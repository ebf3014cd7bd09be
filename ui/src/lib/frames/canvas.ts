/** Draws I420 pictures on a 2D canvas, converted here: the way that works everywhere. */
import type { Picture } from "./protocol";
import type { Painter } from "./stream";

/** Converts to RGBA, BT.601 limited range, in 16.16 fixed point. */
export function toRgba(picture: Picture, out: Uint8ClampedArray): void {
  const { width, height, y, u, v } = picture;
  const half = width >> 1;
  let to = 0;
  for (let row = 0; row < height; row++) {
    const chroma = (row >> 1) * half;
    for (let column = 0; column < width; column++) {
      const luma = 76309 * (y[row * width + column]! - 16);
      const cb = u[chroma + (column >> 1)]! - 128;
      const cr = v[chroma + (column >> 1)]! - 128;
      out[to++] = (luma + 104597 * cr) >> 16;
      out[to++] = (luma - 25675 * cb - 53279 * cr) >> 16;
      out[to++] = (luma + 132201 * cb) >> 16;
      out[to++] = 255;
    }
  }
}

export class CanvasPainter implements Painter {
  #canvas: HTMLCanvasElement;
  #context: CanvasRenderingContext2D;
  #image: ImageData | undefined;

  constructor(canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("no canvas");
    this.#canvas = canvas;
    this.#context = context;
  }

  paint(picture: Picture): void {
    if (this.#image?.width !== picture.width || this.#image.height !== picture.height) {
      this.#canvas.width = picture.width;
      this.#canvas.height = picture.height;
      this.#image = this.#context.createImageData(picture.width, picture.height);
    }
    toRgba(picture, this.#image.data);
    this.#context.putImageData(this.#image, 0, 0);
  }

  release(): void {
    this.#image = undefined;
  }
}
