import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");

function tokens(theme: string): Map<string, string> {
  const start = css.indexOf(`[data-theme="${theme}"]`);
  const block = css.slice(css.indexOf("{", start) + 1, css.indexOf("}", start));
  return new Map([...block.matchAll(/--([a-z-]+):\s*(#[0-9a-f]{6});/g)].map((m) => [m[1]!, m[2]!]));
}

/** WCAG 2.2, relative luminance and contrast ratio. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light! + 0.05) / (dark! + 0.05);
}

const text: [string, string[]][] = [
  ["text", ["bg", "surface", "surface-quiet", "accent-soft"]],
  ["text-quiet", ["bg", "surface", "surface-quiet"]],
  ["accent", ["bg", "surface"]],
  ["on-accent", ["accent", "accent-strong"]],
  ["on-accent-soft", ["accent-soft"]],
  ["good", ["surface", "bg", "good-soft"]],
  ["warn", ["surface", "bg", "warn-soft"]],
  ["bad", ["surface", "bg", "bad-soft"]],
  ["info", ["surface", "bg", "info-soft"]],
  ["on-bad", ["bad-strong"]],
];
const controls: [string, string[]][] = [
  ["control-border", ["bg", "surface"]],
  ["focus", ["bg", "surface", "surface-quiet"]],
];

describe.each(["light", "dark", "high_contrast", "call"])("theme %s", (theme) => {
  const colours = tokens(theme);
  const pairs = (list: [string, string[]][]) =>
    list.flatMap(([front, backs]) => backs.map((back) => [front, back] as const));

  it.each(pairs(text))("text %s on %s is at least 4.5:1", (front, back) => {
    expect(contrast(colours.get(front)!, colours.get(back)!)).toBeGreaterThanOrEqual(4.5);
  });

  it.each(pairs(controls))("control %s on %s is at least 3:1", (front, back) => {
    expect(contrast(colours.get(front)!, colours.get(back)!)).toBeGreaterThanOrEqual(3);
  });
});
