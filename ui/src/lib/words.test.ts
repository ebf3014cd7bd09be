import { describe, expect, it } from "vitest";
import type { CallView, EndReason } from "$lib/contract";
import { ago, duration, initials, rate, shortName, spokenDuration, when } from "./format";
import { historyPage, people } from "./mock/people";
import { scenarios } from "./mock/scenarios";
import { matching, sorted } from "./state/people";
import { endedWords, historyOutcome, noticeWords, usedDevice } from "./words";

const now = new Date(2026, 10, 20, 14, 0).getTime();

describe("times", () => {
  it("are written as people say them", () => {
    expect(when(new Date(2026, 10, 20, 9, 5).getTime(), now)).toBe("Today 09:05");
    expect(when(new Date(2026, 10, 19, 23, 59).getTime(), now)).toBe("Yesterday 23:59");
    expect(when(new Date(2026, 10, 3, 9, 0).getTime(), now)).toContain("09:00");
    expect(when(new Date(2025, 10, 3, 9, 0).getTime(), now)).toContain("2025");
    expect(ago(now - 5_000, now)).toBe("just now");
    expect(ago(now - 60_000, now)).toBe("1 minute ago");
    expect(ago(now - 7_200_000, now)).toBe("Today 12:00");
  });

  it("count up", () => {
    expect([0, 7, 61, 3729].map(duration)).toEqual(["0:00", "0:07", "1:01", "1:02:09"]);
    expect([1, 40, 742].map(spokenDuration)).toEqual(["1 second", "40 seconds", "12 minutes"]);
  });
});

describe("names", () => {
  it("shorten to what one would say", () => {
    expect(["Dr Amara Osei", "Ana Ruiz", "Prof. Lind", "Cher"].map(shortName)).toEqual([
      "Dr Osei",
      "Ana",
      "Prof. Lind",
      "Cher",
    ]);
    expect(["Dr Amara Osei", "Ana Ruiz", "Élodie", "أمل"].map(initials)).toEqual(["AO", "AR", "É", "أ"]);
  });

  it("are found without accents, by specialty, by several words", () => {
    expect(matching(people, "tomas").map((person) => person.user_id)).toEqual(["u5"]);
    expect(matching(people, "cardio osei").map((person) => person.user_id)).toEqual(["u1"]);
    expect(matching(people, "zzz")).toEqual([]);
  });

  it("stand in the order of who can be reached", () => {
    expect(sorted(people).map((person) => person.status)[0]).toBe("online");
    expect(sorted(people).at(-1)?.status).toBe("offline");
  });
});

describe("rates", () => {
  it("have the unit that keeps them short", () => {
    expect([64_000, 1_420_000].map(rate)).toEqual(["64 kbit/s", "1.4 Mbit/s"]);
  });
});

describe("a call that is over", () => {
  const ended = (end_reason: EndReason | null, more: Partial<CallView> = {}) =>
    endedWords({ ...scenarios.ended().call!, end_reason, connected_at: null, ...more });

  it("is summed up for every reason, with a next step where one helps", () => {
    const reasons: EndReason[] = [
      "user_hangup",
      "callee_declined",
      "missed",
      "busy",
      "network_error",
      "timeout",
      "connection_failed",
      "max_duration",
      "removed",
      "server_shutdown",
    ];
    for (const reason of reasons) expect(ended(reason).title).not.toBe("");
    expect(ended("connection_failed").hint).toContain("firewall");
    expect(ended("connection_failed", { not_authentic: true }).hint).toContain(
      "the other end was Dr Amara Osei",
    );
  });

  it("tells cancelled, declined and missed apart from both sides", () => {
    expect(ended("user_hangup").title).toBe("Call cancelled");
    expect(ended("user_hangup", { connected_at: 1 }).title).toBe("Call ended");
    expect(ended("callee_declined").title).toBe("Dr Osei declined");
    expect(ended("callee_declined", { direction: "incoming" }).title).toBe("You declined");
    expect(ended("missed", { direction: "incoming" }).title).toBe("You missed a call from Dr Osei");
  });

  it("has an outcome in the history only when it was no conversation", () => {
    const outcomes = historyPage(1, 7, 7).map(historyOutcome);
    expect(outcomes).toEqual([
      undefined,
      "Not answered",
      "Missed",
      undefined,
      "Declined",
      undefined,
      "Failed",
    ]);
  });
});

describe("a device menu", () => {
  const device = (id: string) => ({ id, name: id, is_virtual: false });
  const list = { available: [device("Lid"), device("Dock")], selected: "Dock", trouble: null };

  it("marks what is used, else what was chosen, and nothing that is not there", () => {
    expect(usedDevice({ ...list, in_use: "Lid" })).toBe("Lid");
    expect(usedDevice({ ...list, in_use: null })).toBe("Dock");
    expect(usedDevice({ ...list, in_use: "Gone", selected: null })).toBeUndefined();
  });
});

describe("a notice", () => {
  it("says what took over, or offers another try", () => {
    const unplugged = { kind: "device", device: "camera", trouble: "unplugged" } as const;
    expect(noticeWords({ ...unplugged, replaced_by: "Logitech BRIO" })).toMatchObject({
      text: "The camera you chose was unplugged. Now using Logitech BRIO.",
      tone: "info",
    });
    const alone = noticeWords({ ...unplugged, replaced_by: null });
    expect(alone).toMatchObject({ action: "retry_devices", inCall: "camera_off" });
    expect(alone.text).toContain("continue without video");
  });

  it("says until when a call was extended", () => {
    const ends_at = new Date(2026, 4, 4, 10, 45).getTime();
    expect(noticeWords({ kind: "call_extended", ends_at })).toEqual({
      text: "You have more time: this call ends at 10:45.",
      tone: "info",
    });
  });
});
