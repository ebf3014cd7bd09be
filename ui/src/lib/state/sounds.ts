/** The app's own sounds: which one a change of the call asks for, and playing it. */
import type { Settings, Snapshot } from "$lib/contract";
import joined from "$sounds/joined.wav?url";
import left from "$sounds/left.wav?url";
import ring from "$sounds/ring.wav?url";
import ringback from "$sounds/ringback.wav?url";

export type Chime = "joined" | "left";
export type Loop = "ring" | "ringback" | undefined;

/** What keeps playing in this situation. */
export function loopFor(snapshot: Snapshot | undefined): Loop {
  const call = snapshot?.call;
  if (!snapshot || !call || !snapshot.settings.sounds) return undefined;
  if (call.phase === "ringing" && call.direction === "incoming") {
    return snapshot.settings.ring_sound ? "ring" : undefined;
  }
  if (call.phase === "ringing" && call.direction === "outgoing") {
    return snapshot.settings.call_sounds ? "ringback" : undefined;
  }
  return undefined;
}

/** What the step from one snapshot to the next sounds like. */
export function chimeFor(before: Snapshot | undefined, after: Snapshot): Chime | undefined {
  if (!allowed(after.settings) || !after.call) return undefined;
  const was = before?.call?.call_id === after.call.call_id ? before.call.phase : undefined;
  const is = after.call.phase;
  if (is === "connected" && was === "connecting") return "joined";
  if (is === "ended" && (was === "connected" || was === "reconnecting")) return "left";
  return undefined;
}

function allowed(settings: Settings): boolean {
  return settings.sounds && settings.call_sounds;
}

/** Plays sounds through the web view; a machine without sound stays silent without complaint. */
export class SoundPlayer {
  #loop: HTMLAudioElement | undefined;
  #playing: Loop;

  loop(which: Loop): void {
    if (which === this.#playing) return;
    this.#playing = which;
    this.#loop?.pause();
    this.#loop = undefined;
    if (!which) return;
    this.#loop = new Audio(which === "ring" ? ring : ringback);
    this.#loop.loop = true;
    void this.#loop.play().catch(() => {});
  }

  chime(which: Chime): void {
    void new Audio(which === "joined" ? joined : left).play().catch(() => {});
  }
}
