/** Writing a message: what it answers or changes, and telling others that somebody writes. */
import type { MessageView } from "$lib/contract";

/** The longest text, in characters. */
export const MOST_CHARACTERS = 8000;
/** Who has not touched a key for so long writes no longer. */
export const TYPING_MS = 5000;

export interface Composing {
  what: "reply" | "edit";
  message: MessageView;
}

/** Says "writes" once and "stopped" once, however many keys are pressed between. */
export class TypingSignal {
  #tell: (typing: boolean) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #on = false;

  constructor(tell: (typing: boolean) => void) {
    this.#tell = tell;
  }

  /** A key was pressed; `some`: there is text. */
  input(some: boolean): void {
    if (!some) {
      this.stop();
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.stop(), TYPING_MS);
    if (this.#on) return;
    this.#on = true;
    this.#tell(true);
  }

  stop(): void {
    clearTimeout(this.#timer);
    if (!this.#on) return;
    this.#on = false;
    this.#tell(false);
  }
}
