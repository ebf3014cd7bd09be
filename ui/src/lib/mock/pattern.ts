/** Moving pictures for the mock: a soft room with a person's outline, so that screens look as they will. */
import { drawn, writePicture } from "$lib/frames/protocol";
import type { FrameSource } from "$lib/frames/stream";

const WIDTH = 640;
const HEIGHT = 360;

export class PatternSource implements FrameSource {
  #tint: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #sequence = 0;
  #underWay = 0;

  constructor(tint: number) {
    this.#tint = tint;
  }

  open(onMessage: (message: ArrayBuffer) => void): void {
    this.#timer = setInterval(() => {
      if (this.#underWay >= 2) return;
      this.#underWay += 1;
      onMessage(this.#picture());
    }, 66);
  }

  send(message: ArrayBuffer): void {
    if (new DataView(message).getUint8(0) === new DataView(drawn(0)).getUint8(0)) this.#underWay -= 1;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #picture(): ArrayBuffer {
    this.#sequence += 1;
    const [message, picture] = writePicture(this.#sequence, WIDTH, HEIGHT);
    const sway = Math.sin(this.#sequence / 20) * 8;
    for (let row = 0; row < HEIGHT; row++) {
      for (let column = 0; column < WIDTH; column++) {
        const dx = (column - 320 - sway) / 360;
        const dy = (row - 150) / 360;
        const head = dx * dx * 1.35 + dy * dy < 0.052;
        const body = dx * dx * 0.55 + (dy - 0.62) * (dy - 0.62) < 0.13;
        const wall = 92 + 50 * (1 - row / HEIGHT) + 18 * Math.sin(column / 160 + this.#tint);
        picture.y[row * WIDTH + column] = head ? 176 : body ? 74 : wall;
      }
    }
    picture.u.fill(122 + this.#tint * 3);
    picture.v.fill(136 - this.#tint * 4);
    return message;
  }
}
