import { describe, expect, it } from "vitest";
import { Shortcuts } from "./shortcuts.svelte";

function press(key: string, more: Partial<KeyboardEvent> = {}) {
  const code = key === " " ? "Space" : `Key${key.toUpperCase()}`;
  const event = { key, code, ctrlKey: false, shiftKey: false, altKey: false, metaKey: false, repeat: false };
  return { ...event, target: null, preventDefault: () => {}, ...more };
}

function start(muted: boolean) {
  const log: string[] = [];
  const shortcuts = new Shortcuts({
    toggleMute: () => log.push("mute"),
    toggleCamera: () => log.push("camera"),
    toggleChat: () => log.push("chat"),
    hangUp: () => log.push("hang up"),
    toggleHelp: () => log.push("help"),
    closeTopmost: () => log.push("close") > 0,
    canTalk: () => muted,
    talk: (on) => log.push(on ? "talk" : "hush"),
  });
  return { log, shortcuts };
}

describe("the call's keyboard", () => {
  it("knows its letters, not with other keys held and not on repeat", () => {
    const { log, shortcuts } = start(false);
    for (const key of ["m", "V", "c", "?"]) shortcuts.down(press(key));
    shortcuts.down(press("m", { ctrlKey: true }));
    shortcuts.down(press("m", { repeat: true }));
    expect(log).toEqual(["mute", "camera", "chat", "help"]);
  });

  it("hangs up with three keys only", () => {
    const { log, shortcuts } = start(false);
    shortcuts.down(press("h"));
    shortcuts.down(press("h", { ctrlKey: true }));
    expect(log).toEqual([]);
    shortcuts.down(press("H", { ctrlKey: true, shiftKey: true }));
    expect(log).toEqual(["hang up"]);
  });

  it("talks while space is held, once, and hushes when the window is left", () => {
    const { log, shortcuts } = start(true);
    shortcuts.down(press(" "));
    shortcuts.down(press(" ", { repeat: true }));
    expect(shortcuts.talking).toBe(true);
    shortcuts.release();
    shortcuts.up(press(" "));
    expect(log).toEqual(["talk", "hush"]);
    expect(shortcuts.talking).toBe(false);
  });

  it("leaves space alone while not muted", () => {
    const { log, shortcuts } = start(false);
    shortcuts.down(press(" "));
    shortcuts.up(press(" "));
    expect(log).toEqual([]);
  });
});
