/**
 * A conversation's messages, as far as somebody looks at them: fetched in chunks by their place in the list, fetched
 * anew when the list changes, forgotten when they are far away.
 */
import type { MessagePage, MessageView } from "$lib/contract";
import { SvelteMap } from "svelte/reactivity";

/** Messages fetched at once. */
export const CHUNK = 50;
/** Chunks kept: what is on the screen and a good deal around it. */
export const KEPT_CHUNKS = 16;

interface Chunk {
  items: MessageView[];
  /** The revision it was asked for at. */
  revision: number;
}

export type Fetch = (from: number, count: number) => Promise<MessagePage>;

export class MessageLog {
  total = $state(0);
  #fetch: Fetch;
  #revision = -1;
  #chunks = new SvelteMap<number, Chunk>();
  #asked = new Map<number, number>();
  #wanted = { from: 0, to: 0 };

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** What the snapshot says about the list. */
  update(total: number, revision: number): void {
    this.total = total;
    if (revision === this.#revision) return;
    this.#revision = revision;
    this.#load();
  }

  /** The rows `from..to` are on the screen. */
  want(from: number, to: number): void {
    this.#wanted = { from, to };
    this.#load();
  }

  /** The message at this place, once it is there. */
  at(index: number): MessageView | undefined {
    const chunk = Math.floor(index / CHUNK);
    return this.#chunks.get(chunk)?.items[index - chunk * CHUNK];
  }

  /** Where the message `id` is, among those that are there. */
  find(id: string): number | undefined {
    for (const [number, chunk] of this.#chunks) {
      const place = chunk.items.findIndex((message) => message.id === id);
      if (place >= 0) return number * CHUNK + place;
    }
    return undefined;
  }

  #load(): void {
    const { from, to } = this.#wanted;
    if (to <= from) return;
    for (let number = Math.floor(from / CHUNK); number <= Math.floor((to - 1) / CHUNK); number++) {
      if (this.#chunks.get(number)?.revision === this.#revision) continue;
      if (this.#asked.get(number) === this.#revision) continue;
      void this.#ask(number, this.#revision);
    }
  }

  async #ask(number: number, revision: number): Promise<void> {
    this.#asked.set(number, revision);
    try {
      const { items } = await this.#fetch(number * CHUNK, CHUNK);
      // An answer that comes after that to a later question is old.
      if ((this.#chunks.get(number)?.revision ?? -1) <= revision)
        this.#chunks.set(number, { items, revision });
      this.#forget();
    } finally {
      if (this.#asked.get(number) === revision) this.#asked.delete(number);
    }
  }

  #forget(): void {
    if (this.#chunks.size <= KEPT_CHUNKS) return;
    const middle = (this.#wanted.from + this.#wanted.to) / 2 / CHUNK;
    const far = [...this.#chunks.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
    for (const number of far.slice(0, this.#chunks.size - KEPT_CHUNKS)) this.#chunks.delete(number);
  }
}
