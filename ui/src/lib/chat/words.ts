/** Words about conversations: who can read along, what happened, how far a message came. */
import type {
  ChatEvent,
  CheckCodeView,
  ConversationView,
  MemberView,
  PreviewView,
  Protection,
  TransferView,
} from "$lib/contract";
import { enumeration, shortName, size } from "$lib/format";
import { t } from "$lib/messages";
import { en } from "$lib/messages/en";

/** `you, Dr Osei and the clinic's archive`. */
export function whoCanRead(members: readonly MemberView[]): string {
  const rank = (member: MemberView) => (member.own ? 0 : member.archive ? 2 : 1);
  const names = [...members]
    .sort((a, b) => rank(a) - rank(b))
    .map((member) =>
      member.own ? t("protection.you") : member.archive ? t("protection.archive") : shortName(member.name),
    );
  return enumeration(names);
}

/** What the state of protection means for these people. */
export function protectionText(protection: Protection, members: readonly MemberView[]): string {
  const who = members.length > 0 ? whoCanRead(members) : t("protection.you");
  switch (protection) {
    case "verified":
      return t(
        members.some((member) => member.archive)
          ? "protection.verifiedArchiveText"
          : "protection.verifiedText",
        { who },
      );
    case "encrypted":
      return t("protection.encryptedText", { who });
    case "unprotected":
      return t("protection.unprotectedText");
  }
}

/** A picture's name in the person's language; in English where the catalogue has none. */
export function emojiName(name: string): string {
  const key = `emoji.${name.replaceAll(" ", "_")}`;
  return key in en ? t(key as "emoji.dog") : name;
}

export function sameCode(one: CheckCodeView, other: CheckCodeView): boolean {
  const signs = (code: CheckCodeView) => [...code.emoji.map((emoji) => emoji.name), ...code.digits].join(" ");
  return signs(one) === signs(other);
}

export function eventText(event: ChatEvent): string {
  switch (event.what) {
    case "device_joined":
      return t(event.by_itself ? "event.device_joined_by_itself" : "event.device_joined", {
        name: event.name,
      });
    case "device_left":
    case "key_changed":
      return t(`event.${event.what}`, { name: event.name });
    case "rejoined":
    case "verified":
      return t(`event.${event.what}`);
    case "missing":
      return t("event.missing", { name: event.name, count: event.count });
    case "refused":
      return t("event.refused", { count: event.count });
    case "renamed":
      return t("event.renamed", { title: event.title });
    case "several_devices":
      return event.own
        ? t("event.several_own", { count: event.count })
        : t("event.several_devices", { name: event.name, count: event.count });
    case "archive_changed":
      return t(event.present ? "event.archive_changed" : "event.archive_gone");
  }
}

/** Events that call for a second look. */
export function isWarning(event: ChatEvent): boolean {
  return ["key_changed", "missing", "refused", "archive_changed"].includes(event.what);
}

export function typingText(names: readonly string[]): string | undefined {
  const [first, second] = names.map(shortName);
  if (!first) return undefined;
  if (!second) return t("chat.typingOne", { name: first });
  if (names.length > 2) return t("chat.typingMany");
  return t("chat.typingTwo", { name: first, other: second });
}

/** The newest message in a line: who said it is told only where it isn't plain. */
export function previewText(preview: PreviewView, group: boolean): string {
  const text = preview.text || t("chat.deletedPreview");
  if (preview.own) return t("chat.youWrote", { text });
  return group ? t("chat.theyWrote", { name: shortName(preview.sender_name), text }) : text;
}

/** The other people's names, for whom something waits. */
export function othersOf(conversation: ConversationView): string {
  const others = conversation.members.filter((member) => !member.own && !member.archive);
  return others.length > 0 ? enumeration(others.map((member) => shortName(member.name))) : conversation.title;
}

/** How a transfer stands, in a line. */
export function transferText(transfer: TransferView): string {
  const progress = t("file.progress", { done: size(transfer.done), all: size(transfer.bytes) });
  switch (transfer.state.state) {
    case "running":
      return `${t(transfer.outgoing ? "file.sending" : "file.receiving")} · ${progress}`;
    case "paused":
      return `${t("file.paused")} · ${progress}`;
    case "waiting":
      return `${t("file.waiting")} · ${progress}`;
    case "done":
      return `${t("file.done")} · ${size(transfer.bytes)}`;
    case "failed":
      return t(`transfer.${transfer.state.reason}`);
  }
}
