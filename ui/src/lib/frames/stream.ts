/**
 * Live pictures, whatever carries them.
 *
 * A source hands over one message at a time and sends the next only after `drawn`: at most two are under
 * way, so a slow window shows fewer pictures, never older ones.
 */
import { drawn, parsePicture, shownSize, type Picture } from "./protocol";

/** A way for frame messages to come and acknowledgements to go. */
export interface FrameSource {
  /** Begins; `onMessage` gets every frame message. */
  open(onMessage: (message: ArrayBuffer) => void): void;
  /** Sends an acknowledgement or the shown size; dropped while not connected. */
  send(message: ArrayBuffer): void;
  close(): void;
}

/** Draws pictures somewhere. */
export interface Painter {
  paint(picture: Picture): void;
  release(): void;
}

/** Joins a source to a painter: newest picture on the next animation frame, then the acknowledgement. */
export class FrameStream {
  #source: FrameSource;
  #painter: Painter;
  #waiting: Picture | undefined;
  #scheduled = false;
  #closed = false;
  #size: [number, number] = [0, 0];
  #onPicture: (picture: Picture) => void;

  constructor(source: FrameSource, painter: Painter, onPicture: (picture: Picture) => void = () => {}) {
    this.#source = source;
    this.#painter = painter;
    this.#onPicture = onPicture;
    source.open((message) => this.#receive(message));
  }

  /** Tells the other side how large the picture is shown, in device pixels. */
  resize(width: number, height: number): void {
    if (this.#size[0] === width && this.#size[1] === height) return;
    this.#size = [width, height];
    this.#source.send(shownSize(width, height));
  }

  close(): void {
    this.#closed = true;
    this.#source.close();
    this.#painter.release();
  }

  #receive(message: ArrayBuffer): void {
    const picture = parsePicture(message);
    if (!picture || this.#closed) return;
    // A picture that was never drawn is acknowledged too: it no longer takes a place on the way.
    if (this.#waiting) this.#source.send(drawn(this.#waiting.sequence));
    this.#waiting = picture;
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    this.#scheduled = false;
    const picture = this.#waiting;
    this.#waiting = undefined;
    if (!picture || this.#closed) return;
    try {
      this.#painter.paint(picture);
      this.#onPicture(picture);
    } finally {
      // One that can't be drawn must not hold up the ones behind it.
      this.#source.send(drawn(picture.sequence));
    }
  }
}
