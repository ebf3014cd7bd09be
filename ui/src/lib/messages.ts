/**
 * The message catalogue: every word the window says.
 *
 * A message is a text with `{places}`, or one text per plural form of `count` (CLDR names, as
 * `Intl.PluralRules` gives them). Another language is another object of the same keys; its direction comes
 * with it. Components use logical CSS properties only, so right-to-left needs nothing else.
 */
import { en } from "./messages/en";

export type PluralForms = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>;
export type Message = string | PluralForms;
export type MessageKey = keyof typeof en;
export type Catalogue = Record<MessageKey, Message>;

type Places<Text> = Text extends `${string}{${infer Place}}${infer Rest}` ? Place | Places<Rest> : never;
type PlacesOf<Key extends MessageKey> = (typeof en)[Key] extends string
  ? Places<(typeof en)[Key]>
  : "count" | Places<(typeof en)[Key][keyof (typeof en)[Key]]>;
type Values<Key extends MessageKey> = { [Place in PlacesOf<Key>]: string | number };

export interface Language {
  /** BCP 47. */
  tag: string;
  /** How dates, numbers and lists are written; more exact than the tag, which may leave the country open. */
  formats: string;
  direction: "ltr" | "rtl";
  catalogue: Catalogue;
}

export const english: Language = { tag: "en", formats: "en-GB", direction: "ltr", catalogue: en };

let language = english;
let plurals = new Intl.PluralRules(language.tag);

/** Speaks another language from the next render on. */
export function speak(next: Language): void {
  language = next;
  plurals = new Intl.PluralRules(next.tag);
  document.documentElement.lang = next.tag;
  document.documentElement.dir = next.direction;
}

/** The language spoken, for dates and numbers. */
export function languageTag(): string {
  return language.formats;
}

/** Fills the places of a message; picks the plural form that `count` asks for. */
export function say(
  message: Message,
  values: Record<string, string | number>,
  rules: Intl.PluralRules,
): string {
  const text =
    typeof message === "string" ? message : (message[rules.select(Number(values.count))] ?? message.other);
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** The words for `key`. */
export function t<Key extends MessageKey>(
  key: Key,
  ...values: [PlacesOf<Key>] extends [never] ? [] : [Values<Key>]
): string {
  return say(language.catalogue[key], (values[0] ?? {}) as Record<string, string | number>, plurals);
}
