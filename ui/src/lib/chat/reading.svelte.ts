/** What the person has read of a conversation, and what is said aloud of it to somebody who does not look. */
import type { MessageView } from "$lib/contract";
import { shortName } from "$lib/format";
import { t } from "$lib/messages";
import { lineOf } from "./grouping";

/** What is on the screen of a conversation. */
export interface View {
  total: number;
  unread: number;
  /** The last message that is seen; -1 while that is not known. */
  lastVisible: number;
  /** The list stands at its end. */
  atEnd: boolean;
  /** The window has the keyboard: what is on the screen is looked at. */
  inFront: boolean;
}

export class Reading {
  /** The newest message, for a screen reader. */
  news = $state("");
  /** How many messages there were when the end was seen last. */
  #seen = $state(0);
  #announced: number;
  /** Up to where the engine was told that messages were read. */
  #marked = -1;
  #mark: (index: number) => void;

  constructor(total: number, mark: (index: number) => void) {
    this.#seen = total;
    this.#announced = total;
    this.#mark = mark;
  }

  /** How many of `total` came since the end was seen. */
  fresh(total: number): number {
    return Math.max(0, total - this.#seen);
  }

  /** This is on the screen now: what was unread and is looked at counts as read, each message once. */
  look({ total, unread, lastVisible, atEnd, inFront }: View): void {
    if (atEnd) this.#seen = total;
    if (unread === 0 || !inFront || lastVisible <= this.#marked || lastVisible < total - unread) return;
    this.#marked = lastVisible;
    this.#mark(lastVisible);
  }

  /** This is the newest message: one that came while the list was open is read out, once and not one's own. */
  hear(newest: MessageView | undefined): void {
    if (!newest || newest.index < this.#announced) return;
    this.#announced = newest.index + 1;
    if (newest.own || newest.content.kind === "event" || newest.content.kind === "deleted") return;
    const words = { name: shortName(newest.sender_name), text: lineOf(newest) };
    this.news = t(newest.content.kind === "file" ? "chat.saidFile" : "chat.said", words);
  }
}
