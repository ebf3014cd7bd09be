import { describe, expect, it } from "vitest";
import type { MessageView } from "$lib/contract";
import { Reading } from "./reading.svelte";

function start(total: number): { reading: Reading; marks: number[] } {
  const marks: number[] = [];
  return { reading: new Reading(total, (index) => marks.push(index)), marks };
}

const message = (index: number, more: Partial<MessageView> = {}) =>
  ({
    index,
    own: false,
    sender_name: "Dr Amara Osei",
    content: { kind: "text", text: `Message ${index}` },
    ...more,
  }) as MessageView;

describe("what is read", () => {
  const view = { total: 20, unread: 5, atEnd: false, inFront: true };

  it("is what was unread and has been on the screen, each message once", () => {
    const { reading, marks } = start(20);
    reading.look({ ...view, lastVisible: -1 });
    reading.look({ ...view, lastVisible: 10 });
    reading.look({ ...view, lastVisible: 16 });
    reading.look({ ...view, lastVisible: 16 });
    reading.look({ ...view, lastVisible: 15 });
    reading.look({ ...view, unread: 3, lastVisible: 19 });
    expect(marks).toEqual([16, 19]);
  });

  it("is nothing while the window is behind others, and nothing that was read before", () => {
    const { reading, marks } = start(20);
    reading.look({ ...view, lastVisible: 19, inFront: false });
    reading.look({ ...view, lastVisible: 19, unread: 0 });
    expect(marks).toEqual([]);
    reading.look({ ...view, lastVisible: 19 });
    expect(marks).toEqual([19]);
  });

  it("tells how many messages came since the end was seen", () => {
    const { reading } = start(20);
    expect(reading.fresh(22)).toBe(2);
    reading.look({ ...view, total: 22, lastVisible: 21, atEnd: true });
    expect(reading.fresh(22)).toBe(0);
    expect(reading.fresh(21)).toBe(0);
  });
});

describe("what is said aloud", () => {
  it("is the newest message of somebody else, and not those that were there", () => {
    const { reading } = start(20);
    reading.hear(undefined);
    reading.hear(message(19));
    expect(reading.news).toBe("");
    reading.hear(message(20));
    expect(reading.news).toBe("Dr Osei: Message 20");
    reading.hear(message(20, { content: { kind: "text", text: "Changed" } }));
    reading.hear(message(21, { own: true }));
    expect(reading.news).toBe("Dr Osei: Message 20");
  });
});
