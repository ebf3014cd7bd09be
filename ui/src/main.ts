/** The window begins: a bridge, what it knows, and the app that draws it. */
import "@fontsource-variable/inter/wght.css";
import { mount } from "svelte";
import App from "./App.svelte";
import type { Bridge, WindowKind } from "$lib/bridge";
import { TauriBridge } from "$lib/bridge/tauri";
import { timeOfDay } from "$lib/format";
import { english, speak } from "$lib/messages";
import { noteWriting } from "$lib/state/focus";
import { applyTheme } from "$lib/state/theme";
import "./styles/tokens.css";
import "./styles/base.css";

async function createBridge(): Promise<Bridge> {
  if (!__MOCK__ || "__TAURI_INTERNALS__" in window) return new TauriBridge();
  const { MockBridge } = await import("$lib/bridge/mock");
  const { scenarios } = await import("$lib/mock/scenarios");
  const query = new URLSearchParams(location.search);
  const name = query.get("scenario") ?? "signed_out";
  const kind: WindowKind = query.get("window") === "incoming" ? "incoming" : "main";
  const bridge = new MockBridge(name in scenarios ? (name as keyof typeof scenarios) : "signed_out", kind);
  Object.assign(window, { mock: bridge });
  return bridge;
}

speak(english);
// Before anything is drawn, so that nothing flashes; the person's own choice comes with the first snapshot.
applyTheme("system")();
window.addEventListener("keydown", noteWriting, { capture: true });
mount(App, { target: document.getElementById("app")!, props: { bridge: await createBridge() } });
// The first time of day costs tens of milliseconds: spent while nobody waits, not when a conversation is opened.
requestAnimationFrame(() => setTimeout(() => timeOfDay(Date.now())));
