import { describe, expect, it } from "vitest";
import { FIRST, ListWindow, MARGIN, type ScrollBox } from "./window.svelte";

/** What a browser does with an element that scrolls. */
class Box implements ScrollBox {
  clientHeight = 680;
  scrollHeight = 680;
  #top = 0;

  get scrollTop(): number {
    return this.#top;
  }

  set scrollTop(top: number) {
    this.#top = Math.max(0, Math.min(top, this.scrollHeight - this.clientHeight));
  }

  fit(height: number): void {
    this.scrollHeight = Math.max(height, this.clientHeight);
    this.scrollTop = this.#top;
  }

  get fromEnd(): number {
    return this.scrollHeight - this.#top - this.clientHeight;
  }
}

/** A list of `total` rows of 68 pixels in a box that shows ten of them. */
function start(total: number, goal?: number): { list: ListWindow; box: Box } {
  const list = new ListWindow(goal);
  const box = new Box();
  list.resize(total);
  list.attach(box, (height) => box.fit(height));
  list.layout();
  return { list, box };
}

describe("a long list", () => {
  it("draws a few rows at its end, or around the row it begins with, before it is laid out", () => {
    const at = (goal?: number) => {
      const list = new ListWindow(goal);
      list.resize(50_000);
      return list.range;
    };
    expect(at()).toEqual({ from: 50_000 - FIRST, to: 50_000 });
    expect(at(100)).toEqual({ from: 100 - FIRST / 2, to: 100 + FIRST / 2 });
    expect(at(2)).toEqual({ from: 0, to: 2 + FIRST / 2 });
  });

  it("draws what is seen and a margin, never all of it", () => {
    const { list, box } = start(50_000);
    expect(list.range.to).toBe(50_000);
    expect(list.range.to - list.range.from).toBeLessThan(2 * Math.ceil(MARGIN / 68) + 14);
    expect(list.lastVisible).toBe(49_999);
    list.moved();
    box.scrollTop = 68_000;
    list.scrolled();
    expect(list.range.from).toBeLessThan(1000);
    expect(list.range.to).toBeGreaterThan(1010);
    expect(list.before).toBe(list.range.from * 68);
  });

  it("follows what is new while its end is seen", () => {
    const { list, box } = start(100);
    expect([list.pinned, box.fromEnd]).toEqual([true, 0]);
    list.resize(101);
    list.settle();
    list.measure([[100, 300]]);
    expect([list.pinned, box.fromEnd]).toEqual([true, 0]);
    expect(list.lastVisible).toBe(100);
  });

  it("stays where the person is while new rows come and rows above turn out to be higher", () => {
    const { list, box } = start(100);
    list.moved();
    box.scrollTop = 50 * 68;
    list.scrolled();
    expect(list.pinned).toBe(false);
    list.resize(101);
    list.settle();
    expect(box.scrollTop).toBe(50 * 68);
    list.measure([
      [10, 168],
      [90, 168],
    ]);
    // A hundred pixels more above what is seen; what is below moves nothing.
    expect(box.scrollTop).toBe(50 * 68 + 100);
  });

  it("keeps a row in view, whatever is measured, until the person moves", () => {
    const { list, box } = start(100, 40);
    const quarter = box.clientHeight / 4;
    expect(box.scrollTop).toBe(40 * 68 - quarter);
    list.measure([[5, 200]]);
    expect(box.scrollTop).toBe(40 * 68 + 132 - quarter);
    list.moved();
    box.scrollTop -= 500;
    list.scrolled();
    const there = box.scrollTop;
    list.settle();
    expect(box.scrollTop).toBe(there);
    list.toEnd();
    expect([list.pinned, box.fromEnd]).toEqual([true, 0]);
  });

  it("scrolls as little as brings a row into view, and turns by what is seen", () => {
    const { list, box } = start(100);
    list.moved();
    list.reveal(95);
    expect(box.fromEnd).toBe(0);
    list.reveal(80);
    expect(box.scrollTop).toBe(80 * 68 - 8);
    list.turn(-1);
    expect(box.scrollTop).toBe(80 * 68 - 8 - (680 - 48));
    list.turn(100);
    expect([list.pinned, box.fromEnd]).toEqual([true, 0]);
  });
});
