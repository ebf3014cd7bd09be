/** The part of a text around what was looked for. */

export interface ExcerptPart {
  text: string;
  found: boolean;
}

/** Characters shown before and after the first place. */
const AROUND = 48;

/** Text and found places in turn, cut at both ends to what fits two lines. */
export function excerpt(text: string, wanted: string): ExcerptPart[] {
  const line = text.replace(/\s+/g, " ");
  const at = wanted ? line.toLowerCase().indexOf(wanted.toLowerCase()) : -1;
  if (at < 0) {
    return [{ text: line.length > 2 * AROUND ? `${line.slice(0, 2 * AROUND)}…` : line, found: false }];
  }
  const end = at + wanted.length;
  const from = Math.max(0, at - AROUND);
  const to = Math.min(line.length, end + AROUND);
  return [
    { text: (from > 0 ? "…" : "") + line.slice(from, at), found: false },
    { text: line.slice(at, end), found: true },
    { text: line.slice(end, to) + (to < line.length ? "…" : ""), found: false },
  ].filter((part) => part.text !== "");
}
