/** Where in the app somebody is: kept here, so that it survives a call and a notice can lead there. */
import { getContext, setContext } from "svelte";
import type { CallType, ConversationView, Snapshot } from "$lib/contract";
import type { App } from "./app.svelte";

export type Page = "people" | "messages" | "history" | "settings";
export type SettingsPart = "devices";

export class Nav {
  page = $state<Page>("people");
  /** The conversation that is open, or that was asked for with {@link write}. */
  conversation = $state<string>();
  /** The person whose direct conversation opens as soon as it is there; `group`: the next group. */
  awaited = $state<string>();
  /** A place in the conversation to go to, once. */
  jump = $state.raw<{ conversation: string; index: number }>();
  /** A part of a page to scroll to, once. */
  part = $state<SettingsPart>();
  /** A call that was asked for and can't begin: a checked key changed. */
  held = $state.raw<{ conversation: string; user_id: string; call_type: CallType }>();
  /** Texts that were begun and not sent, by conversation; gone when the app is closed. */
  readonly drafts = new Map<string, string>();

  #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  open(conversation: string, index?: number): void {
    this.page = "messages";
    this.conversation = conversation;
    this.awaited = undefined;
    this.jump = index === undefined ? undefined : { conversation, index };
  }

  /** Opens the conversation with somebody, or founds it. */
  write(user_id: string): void {
    const known = directWith(this.#app.snapshot, user_id);
    if (known) {
      this.open(known.id);
      return;
    }
    this.page = "messages";
    this.conversation = undefined;
    this.awaited = user_id;
    this.#app.dispatch({ type: "start_conversation", data: { user_ids: [user_id], title: null } });
  }

  /** A group was asked for: it opens as soon as it is there. */
  awaitGroup(): void {
    this.conversation = undefined;
    this.awaited = "group";
  }

  /** Calls somebody, unless a checked key of theirs changed: then that comes first. */
  call(user_id: string, call_type: CallType): void {
    const known = directWith(this.#app.snapshot, user_id);
    if (known?.state === "blocked") this.held = { conversation: known.id, user_id, call_type };
    else this.#app.dispatch({ type: "call", data: { user_id, call_type } });
  }

  /** Goes to the conversation whose keys are in question: this one, or the blocked one. */
  lookAtKeys(conversation?: string | null): void {
    const all = this.#app.snapshot?.chat.conversations ?? [];
    const id = conversation ?? all.find((one) => one.state === "blocked")?.id;
    if (id) this.open(id);
    else this.page = "messages";
  }

  devices(): void {
    this.page = "settings";
    this.part = "devices";
  }
}

export function directWith(snapshot: Snapshot | undefined, user_id: string): ConversationView | undefined {
  return snapshot?.chat.conversations.find((one) => one.kind === "direct" && one.peer_id === user_id);
}

const KEY = Symbol("nav");

export function provideNav(nav: Nav): void {
  setContext(KEY, nav);
}

export function useNav(): Nav {
  return getContext<Nav>(KEY);
}
