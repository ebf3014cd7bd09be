/** The mock's conversations: every state and every kind of protection once. */
import type { ChatView, ConversationView, InstallationView, MemberView, TransferView } from "$lib/contract";
import type { Store } from "./messages";
import { made } from "./messages";
import { NOW, people } from "./people";

const HOUR = 3_600_000;

const OWN_NAMES: Record<string, string> = { "d-me-1": "Ana's laptop", "d-me-2": "Kitchen computer" };

function device(id: string, verified: boolean) {
  const print = [...id].map((letter) => letter.charCodeAt(0).toString(16).toUpperCase()).join("");
  return {
    device_id: id,
    fingerprint: `${print}4C1A9E07B2`.slice(0, 16).replace(/(.{4})(?=.)/g, "$1 "),
    verified,
    current: id === "d-me-1",
    name: OWN_NAMES[id] ?? null,
  };
}

export function me(): MemberView {
  return {
    user_id: "me",
    name: "Ana Ruiz",
    own: true,
    archive: false,
    verified: true,
    devices: [device("d-me-1", true), device("d-me-2", true)],
  };
}

export function member(user_id: string, verified = false): MemberView {
  const person = people.find((candidate) => candidate.user_id === user_id)!;
  return {
    user_id,
    name: person.name,
    own: false,
    archive: false,
    verified,
    devices: [device(`d-${user_id}-1`, verified)],
  };
}

const archive: MemberView = {
  user_id: "archive",
  name: "Riverside Clinic archive",
  own: false,
  archive: true,
  verified: false,
  devices: [device("d-archive", false)],
};

/** Where the messages of each conversation come from. */
export type Stores = Map<string, Store>;

function conversation(
  stores: Stores,
  id: string,
  total: number,
  pace: number,
  members: MemberView[],
  more: Partial<ConversationView>,
): ConversationView {
  const store: Store = { members, total, pace, changed: new Map(), unread: more.unread ?? 0 };
  stores.set(id, store);
  const other = members.find((candidate) => !candidate.own);
  return {
    id,
    kind: members.filter((one) => !one.archive).length > 2 ? "group" : "direct",
    title: other?.name ?? "",
    peer_id: other?.user_id ?? null,
    members,
    preview: previewOf(store),
    unread: 0,
    total,
    revision: 1,
    waiting: 0,
    typing: [],
    state: "ready",
    protection: "encrypted",
    check_code: null,
    changed: [],
    ...more,
  };
}

export function previewOf(store: Store): ConversationView["preview"] {
  if (store.total === 0) return null;
  const last = made(store, store.total - 1);
  return {
    own: last.own,
    sender_name: last.sender_name,
    text:
      last.content.kind === "text"
        ? last.content.text
        : last.content.kind === "file"
          ? last.content.file.name
          : "",
    file: last.content.kind === "file",
    at: last.sent_at,
  };
}

export function conversations(stores: Stores): ConversationView[] {
  return [
    conversation(stores, "c1", 64, 7, [me(), member("u1")], { unread: 2, typing: [people[0]!.name] }),
    conversation(stores, "c3", 48, 16, [me(), member("u1"), member("u3"), archive], {
      title: "Care team",
      kind: "group",
      peer_id: null,
    }),
    conversation(stores, "c2", 50_000, 23, [me(), member("u2", true)], { protection: "verified" }),
    conversation(stores, "c4", 31, 400, [me(), member("u3", true)], {
      state: "blocked",
      changed: [
        {
          name: people[2]!.name,
          own: false,
          archive: false,
          at: NOW - 2 * HOUR,
          fingerprints: ["5c1e 90ab 77d2 e034 1f6b a8c9 2d50 be13"],
        },
      ],
    }),
    conversation(stores, "c5", 12, 900, [me(), member("u4")], {
      state: "rejoining",
      protection: "unprotected",
    }),
    conversation(stores, "c6", 22, 2000, [me(), member("u6")], {
      state: "removed",
      protection: "unprotected",
    }),
    conversation(stores, "c7", 0, 1, [me(), member("u5")], { state: "preparing", protection: "unprotected" }),
  ];
}

export const installations: InstallationView[] = [
  {
    device_id: "d-me-1",
    name: "Ana's laptop",
    device_type: "desktop",
    current: true,
    created_at: NOW - 90 * 24 * HOUR,
    last_used_at: NOW,
    leaving: 0,
    revoking: false,
  },
  {
    device_id: "d-me-2",
    name: "Kitchen computer",
    device_type: "desktop",
    current: false,
    created_at: NOW - 30 * 24 * HOUR,
    last_used_at: NOW - 26 * HOUR,
    leaving: 0,
    revoking: false,
  },
  {
    device_id: "d-me-3",
    name: "Old phone",
    device_type: "mobile",
    current: false,
    created_at: NOW - 700 * 24 * HOUR,
    last_used_at: null,
    leaving: 3,
    revoking: true,
  },
];

export const transfers: TransferView[] = [
  {
    id: "t1",
    conversation_id: "c1",
    message_id: "m-t1",
    name: "MRI series 3.zip",
    outgoing: true,
    direct: false,
    bytes: 412_000_000,
    done: 151_000_000,
    state: { state: "paused" },
  },
  {
    id: "t2",
    conversation_id: "c1",
    message_id: "m-t2",
    name: "Blood pressure November.xlsx",
    outgoing: true,
    direct: false,
    bytes: 48_000,
    done: 12_000,
    state: { state: "failed", reason: "changed" },
  },
];

export function chat(): { view: ChatView; stores: Stores } {
  const stores: Stores = new Map();
  const view: ChatView = {
    vault: { state: "keyring" },
    conversations: conversations(stores),
    loaded: true,
    installations: [],
    transfers: [],
  };
  return { view, stores };
}
