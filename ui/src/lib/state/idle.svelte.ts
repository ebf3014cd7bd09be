/** Whether nobody has moved for a while: the call's controls fade then, but never under the keyboard. */

export const FADE_AFTER_MS = 4000;

export class Idle {
  idle = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #held = 0;
  #at = "";

  /** The pointer is somewhere. A page hears that of a resting pointer too, each time something changes below it. */
  pointer({ screenX, screenY }: Pick<PointerEvent, "screenX" | "screenY">): void {
    const at = `${screenX} ${screenY}`;
    if (at !== this.#at) this.poke();
    this.#at = at;
  }

  /** Somebody moved. */
  poke(): void {
    this.idle = false;
    clearTimeout(this.#timer);
    if (this.#held === 0) this.#timer = setTimeout(() => (this.idle = true), FADE_AFTER_MS);
  }

  /** Stays awake until the returned function is called: a menu is open, the focus is on a control. */
  hold(): () => void {
    this.#held += 1;
    this.poke();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#held -= 1;
      this.poke();
    };
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
