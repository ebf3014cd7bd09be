/**
 * The call's keyboard: M, V, C, Ctrl+Shift+H, `?`, Esc, and space to talk while muted.
 *
 * Letters count only while nobody types and no menu has the focus; Esc closes the topmost thing.
 */

export interface CallKeys {
  toggleMute(): void;
  toggleCamera(): void;
  toggleChat(): void;
  hangUp(): void;
  toggleHelp(): void;
  /** Closes the topmost thing; false when nothing was open. */
  closeTopmost(): boolean;
  /** Whether space talks now. */
  canTalk(): boolean;
  talk(on: boolean): void;
}

type Key = Pick<
  KeyboardEvent,
  "key" | "code" | "ctrlKey" | "shiftKey" | "altKey" | "metaKey" | "repeat" | "target" | "preventDefault"
>;

function matches(target: EventTarget | null, selector: string): boolean {
  return typeof Element !== "undefined" && target instanceof Element && target.closest(selector) !== null;
}

export class Shortcuts {
  #keys: CallKeys;
  /** Space is held and the microphone is open for as long. */
  talking = $state(false);

  constructor(keys: CallKeys) {
    this.#keys = keys;
  }

  down(event: Key): void {
    if (event.ctrlKey && event.shiftKey && event.code === "KeyH") {
      event.preventDefault();
      this.#keys.hangUp();
      return;
    }
    // A dialog closes by itself, and nothing beneath it.
    if (event.key === "Escape" && matches(event.target, "dialog")) return;
    if (event.key === "Escape") {
      if (this.#keys.closeTopmost()) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (matches(event.target, "input, select, textarea, dialog, [role=menu], [role=dialog]")) return;
    if (event.code === "Space") {
      // On a button, space presses it.
      if (matches(event.target, "button, a, [role=button], [tabindex='0']")) return;
      event.preventDefault();
      if (!event.repeat && !this.talking && this.#keys.canTalk()) {
        this.talking = true;
        this.#keys.talk(true);
      }
      return;
    }
    if (event.repeat) return;
    switch (event.key.toLowerCase()) {
      case "m":
        this.#keys.toggleMute();
        return;
      case "v":
        this.#keys.toggleCamera();
        return;
      case "c":
        event.preventDefault();
        this.#keys.toggleChat();
        return;
      case "?":
        this.#keys.toggleHelp();
        return;
    }
  }

  up(event: Key): void {
    if (event.code === "Space") this.release();
  }

  /** Key let go, or the window lost the focus while it was held. */
  release(): void {
    if (!this.talking) return;
    this.talking = false;
    this.#keys.talk(false);
  }
}
