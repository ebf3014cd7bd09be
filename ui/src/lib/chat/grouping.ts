/** Which messages stand together, where a day begins, and links in a text. */
import type { MessageView } from "$lib/contract";

/** One person's messages within this time stand together under one name. */
export const TOGETHER_MS = 5 * 60_000;

function day(timestamp: number): string {
  return new Date(timestamp).toDateString();
}

/** Whether a new day begins with `message`; `before` is the one above it. */
export function beginsDay(message: MessageView, before: MessageView | undefined): boolean {
  if (message.index === 0) return true;
  return before !== undefined && day(before.sent_at) !== day(message.sent_at);
}

/** Whether `message` goes on under the name of the one above it. */
export function continues(message: MessageView, before: MessageView | undefined): boolean {
  if (!before || before.content.kind === "event" || message.content.kind === "event") return false;
  if (message.reply_to || beginsDay(message, before)) return false;
  return before.sender_id === message.sender_id && message.sent_at - before.sent_at < TOGETHER_MS;
}

export interface TextPart {
  text: string;
  /** Where it leads, for a link. */
  href?: string;
}

const LINK = /\b(?:https?:\/\/|www\.)[^\s<>"]+/gi;
/** Ends a sentence rather than an address. */
const TRAILING = /[.,;:!?)\]}'’”]+$/;

/** The place an address leads to; empty where it leads nowhere. */
export function hostOf(address: string): string {
  try {
    return new URL(address).host;
  } catch {
    return "";
  }
}

/** Text and links in turn. Only http and https lead anywhere; nothing is ever fetched to show a link. */
export function linked(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const found = match[0].replace(TRAILING, "");
    const href = found.startsWith("www.") ? `https://${found}` : found;
    if (hostOf(href) === "") continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: found, href });
    end = match.index + found.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** A message in one line: its text, or its file's name. */
export function lineOf(message: MessageView): string {
  switch (message.content.kind) {
    case "text":
      return message.content.text;
    case "file":
      return message.content.file.name;
    case "deleted":
    case "event":
      return "";
  }
}
