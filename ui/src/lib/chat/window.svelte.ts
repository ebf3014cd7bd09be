/**
 * Which rows of a long list are drawn, and where the list stands.
 *
 * It stands at its end and follows what is new; or it keeps one row in view until the person moves; or it stays where
 * the person has put it, whatever the rows above turn out to be high.
 */
import { flushSync } from "svelte";
import { Heights } from "./heights";

/** Drawn beyond both ends of what is seen, CSS pixels. */
export const MARGIN = 500;
/** Drawn before it is known how much is seen: enough for most windows, since the first drawing takes the longest. */
export const FIRST = 16;
/** So near to the end, the list follows what is new, CSS pixels. */
const NEAR = 48;
/** How high a row is thought to be until it is measured, CSS pixels. */
const ESTIMATE = 68;
/** How far down a row is put that is to be kept in view, of what is seen. */
const KEPT_AT = 0.25;
/** Left free above or below a row that is brought into view, CSS pixels. */
const GAP = 8;

/** The element that scrolls, as far as it matters here. */
export interface ScrollBox {
  scrollTop: number;
  readonly scrollHeight: number;
  readonly clientHeight: number;
}

export class ListWindow {
  /** What the person has scrolled past, CSS pixels. */
  #top = $state(0);
  #viewport = $state(0);
  #total = $state(0);
  #pinned = $state(true);
  /** Grows whenever a height changes: heights are no reactive state, there are too many. */
  #measured = $state(0);
  /** The row to keep in view until the person moves. */
  #goal: number | undefined;
  #heights = new Heights(ESTIMATE);
  #box: ScrollBox | undefined;
  #fit: (height: number) => void = () => {};

  /** The rows that are drawn; `to` is one past the last. */
  readonly range = $derived.by(() => {
    void this.#measured;
    if (this.#viewport > 0) return this.#heights.between(this.#top, this.#top + this.#viewport, MARGIN);
    // Before the first layout: the end, or around the row that is kept in view.
    const to = Math.min(this.#total, (this.#goal ?? this.#total) + FIRST / 2);
    return { from: Math.max(0, to - FIRST), to };
  });
  /** Where the first of them begins. */
  readonly before = $derived((void this.#measured, this.#heights.offset(this.range.from)));
  /** How high all rows are together. */
  readonly height = $derived((void this.#measured, void this.#total, this.#heights.height));
  /** The last row that is seen; -1 while that is not known. */
  readonly lastVisible = $derived((void this.#measured, this.#viewport > 0 ? this.#lowest() : -1));

  /** `goal`: a row to begin with instead of the end. */
  constructor(goal?: number) {
    this.#goal = goal;
    this.#pinned = goal === undefined;
  }

  /** It stands at its end. */
  get pinned(): boolean {
    return this.#pinned;
  }

  /** It is in the page from now on; `fit` makes the content of `box` that high. */
  attach(box: ScrollBox, fit: (height: number) => void): void {
    [this.#box, this.#fit] = [box, fit];
  }

  /** There are this many rows now. Whoever looks at the end sees the new ones. */
  resize(total: number): void {
    if (total > this.#total && this.#total > 0 && this.#nearEnd())
      [this.#pinned, this.#goal] = [true, undefined];
    this.#heights.resize(total);
    this.#total = total;
    this.#measured += 1;
  }

  /** The box has the size that it has now. */
  layout(): void {
    this.#viewport = this.#box?.clientHeight ?? 0;
    flushSync();
    this.settle();
  }

  /** Rows were measured. What is seen stays where it is, although rows above it are higher than was thought. */
  measure(rows: Iterable<[index: number, height: number]>): void {
    const anchor = this.#goal ?? this.#heights.indexAt(this.#top);
    let shift = 0;
    for (const [index, height] of rows) {
      const change = this.#heights.set(index, height);
      if (index < anchor) shift += change;
    }
    this.#measured += 1;
    flushSync();
    this.#fit(this.#heights.height);
    if (this.#box && !this.#pinned && this.#goal === undefined && shift !== 0) this.#box.scrollTop += shift;
    this.settle();
  }

  /** Puts the list where it should stand. */
  settle(): void {
    const box = this.#box;
    if (!box) return;
    // At once, not with the next drawing: how far one can scroll depends on it.
    this.#fit(this.#heights.height);
    if (this.#pinned) box.scrollTop = box.scrollHeight;
    else if (this.#goal !== undefined)
      box.scrollTop = this.#heights.offset(this.#goal) - box.clientHeight * KEPT_AT;
    this.#top = box.scrollTop;
  }

  /** The box has scrolled. */
  scrolled(): void {
    if (!this.#box) return;
    this.#top = this.#box.scrollTop;
    if (this.#goal === undefined) this.#pinned = this.#nearEnd();
  }

  /** From here on the person says where the list stands. */
  moved(): void {
    this.#goal = undefined;
    this.#pinned = this.#nearEnd();
  }

  /** Keeps this row in view until the person moves. */
  keep(index: number): void {
    [this.#pinned, this.#goal] = [false, index];
    this.settle();
  }

  /** Goes to the end and stays there. */
  toEnd(): void {
    [this.#goal, this.#pinned] = [undefined, true];
    this.settle();
  }

  /** Scrolls as little as brings this row into view. */
  reveal(index: number): void {
    const box = this.#box;
    if (!box || this.#goal !== undefined) return;
    const [from, to] = [this.#heights.offset(index), this.#heights.offset(index + 1)];
    if (from < box.scrollTop) box.scrollTop = from - GAP;
    else if (to > box.scrollTop + box.clientHeight) box.scrollTop = to - box.clientHeight + GAP;
    this.#top = box.scrollTop;
  }

  /** At once: a movement that takes its time ends where rows above turn out to be higher than was thought. */
  turn(pages: number): void {
    if (!this.#box) return;
    this.#goal = undefined;
    this.#box.scrollTop += pages * (this.#box.clientHeight - NEAR);
    this.scrolled();
  }

  #lowest(): number {
    return this.#heights.indexAt(this.#top + this.#viewport - GAP);
  }

  #nearEnd(): boolean {
    const box = this.#box;
    return !box || box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
  }
}
