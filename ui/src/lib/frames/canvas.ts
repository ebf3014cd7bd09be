/** Draws I420 pictures on a 2D canvas, without a GPU. */
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

/** Puts a picture on a canvas of its size. */
export type Put = (context: CanvasRenderingContext2D, picture: Picture) => void;

/** Through WebCodecs: the web view converts, several times as fast as a script. */
export const putVideoFrame: Put = (context, { width, height, planes }) => {
  const frame = new VideoFrame(planes, {
    format: "I420",
    codedWidth: width,
    codedHeight: height,
    timestamp: 0,
    // Not said, a large picture would be taken for BT.709.
    colorSpace: { matrix: "smpte170m", primaries: "smpte170m", transfer: "smpte170m", fullRange: false },
  });
  context.drawImage(frame, 0, 0);
  frame.close();
};

/** Converted here: the way that works everywhere. */
export function putConverted(): Put {
  let image: ImageData | undefined;
  return (context, picture) => {
    if (image?.width !== picture.width || image.height !== picture.height) {
      image = context.createImageData(picture.width, picture.height);
    }
    toRgba(picture, image.data);
    context.putImageData(image, 0, 0);
  };
}

export class CanvasPainter implements Painter {
  #canvas: HTMLCanvasElement;
  #context: CanvasRenderingContext2D;
  #put: Put;

  constructor(canvas: HTMLCanvasElement, put: Put) {
    // Said to be read from, so that it is kept in memory and never by a GPU that software plays.
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    if (!context) throw new Error("no canvas");
    this.#canvas = canvas;
    this.#context = context;
    this.#put = put;
  }

  paint(picture: Picture): void {
    const { width, height } = picture;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#put(this.#context, picture);
  }

  release(): void {}
}
