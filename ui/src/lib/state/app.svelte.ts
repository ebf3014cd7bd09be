/**
 * What the window knows: the engine's last snapshot, levels and statistics, and nothing of its own making.
 *
 * Components read from here and send commands; whatever a command brings about comes back in a snapshot.
 */
import { getContext, setContext } from "svelte";
import type { Bridge } from "$lib/bridge";
import type { Command, Levels, Snapshot, Update } from "$lib/contract";
import { StatsLog } from "./stats.svelte";

export class App {
  readonly bridge: Bridge;
  readonly stats = new StatsLog();
  /** Undefined until the engine has spoken. */
  snapshot = $state.raw<Snapshot | undefined>(undefined);
  levels = $state.raw<Levels>({ microphone: 0, speaker: 0 });

  constructor(bridge: Bridge) {
    this.bridge = bridge;
    bridge.subscribe((update) => this.receive(update));
  }

  /** Takes an update in; an older snapshot that arrives late is dropped. */
  receive(update: Update): void {
    switch (update.type) {
      case "snapshot": {
        if (this.snapshot && update.data.revision <= this.snapshot.revision) return;
        const before = this.snapshot?.call?.call_id;
        this.snapshot = update.data;
        if (update.data.call?.call_id !== before) this.stats.clear();
        return;
      }
      case "levels":
        this.levels = update.data;
        return;
      case "stats":
        this.stats.push(update.data);
        return;
    }
  }

  dispatch(command: Command): void {
    this.bridge.dispatch(command);
  }
}

const KEY = Symbol("app");

export function provideApp(app: App): void {
  setContext(KEY, app);
}

export function useApp(): App {
  return getContext<App>(KEY);
}
