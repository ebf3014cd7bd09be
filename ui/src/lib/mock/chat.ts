/** An engine's messages, played: what is written is queued, sent, delivered, read and sometimes answered. */
import type {
  ChatView,
  Command,
  ConversationView,
  MessagePage,
  MessageState,
  MessageView,
  SearchHit,
  TransferView,
} from "$lib/contract";
import { chat, installations, me, member, previewOf, type Stores } from "./conversations";
import { file, found, made } from "./messages";
import { people } from "./people";

const CODE = {
  emoji: [
    { symbol: "🚲", name: "bicycle" },
    { symbol: "❤️", name: "heart" },
    { symbol: "👓", name: "glasses" },
    { symbol: "🍕", name: "pizza" },
    { symbol: "🦄", name: "unicorn" },
    { symbol: "☎️", name: "telephone" },
    { symbol: "🐘", name: "elephant" },
  ],
  digits: ["8328", "1847", "5658"],
};
/** Bytes a mock transfer moves in a tick of 100 ms. */
const STEP = 6_000_000;
const MOST_HITS = 50;

export interface Host {
  chat(): ChatView;
  change(chat: ChatView): void;
  online(): boolean;
  inCallWith(): string | undefined;
}

export class MockChat {
  #host: Host;
  #stores: Stores = chat().stores;
  #made = 0;
  /** Queries asked, for tests: `[from, count]`. */
  readonly asked: [number, number][] = [];
  /** While it is set, the vault opens, or is found not to, by {@link turnKey} alone; for tests. */
  slowVault = false;
  #turnKey = () => {};

  constructor(host: Host) {
    this.#host = host;
  }

  messages(conversation: string, from: number, count: number): Promise<MessagePage> {
    this.asked.push([from, count]);
    const store = this.#stores.get(conversation);
    const total = store?.total ?? 0;
    const length = Math.max(0, Math.min(count, total - from));
    const items = store ? Array.from({ length }, (_, at) => made(store, from + at)) : [];
    return Promise.resolve({ from, total, revision: this.#view(conversation)?.revision ?? 0, items });
  }

  search(text: string, conversation: string | null): Promise<SearchHit[]> {
    const views = this.#host.chat().conversations.filter((one) => !conversation || one.id === conversation);
    const hits = views.flatMap((view) =>
      found(this.#stores.get(view.id)!, text, MOST_HITS).map((message) => ({
        conversation_id: view.id,
        title: view.title,
        message,
      })),
    );
    return Promise.resolve(hits.slice(0, MOST_HITS));
  }

  /** Somebody else writes; `more` is what is special about it. */
  receive(conversation: string, text: string, more: Partial<MessageView> = {}): void {
    const view = this.#view(conversation)!;
    const other = view.members.find((one) => !one.own)!;
    this.#append(conversation, other.user_id, { kind: "text", text }, more);
    this.#set(conversation, { unread: (this.#view(conversation)?.unread ?? 0) + 1, typing: [] });
  }

  /** A device came or went: another code is to be compared. */
  changeCode(conversation: string): void {
    this.#set(conversation, { check_code: { ...CODE, digits: ["0417", "2290", "7731"] } });
  }

  /** The key of somebody of this name changed after it had been verified. */
  changeKey(conversation: string, name: string): void {
    const changed = this.#view(conversation)?.changed ?? [];
    const change = { name, own: false, archive: false, at: Date.now(), fingerprints: ["0f3a 61d8"] };
    this.#set(conversation, { state: "blocked", changed: [...changed, change] });
  }

  /** Another device says that it is one's own. */
  addOwnDevice(conversation: string): void {
    this.#own(conversation, false);
    this.#set(conversation, { check_code: null });
  }

  /** The passphrase has been tried. */
  turnKey(): void {
    this.#turnKey();
  }

  /** Takes a command; false when it is none of its own. */
  react(command: Command): boolean {
    const view = this.#host.chat();
    switch (command.type) {
      case "start_conversation":
        this.#start(command.data.user_ids, command.data.title);
        return true;
      case "view_conversation":
      case "set_typing":
        return true;
      case "send_message": {
        const { conversation_id, text, reply_to } = command.data;
        this.#send(conversation_id, text, reply_to);
        return true;
      }
      case "edit_message":
        this.#rewrite(command.data.conversation_id, command.data.message_id, {
          content: { kind: "text", text: command.data.text },
          edited: true,
        });
        return true;
      case "delete_message":
        this.#rewrite(command.data.conversation_id, command.data.message_id, {
          content: { kind: "deleted" },
        });
        return true;
      case "mark_read":
        this.#set(command.data.conversation_id, { unread: 0 });
        return true;
      case "show_check_code":
        setTimeout(() => this.#set(command.data.conversation_id, { check_code: CODE }), 150);
        return true;
      case "accept_own_devices":
        this.#own(command.data.conversation_id, true);
        return true;
      case "confirm_check_code":
        this.#check(command.data.conversation_id, command.data.with);
        return true;
      case "reset_check":
      case "acknowledge_key_change":
        this.#check(command.data.conversation_id, []);
        return true;
      case "send_files":
        for (const path of command.data.paths) this.#sendFile(command.data.conversation_id, path);
        return true;
      case "save_file":
        this.#fetchFile(command.data.conversation_id, command.data.message_id, command.data.folder);
        return true;
      case "pause_transfer":
        this.#transfer(command.data.id, { state: { state: "paused" } });
        return true;
      case "resume_transfer":
        this.#transfer(command.data.id, { state: { state: "running" } });
        return true;
      case "cancel_transfer":
        this.#host.change({
          ...view,
          transfers: view.transfers.filter((one) => one.id !== command.data.id),
        });
        return true;
      case "load_installations":
        this.#host.change({ ...view, installations: structuredClone(installations) });
        return true;
      case "rename_installation":
        this.#installation(command.data.device_id, { name: command.data.name });
        return true;
      case "revoke_installation":
        this.#installation(command.data.device_id, {
          leaving: 4,
          last_used_at: null,
          revoking: true,
        });
        return true;
      case "unlock_vault": {
        const { vault } = view;
        if (vault.state !== "locked") return true;
        this.#host.change({ ...view, vault: { ...vault, unlocking: true } });
        const wrong = command.data.passphrase.includes("wrong");
        this.#opens(wrong ? { state: "locked", wrong: true, unlocking: false } : { state: "passphrase" });
        return true;
      }
      case "set_passphrase":
        this.#opens({ state: "passphrase" });
        return true;
      default:
        return false;
    }
  }

  /** A tenth of a second passed. */
  tick(): void {
    const view = this.#host.chat();
    if (!view.transfers.some((one) => one.state.state === "running")) return;
    const done: TransferView[] = [];
    const transfers = view.transfers.map((one): TransferView => {
      if (one.state.state !== "running") return one;
      const next = Math.min(one.bytes, one.done + STEP);
      if (next < one.bytes) return { ...one, done: next };
      const complete: TransferView = { ...one, done: next, state: { state: "done" } };
      done.push(complete);
      return complete;
    });
    this.#host.change({ ...view, transfers });
    for (const one of done) this.#arrived(one);
  }

  #view(id: string): ConversationView | undefined {
    return this.#host.chat().conversations.find((one) => one.id === id);
  }

  #set(id: string, parts: Partial<ConversationView>): void {
    const view = this.#host.chat();
    this.#host.change({
      ...view,
      conversations: view.conversations.map((one) => (one.id === id ? { ...one, ...parts } : one)),
    });
  }

  #opens(vault: ChatView["vault"]): void {
    this.#turnKey = () => this.#host.change({ ...this.#host.chat(), vault });
    if (!this.slowVault) setTimeout(this.#turnKey, 120);
  }

  #append(
    id: string,
    sender: string,
    content: MessageView["content"],
    more: Partial<MessageView>,
  ): MessageView | undefined {
    const store = this.#stores.get(id);
    const view = this.#view(id);
    const who = view?.members.find((one) => one.user_id === sender);
    if (!store || !view || !who) return undefined;
    const index = store.total;
    store.total += 1;
    const message: MessageView = {
      id: `new-${this.#made++}`,
      index,
      sender_id: who.user_id,
      sender_name: who.name,
      own: who.own,
      sent_at: Date.now(),
      content,
      edited: false,
      reply_to: null,
      in_call: this.#host.inCallWith() === id,
      unchecked: false,
      state: who.own ? "queued" : "received",
      receipts: [],
      ...more,
    };
    store.changed.set(index, message);
    this.#touch(id);
    return message;
  }

  #touch(id: string, parts: Partial<ConversationView> = {}): void {
    const store = this.#stores.get(id)!;
    const view = this.#view(id)!;
    this.#set(id, { ...parts, total: store.total, revision: view.revision + 1, preview: previewOf(store) });
  }

  #send(id: string, text: string, reply_to: string | null): void {
    const store = this.#stores.get(id)!;
    const answered = reply_to ? this.#find(id, reply_to) : undefined;
    const reply: MessageView["reply_to"] = answered
      ? {
          id: answered.id,
          index: answered.index,
          sender_name: answered.sender_name,
          excerpt: answered.content.kind === "text" ? answered.content.text : "",
        }
      : null;
    const message = this.#append(id, "me", { kind: "text", text }, { reply_to: reply })!;
    if (!this.#host.online()) {
      this.#set(id, { waiting: this.#view(id)!.waiting + 1 });
      return;
    }
    const steps: [MessageState, number][] = [
      ["sent", 80],
      ["delivered", 400],
      ["read", 1200],
    ];
    for (const [state, after] of steps) {
      setTimeout(() => {
        const now = store.changed.get(message.index)!;
        const receipts = store.members
          .filter((one) => !one.own)
          .flatMap((one) =>
            one.devices.map(({ device_id }) => ({ name: one.name, device_id, read: state === "read" })),
          );
        store.changed.set(message.index, { ...now, state, receipts: state === "sent" ? [] : receipts });
        this.#touch(id);
      }, after);
    }
  }

  #find(id: string, message: string): MessageView | undefined {
    const store = this.#stores.get(id)!;
    for (let index = store.total - 1; index >= 0; index--) {
      const one = made(store, index);
      if (one.id === message) return one;
    }
    return undefined;
  }

  #rewrite(id: string, message: string, parts: Partial<MessageView>): void {
    const one = this.#find(id, message);
    if (!one) return;
    this.#stores.get(id)!.changed.set(one.index, { ...one, ...parts });
    this.#touch(id);
  }

  /** The code was compared with these people, or, with none, does not count any more. */
  #check(id: string, readers: readonly string[]): void {
    const view = this.#view(id)!;
    const members = view.members.map((one) => {
      const verified =
        one.own || (readers.length > 0 && (one.archive || one.verified || readers.includes(one.user_id)));
      return { ...one, verified, devices: one.devices.map((device) => ({ ...device, verified })) };
    });
    const verified = members.every((one) => one.verified);
    this.#set(id, { state: "ready", changed: [], protection: verified ? "verified" : "encrypted", members });
  }

  /** One's own other devices were accepted, or not. */
  #own(id: string, verified: boolean): void {
    const members = this.#view(id)!.members.map((one) =>
      one.own
        ? {
            ...one,
            verified,
            devices: one.devices.map((device) => ({ ...device, verified: device.current || verified })),
          }
        : one,
    );
    this.#set(id, { members });
  }

  #start(user_ids: string[], title: string | null): void {
    const view = this.#host.chat();
    const id = `c-new-${this.#made++}`;
    const members = [me(), ...user_ids.map((user) => member(user))];
    this.#stores.set(id, { members, total: 0, pace: 1, changed: new Map() });
    const conversation: ConversationView = {
      id,
      kind: user_ids.length > 1 ? "group" : "direct",
      title: title ?? people.find((one) => one.user_id === user_ids[0])!.name,
      peer_id: user_ids.length > 1 ? null : user_ids[0]!,
      members,
      preview: null,
      unread: 0,
      total: 0,
      revision: 1,
      waiting: 0,
      typing: [],
      state: "ready",
      protection: "encrypted",
      check_code: null,
      changed: [],
    };
    setTimeout(
      () => this.#host.change({ ...view, conversations: [conversation, ...view.conversations] }),
      50,
    );
  }

  #sendFile(conversation_id: string, path: string): void {
    const name = path.split(/[\\/]/).at(-1) ?? path;
    const id = `t-new-${this.#made++}`;
    this.#addTransfer({
      id,
      conversation_id,
      message_id: id,
      name,
      outgoing: true,
      direct: this.#host.inCallWith() === conversation_id,
      bytes: 180_000_000,
      done: 0,
      state: { state: this.#host.online() ? "running" : "waiting" },
    });
  }

  #fetchFile(conversation_id: string, message_id: string, folder: string | null): void {
    const message = this.#find(conversation_id, message_id);
    if (message?.content.kind !== "file") return;
    this.#addTransfer({
      id: `t-new-${this.#made++}`,
      conversation_id,
      message_id,
      name: `${folder ? `${folder}/` : ""}${message.content.file.name}`,
      outgoing: false,
      direct: false,
      bytes: 40_000_000,
      done: 0,
      state: { state: "running" },
    });
  }

  #addTransfer(transfer: TransferView): void {
    const view = this.#host.chat();
    this.#host.change({ ...view, transfers: [transfer, ...view.transfers] });
  }

  #transfer(id: string, parts: Partial<TransferView>): void {
    const view = this.#host.chat();
    this.#host.change({
      ...view,
      transfers: view.transfers.map((one) => (one.id === id ? { ...one, ...parts } : one)),
    });
  }

  #arrived(transfer: TransferView): void {
    if (transfer.outgoing) {
      const content = {
        kind: "file" as const,
        file: file(transfer.name, { bytes: transfer.bytes, saved: `/people/ana/${transfer.name}` }),
      };
      this.#append(transfer.conversation_id, "me", content, { id: transfer.message_id, state: "sent" });
      return;
    }
    const message = this.#find(transfer.conversation_id, transfer.message_id);
    if (message?.content.kind !== "file") return;
    const saved = { ...message.content.file, saved: `/people/ana/Downloads/${transfer.name}` };
    this.#rewrite(transfer.conversation_id, transfer.message_id, { content: { kind: "file", file: saved } });
  }

  #installation(id: string, parts: Partial<(typeof installations)[number]>): void {
    const view = this.#host.chat();
    this.#host.change({
      ...view,
      installations: view.installations.map((one) => (one.device_id === id ? { ...one, ...parts } : one)),
    });
  }
}
