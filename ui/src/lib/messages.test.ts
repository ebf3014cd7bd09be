import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { say, t } from "./messages";
import { en } from "./messages/en";

describe("a message", () => {
  it("gets its places filled and keeps unknown ones visible", () => {
    expect(say("{name} called at {time}", { name: "Ana" }, new Intl.PluralRules("en"))).toBe(
      "Ana called at {time}",
    );
  });

  it("takes the plural form of its language", () => {
    const forms = { one: "{count} call", two: "{count} calls (dual)", other: "{count} calls" };
    expect(say(forms, { count: 1 }, new Intl.PluralRules("en"))).toBe("1 call");
    expect(say(forms, { count: 2 }, new Intl.PluralRules("en"))).toBe("2 calls");
    expect(say(forms, { count: 2 }, new Intl.PluralRules("ar"))).toBe("2 calls (dual)");
    expect(t("history.total", { count: 3 })).toBe("3 calls");
  });
});

describe("the wording", () => {
  const texts = Object.entries(en).flatMap(([key, message]) =>
    (typeof message === "string" ? [message] : Object.values(message)).map((text) => [key, text] as const),
  );

  it.each(texts)("%s has no exclamation mark and no blame", (_key, text) => {
    expect(text).not.toMatch(/!|oops|invalid|error/i);
  });

  it("is used: no message is left over", () => {
    const root = new URL("../", import.meta.url);
    const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((path) => /\.(svelte|ts)$/.test(path) && !/messages[\\/]|\.test\.ts$|contract/.test(path))
      .map((path) => readFileSync(new URL(path.replaceAll("\\", "/"), root), "utf8"))
      .join("\n");
    // A key may be put together: `failure.${failure}`.
    const prefixes = [...sources.matchAll(/`((?:[\w]+\.)+)\$\{/g)].map((match) => match[1]!);
    const unused = Object.keys(en).filter(
      (key) => !sources.includes(`"${key}"`) && !prefixes.some((prefix) => key.startsWith(prefix)),
    );
    expect(unused).toEqual([]);
  });
});
