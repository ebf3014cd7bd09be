/** Chooses how to draw. */
import { CanvasPainter } from "./canvas";
import type { Painter } from "./stream";
import { WebGlPainter } from "./webgl";

let webGlWorks: boolean | undefined;

// Tried on a canvas of its own: one that has given out a WebGL context gives out no other.
function probe(): boolean {
  try {
    new WebGlPainter(document.createElement("canvas")).release();
    return true;
  } catch {
    return false;
  }
}

/** WebGL2 where there is some, a 2D canvas elsewhere. */
export function createPainter(canvas: HTMLCanvasElement): Painter {
  webGlWorks ??= probe();
  return webGlWorks ? new WebGlPainter(canvas) : new CanvasPainter(canvas);
}
