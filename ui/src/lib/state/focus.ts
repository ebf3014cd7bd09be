/** Where the keyboard goes when what had it is gone, and whom its keys are meant for. */
import { tick } from "svelte";

/** Gives the keyboard to this once it has been drawn. */
export async function focusSoon(selector: string): Promise<void> {
  await tick();
  document.querySelector<HTMLElement>(selector)?.focus();
}

/** Milliseconds after which a pause in writing is its end. */
const PAUSE = 1000;
let wrote = -Infinity;

/** Notes when something is written; to be heard before anything else hears the key. */
export function noteWriting(event: KeyboardEvent): void {
  if (event.target instanceof Element && event.target.closest("input, textarea")) wrote = event.timeStamp;
}

/** Whether this key belongs to a sentence that was being written when the screen changed under it. */
export function continuesWriting(event: KeyboardEvent): boolean {
  if (event.timeStamp - wrote > PAUSE) return false;
  wrote = event.timeStamp;
  return true;
}
