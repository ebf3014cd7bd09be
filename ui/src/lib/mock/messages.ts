/** Messages of the mock's conversations, made when somebody looks: fifty thousand of them cost nothing before. */
import type { FileView, MemberView, MessageContent, MessageState, MessageView } from "$lib/contract";
import { NOW } from "./people";

const MINUTE = 60_000;

const LINES = [
  "Good morning. How did you sleep?",
  "Better than last week, thank you. I woke up once.",
  "And the new tablets?",
  "I take one in the morning, as you said. No dizziness so far.",
  "Good. Please write down your blood pressure twice a day, before breakfast and before you go to bed, sitting, after five minutes of rest.",
  "118 over 76 this morning.",
  "That is fine.",
  "Is it all right to go swimming again?",
  "Yes, but begin slowly: 20 minutes, three times a week.",
  "Here is the leaflet: https://www.example.org/blood-pressure/at-home",
  "Thank you.",
  "See you on Thursday then. Bring your list.",
];

/** A grey square with a lighter one inside, standing in for a picture. */
const PREVIEW =
  "data:image/svg+xml;base64," +
  btoa(
    '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="120"><rect width="160" height="120" fill="#7d9a9c"/><circle cx="104" cy="48" r="26" fill="#d9c9a8"/><path d="M0 120l56-64 40 44 20-22 44 42z" fill="#4b6668"/></svg>',
  );

export function file(name: string, more: Partial<FileView> = {}): FileView {
  const picture = /\.(png|jpe?g)$/.test(name);
  return {
    name,
    bytes: 1_840_000,
    media_type: picture ? "image/png" : "application/pdf",
    preview: picture ? PREVIEW : null,
    saved: null,
    expires_at: NOW + 20 * 24 * 60 * MINUTE,
    ...more,
  };
}

export interface Store {
  members: MemberView[];
  total: number;
  changed: Map<number, MessageView>;
  /** Minutes between messages. */
  pace: number;
  /** So many of the newest are somebody else's. */
  unread?: number;
}

const SPECIAL: Record<number, (store: Store, at: number) => Partial<MessageView>> = {
  40: () => ({ content: { kind: "event", event: { what: "verified" } } }),
  17: () => ({
    content: { kind: "event", event: { what: "device_joined", name: "Dr Amara Osei", by_itself: true } },
  }),
  12: () => ({ content: { kind: "file", file: file("ankle, left side.png") } }),
  9: () => ({ content: { kind: "deleted" } }),
  6: () => ({
    content: {
      kind: "file",
      file: file("Discharge letter 2026-11-14.pdf", {
        saved: "/people/ana/Downloads/Discharge letter 2026-11-14.pdf",
      }),
    },
  }),
  5: (store, at) => {
    const answered = made(store, at - 2);
    return {
      reply_to: {
        id: answered.id,
        index: answered.index,
        sender_name: answered.sender_name,
        excerpt: lineOf(answered.content),
      },
    };
  },
  4: () => ({ edited: true }),
};

function lineOf(content: MessageContent): string {
  return content.kind === "text" ? content.text : "";
}

/** The message at `index`, as the engine would give it. */
export function made(store: Store, index: number): MessageView {
  const known = store.changed.get(index);
  if (known) return known;
  const people = store.members.filter((member) => !member.archive);
  // Two or three in a row, then the other one.
  const back = store.total - index;
  const turn = back <= (store.unread ?? 0) ? 1 : Math.floor(index / 2.4);
  const sender = people[turn % people.length] ?? store.members[0]!;
  const state: MessageState = !sender.own ? "received" : back < 3 ? "delivered" : "read";
  const plain: MessageView = {
    id: `m${index}`,
    index,
    sender_id: sender.user_id,
    sender_name: sender.name,
    own: sender.own,
    sent_at: NOW - back * store.pace * MINUTE - (index % 7) * 13_000,
    content: { kind: "text", text: LINES[index % LINES.length]! },
    edited: false,
    reply_to: null,
    in_call: back % 40 > 20 && back % 40 < 26,
    unchecked: false,
    state,
    receipts: sender.own
      ? store.members
          .filter((member) => !member.own)
          .flatMap((member) =>
            member.devices.map(({ device_id }, at) => ({
              name: member.name,
              device_id,
              read: state === "read" && at === 0,
            })),
          )
      : [],
  };
  const special = back <= 40 && store.total > 40 ? SPECIAL[back] : undefined;
  return special ? { ...plain, ...special(store, index) } : plain;
}

/** Those that hold `text`, the newest first, at most `most`. */
export function found(store: Store, text: string, most: number): MessageView[] {
  const wanted = text.toLowerCase();
  const hits: MessageView[] = [];
  for (let index = store.total - 1; index >= 0 && hits.length < most; index--) {
    const message = made(store, index);
    const { content } = message;
    const says = content.kind === "text" ? content.text : content.kind === "file" ? content.file.name : "";
    if (says.toLowerCase().includes(wanted)) hits.push(message);
  }
  return hits;
}
