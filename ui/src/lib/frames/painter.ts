/** Chooses how to draw. */

import { CanvasPainter, putConverted, putVideoFrame } from "./canvas";
import { writePicture } from "./protocol";
import type { Painter } from "./stream";
import { WebGlPainter } from "./webgl";

type Way = (canvas: HTMLCanvasElement) => Painter;

const WEB_GL: Way = (canvas) => new WebGlPainter(canvas);
const VIDEO_FRAME: Way = (canvas) => new CanvasPainter(canvas, putVideoFrame);
const CONVERTED: Way = (canvas) => new CanvasPainter(canvas, putConverted());

let chosen: Way | undefined;

// Tried on a canvas of its own: one that has given out a WebGL context gives out no other.
function works(way: Way): boolean {
  try {
    const painter = way(document.createElement("canvas"));
    painter.paint(writePicture(0, 16, 16)[1]);
    painter.release();
    return true;
  } catch {
    return false;
  }
}

/** WebGL2 where a GPU draws, WebCodecs where software would play one, a script where neither works. */
export function createPainter(canvas: HTMLCanvasElement, inSoftware: boolean): Painter {
  const ways = inSoftware ? [VIDEO_FRAME, WEB_GL] : [WEB_GL, VIDEO_FRAME];
  chosen ??= ways.find(works) ?? CONVERTED;
  return chosen(canvas);
}
