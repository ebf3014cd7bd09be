import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { scenarios } from "$lib/mock/scenarios";
import { FADE_AFTER_MS, Idle } from "./idle.svelte";
import { clamp, MARGIN, place } from "./selfview";
import { chimeFor, loopFor } from "./sounds";
import { resolveTheme } from "./theme";

describe("the controls", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("fade after four seconds at rest and come back with the first movement", () => {
    const idle = new Idle();
    idle.poke();
    vi.advanceTimersByTime(FADE_AFTER_MS - 1);
    expect(idle.idle).toBe(false);
    vi.advanceTimersByTime(1);
    expect(idle.idle).toBe(true);
    idle.poke();
    expect(idle.idle).toBe(false);
    idle.stop();
  });

  it("fade under a pointer that rests, however often the page is told of it", () => {
    const idle = new Idle();
    idle.pointer({ screenX: 10, screenY: 20 });
    for (let step = 0; step < 4; step += 1) {
      vi.advanceTimersByTime(FADE_AFTER_MS / 4);
      idle.pointer({ screenX: 10, screenY: 20 });
    }
    expect(idle.idle).toBe(true);
    idle.pointer({ screenX: 11, screenY: 20 });
    expect(idle.idle).toBe(false);
    idle.stop();
  });

  it("stay while something holds them", () => {
    const idle = new Idle();
    const release = idle.hold();
    idle.poke();
    vi.advanceTimersByTime(10 * FADE_AFTER_MS);
    expect(idle.idle).toBe(false);
    release();
    release();
    vi.advanceTimersByTime(FADE_AFTER_MS);
    expect(idle.idle).toBe(true);
  });
});

describe("one's own picture", () => {
  const stage = { width: 1000, height: 600 };
  const picture = { width: 200, height: 112 };

  it("keeps to the stage's edges", () => {
    expect(place({ x: 0, y: 0 }, stage, picture)).toEqual({ left: MARGIN, top: MARGIN });
    expect(place({ x: 1, y: 1 }, stage, picture)).toEqual({ left: 800 - MARGIN, top: 488 - MARGIN });
    expect(clamp({ x: -3, y: 7 })).toEqual({ x: 0, y: 1 });
  });

  it("has a place even where there is no room", () => {
    expect(place({ x: 1, y: 1 }, { width: 50, height: 50 }, picture)).toEqual({ left: MARGIN, top: MARGIN });
  });
});

describe("the sounds", () => {
  it("ring for a call that comes in, softer for one that goes out, not at all when off", () => {
    expect(loopFor(scenarios.incoming())).toBe("ring");
    expect(loopFor(scenarios.outgoing())).toBe("ringback");
    expect(loopFor(scenarios.call())).toBeUndefined();
    expect(loopFor(undefined)).toBeUndefined();
    const silent = scenarios.incoming();
    silent.settings.ring_sound = false;
    expect(loopFor(silent)).toBeUndefined();
    silent.settings = { ...silent.settings, ring_sound: true, sounds: false };
    expect(loopFor(silent)).toBeUndefined();
  });

  it("mark joining and leaving once, and no mere hiccup", () => {
    const [connecting, call, ended] = [scenarios.connecting(), scenarios.call(), scenarios.ended()];
    expect(chimeFor(connecting, call)).toBe("joined");
    expect(chimeFor(call, call)).toBeUndefined();
    expect(chimeFor(scenarios.call_reconnecting(), call)).toBeUndefined();
    expect(chimeFor(call, ended)).toBe("left");
    expect(chimeFor(ended, ended)).toBeUndefined();
  });
});

describe("the theme", () => {
  it("follows the system unless one was chosen", () => {
    const system = { dark: true, moreContrast: false };
    expect(resolveTheme("system", system)).toBe("dark");
    expect(resolveTheme("light", system)).toBe("light");
    expect(resolveTheme("system", { dark: true, moreContrast: true })).toBe("high_contrast");
  });
});
