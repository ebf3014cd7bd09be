import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { MemberView, MessageView, TransferFailure, TransferView } from "$lib/contract";
import { briefly, dayName, size } from "$lib/format";
import { conversations, me, member } from "$lib/mock/conversations";
import { directWith } from "$lib/state/nav.svelte";
import { noticeActionText, noticeWords } from "$lib/words";
import { scenarios } from "$lib/mock/scenarios";
import { actionsFor } from "./actions";
import { TYPING_MS, TypingSignal } from "./composing";
import { excerpt } from "./excerpt";
import { beginsDay, continues, linked, TOGETHER_MS } from "./grouping";
import {
  emojiName,
  eventText,
  isWarning,
  previewText,
  protectionText,
  transferText,
  typingText,
  whoCanRead,
} from "./words";

const noon = new Date(2026, 10, 20, 12, 0).getTime();

function message(more: Partial<MessageView> = {}): MessageView {
  return {
    id: "m",
    index: 5,
    sender_id: "u1",
    sender_name: "Dr Amara Osei",
    own: false,
    sent_at: noon,
    content: { kind: "text", text: "Good morning." },
    edited: false,
    reply_to: null,
    in_call: false,
    unchecked: false,
    state: "received",
    receipts: [],
    ...more,
  };
}

describe("messages", () => {
  it("stand together when one person writes several within five minutes of one day", () => {
    const first = message();
    expect(continues(message({ sent_at: noon + TOGETHER_MS - 1 }), first)).toBe(true);
    expect(continues(message({ sent_at: noon + TOGETHER_MS }), first)).toBe(false);
    expect(continues(message({ sender_id: "me" }), first)).toBe(false);
    expect(continues(message(), undefined)).toBe(false);
    const late = new Date(2026, 10, 20, 23, 59).getTime();
    expect(continues(message({ sent_at: late + 120_000 }), message({ sent_at: late }))).toBe(false);
  });

  it("have the day above the first of each day", () => {
    expect(beginsDay(message({ index: 0 }), undefined)).toBe(true);
    expect(beginsDay(message(), undefined)).toBe(false);
    expect(beginsDay(message(), message({ sent_at: noon - 86_400_000 }))).toBe(true);
    expect(dayName(noon, noon)).toBe("Today");
    expect(dayName(noon - 86_400_000, noon)).toBe("Yesterday");
    expect(dayName(noon - 3 * 86_400_000, noon)).toContain("17 November");
    expect([briefly(noon, noon), briefly(noon - 3 * 86_400_000, noon)]).toEqual(["12:00", "17 Nov"]);
  });

  it("can be changed and deleted by their writer only, and not where nothing can be sent", () => {
    const [direct] = conversations(new Map());
    const own = message({ own: true });
    expect(actionsFor(message(), direct!)).toEqual(["reply"]);
    expect(actionsFor(own, direct!)).toEqual(["reply", "edit", "delete", "details"]);
    expect(actionsFor(own, { ...direct!, state: "removed" })).toEqual(["details"]);
    expect(actionsFor(message({ content: { kind: "deleted" } }), direct!)).toEqual([]);
  });
});

describe("links", () => {
  it("are found without the punctuation after them, and lead to the web only", () => {
    expect(linked("See https://example.org/a?b=1, or www.example.org.")).toEqual([
      { text: "See " },
      { text: "https://example.org/a?b=1", href: "https://example.org/a?b=1" },
      { text: ", or " },
      { text: "www.example.org", href: "https://www.example.org" },
      { text: "." },
    ]);
    expect(linked("javascript:alert(1) file:///etc/passwd")).toEqual([
      { text: "javascript:alert(1) file:///etc/passwd" },
    ]);
    expect(linked("")).toEqual([]);
  });
});

describe("what was looked for", () => {
  it("is shown with what is around it", () => {
    const parts = excerpt(`${"a ".repeat(60)}Blood pressure${" b".repeat(60)}`, "blood");
    expect(parts.map((part) => part.found)).toEqual([false, true, false]);
    expect(parts[1]!.text).toBe("Blood");
    expect(parts[0]!.text.startsWith("…") && parts[2]!.text.endsWith("…")).toBe(true);
    expect(excerpt("short", "zzz")).toEqual([{ text: "short", found: false }]);
  });
});

describe("protection", () => {
  const archive: MemberView = { ...member("u3"), user_id: "archive", archive: true };

  it("names everybody who can read, oneself first and the archive last", () => {
    expect(whoCanRead([archive, member("u1"), me()])).toBe("you, Dr Osei and the clinic's archive");
    expect(whoCanRead([member("u1"), me()])).toBe("you and Dr Osei");
  });

  it("claims no more than is true", () => {
    const members = [me(), member("u1")];
    expect(protectionText("verified", members)).toContain("Only you and Dr Osei can read this");
    expect(protectionText("encrypted", members)).toContain("should be able to");
    expect(protectionText("encrypted", members)).toContain("compare the code");
    expect(protectionText("unprotected", members)).not.toContain("Only");
    const kept = protectionText("verified", [...members, archive]);
    expect(kept).toContain("no one else can intercept it");
    expect(kept).not.toContain("not even your clinic's server");
  });

  it("has a name for every picture, and the English one for a picture it doesn't know", () => {
    expect([emojiName("thumbs up"), emojiName("dog"), emojiName("kazoo")]).toEqual([
      "Thumbs up",
      "Dog",
      "kazoo",
    ]);
  });
});

describe("a conversation's words", () => {
  it("say who writes", () => {
    expect(typingText([])).toBeUndefined();
    expect(typingText(["Dr Amara Osei"])).toBe("Dr Osei is typing");
    expect(typingText(["Dr Amara Osei", "Ana Ruiz"])).toBe("Dr Osei and Ana are typing");
    expect(typingText(["A B", "C D", "E F"])).toBe("Several people are typing");
  });

  it("sum up the newest message", () => {
    const preview = { own: false, sender_name: "Dr Amara Osei", text: "Good.", file: false, at: noon };
    expect(previewText(preview, false)).toBe("Good.");
    expect(previewText(preview, true)).toBe("Dr Osei: Good.");
    expect(previewText({ ...preview, own: true, text: "" }, false)).toBe("You: Message deleted");
  });

  it("tell a device that joined on its own from one that was added", () => {
    const joined = { what: "device_joined", name: "Ana", by_itself: true } as const;
    expect(eventText(joined)).toContain("joined on its own");
    expect(eventText({ ...joined, by_itself: false })).not.toContain("joined on its own");
    expect(eventText({ what: "missing", name: "Ana", count: 2 })).toContain(
      "2 messages from Ana never arrived",
    );
  });

  it("say who reads along on several devices, and that the archive is another one", () => {
    const several = { what: "several_devices", name: "Dr Osei", own: false, count: 2 } as const;
    expect(eventText(several)).toBe("Dr Osei takes part here on 2 devices.");
    expect(eventText({ ...several, own: true })).toContain("If one of them isn't yours");
    expect(isWarning({ what: "archive_changed", present: true })).toBe(true);
  });
});

describe("a transfer", () => {
  const transfer: TransferView = {
    id: "t",
    conversation_id: "c",
    message_id: "m",
    name: "a.pdf",
    outgoing: true,
    direct: false,
    bytes: 2_000_000,
    done: 500_000,
    state: { state: "running" },
  };

  it("says how far it is", () => {
    expect(transferText(transfer)).toBe("Sending · 500 kB of 2 MB");
    expect([820, 64_000, 1_400_000, 2_100_000_000].map(size)).toEqual([
      "820 bytes",
      "64 kB",
      "1.4 MB",
      "2.1 GB",
    ]);
  });

  it("has a sentence and a next step for every way to fail", () => {
    const reasons: TransferFailure[] = [
      "damaged",
      "disk_full",
      "server_full",
      "no_access",
      "expired",
      "not_found",
      "forbidden",
      "too_large",
      "changed",
      "stopped",
      "server_trouble",
    ];
    const said = reasons.map((reason) => transferText({ ...transfer, state: { state: "failed", reason } }));
    expect(new Set(said).size).toBe(reasons.length);
    for (const text of said) expect(text.split(". ").length, text).toBeGreaterThan(1);
  });
});

describe("notices about trust", () => {
  it("are loud and lead to where something can be done", () => {
    const changed = noticeWords({ kind: "key_changed", name: "Dr Osei", conversation_id: "c1" });
    expect(changed).toMatchObject({ tone: "bad", action: "look_at_keys" });
    const forged = noticeWords({ kind: "not_authentic", name: "Dr Osei", conversation_id: "c1" });
    expect(forged).toMatchObject({ tone: "bad", action: "look_at_keys" });
    expect(noticeWords({ kind: "failed", failure: "key_changed" }).action).toBe("look_at_keys");
    expect(noticeWords({ kind: "archive_changed" })).toMatchObject({ tone: "bad", action: "look_at_keys" });
    const added = noticeWords({ kind: "device_added", name: "Kitchen computer" });
    expect(noticeActionText(added.action!)).toBe("Your devices");
  });

  it("find the conversation with the person they are about", () => {
    expect(directWith(scenarios.home(), "u3")?.state).toBe("blocked");
    expect(directWith(scenarios.home(), "nobody")).toBeUndefined();
  });
});

describe("telling that somebody writes", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("happens once, and ends once the keys rest, the text is gone or the message is sent", () => {
    const told: boolean[] = [];
    const signal = new TypingSignal((typing) => told.push(typing));
    signal.input(true);
    signal.input(true);
    expect(told).toEqual([true]);
    vi.advanceTimersByTime(TYPING_MS);
    expect(told).toEqual([true, false]);
    signal.stop();
    signal.input(true);
    signal.input(false);
    expect(told).toEqual([true, false, true, false]);
  });
});
