import { describe, expect, it } from "vitest";
import { MockBridge } from "$lib/bridge/mock";
import type { StatsSample } from "$lib/contract";
import { scenarios } from "$lib/mock/scenarios";
import { App } from "./app.svelte";
import { KEPT_SAMPLES, StatsLog } from "./stats.svelte";

const sample = (at: number) => ({ at }) as StatsSample;

describe("what the window knows", () => {
  it("takes newer snapshots and drops those that come late", () => {
    const app = new App(new MockBridge("signed_out"));
    app.receive({ type: "snapshot", data: { ...scenarios.home(), revision: 7 } });
    app.receive({ type: "snapshot", data: { ...scenarios.signed_out(), revision: 6 } });
    expect(app.snapshot?.account.state).toBe("signed_in");
  });

  it("keeps a call's figures for its end and forgets them with the next call", () => {
    const app = new App(new MockBridge("signed_out"));
    const at = (revision: number, call_id: string) => {
      const snapshot = scenarios.call();
      app.receive({
        type: "snapshot",
        data: { ...snapshot, revision, call: { ...snapshot.call!, call_id } },
      });
    };
    at(2, "one");
    app.receive({ type: "stats", data: sample(1) });
    at(3, "one");
    expect(app.stats.latest?.at).toBe(1);
    at(4, "two");
    expect(app.stats.latest).toBeUndefined();
  });
});

describe("the statistics", () => {
  it("reach back two minutes and no further", () => {
    const log = new StatsLog();
    for (let second = 0; second < KEPT_SAMPLES + 5; second++) log.push(sample(second));
    expect(log.samples).toHaveLength(KEPT_SAMPLES);
    expect(log.samples[0]?.at).toBe(5);
  });
});
