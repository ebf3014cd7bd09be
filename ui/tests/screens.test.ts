/** Every screen, in every state it has: accessible, within its window, and kept as a picture to look at. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ScenarioName } from "../src/lib/mock/scenarios";
import { launch, objections, open, type Look } from "./browser";

const pictures = fileURLToPath(new URL("../../target/screens/", import.meta.url));

interface Screen {
  name: string;
  scenario: ScenarioName;
  look?: Look;
  go?: (page: Page) => Promise<void>;
}

const section = (name: string) => (page: Page) => page.getByRole("button", { name, exact: true }).click();
const moving = (page: Page) => page.locator("canvas.drawn").first().waitFor();

const screens: Screen[] = [
  { name: "splash", scenario: "restoring" },
  { name: "sign-in-first", scenario: "first_start" },
  { name: "sign-in", scenario: "signed_out" },
  { name: "sign-in-busy", scenario: "signing_in" },
  { name: "sign-in-wrong-password", scenario: "wrong_password" },
  { name: "sign-in-unreachable", scenario: "unreachable" },
  { name: "people", scenario: "home" },
  { name: "people-loading", scenario: "home_loading" },
  { name: "people-empty", scenario: "home_empty" },
  {
    name: "people-no-match",
    scenario: "home",
    go: (page) => page.getByRole("textbox", { name: "Search people" }).fill("zzz"),
  },
  { name: "people-offline", scenario: "home_offline" },
  { name: "people-gave-up", scenario: "home_gave_up" },
  { name: "people-notices", scenario: "home_notices" },
  { name: "history", scenario: "home", go: section("History") },
  { name: "history-empty", scenario: "history_empty", go: section("History") },
  { name: "history-loading", scenario: "history_loading", go: section("History") },
  { name: "history-failed", scenario: "history_failed", go: section("History") },
  {
    name: "settings",
    scenario: "home",
    look: { height: 1500 },
    go: async (page) => {
      await section("Settings")(page);
      await moving(page);
    },
  },
  { name: "settings-no-devices", scenario: "no_devices", go: section("Settings") },
  {
    name: "settings-sign-out",
    scenario: "home",
    go: async (page) => {
      await section("Settings")(page);
      await section("Sign out")(page);
    },
  },
  { name: "incoming", scenario: "incoming" },
  { name: "incoming-voice", scenario: "incoming_voice" },
  { name: "incoming-window", scenario: "incoming", look: { width: 460, height: 340, window: "incoming" } },
  { name: "outgoing", scenario: "outgoing", go: moving },
  { name: "connecting", scenario: "connecting", go: moving },
  { name: "call", scenario: "call", go: moving },
  { name: "call-voice", scenario: "call_voice" },
  { name: "call-muted", scenario: "call_muted" },
  { name: "call-poor", scenario: "call_poor", go: moving },
  { name: "call-camera-trouble", scenario: "call_camera_trouble", go: moving },
  { name: "call-reconnecting", scenario: "call_reconnecting", go: moving },
  {
    name: "call-sound-menu",
    scenario: "call",
    go: async (page) => {
      await moving(page);
      await section("Microphone and speaker")(page);
    },
  },
  {
    name: "call-camera-menu",
    scenario: "call",
    go: async (page) => {
      await section("Choose a camera")(page);
      await moving(page);
    },
  },
  {
    name: "call-details",
    scenario: "call",
    go: async (page) => {
      await moving(page);
      await page.getByTitle("Connection details").click();
    },
  },
  {
    name: "call-protection",
    scenario: "call",
    go: async (page) => {
      await moving(page);
      await section("Encrypted")(page);
    },
  },
  { name: "call-shortcuts", scenario: "call", go: (page) => page.keyboard.press("?") },
  { name: "ended", scenario: "ended" },
  { name: "ended-declined", scenario: "ended_declined" },
  { name: "ended-failed", scenario: "ended_failed" },
];

/** Elements that stand out sideways, where nothing scrolls to them. */
function overflowing(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, h1, h2, p")]
      .filter((element) => {
        const box = element.getBoundingClientRect();
        if (box.width <= 1 || getComputedStyle(element).visibility === "hidden") return false;
        return box.right > innerWidth + 1 || box.left < -1;
      })
      .map((element) => `${element.tagName} ${element.textContent?.trim().slice(0, 40)}`),
  );
}

let browser: Browser;
beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  browser = await launch();
});
afterAll(() => browser.close());

async function look(page: Page, picture: string, rules?: string[]): Promise<void> {
  await page.screenshot({ path: `${pictures}${picture}.png` });
  expect(await objections(page, rules), picture).toEqual([]);
  expect(await overflowing(page), picture).toEqual([]);
}

describe.each(screens)("screen $name", ({ name, scenario, look: own, go }) => {
  it("gives axe nothing to object to and fits, light, dark, small and zoomed", async () => {
    const page = await open(browser, scenario, own);
    try {
      await go?.(page);
      await look(page, `${name}-light`);
      await page.emulateMedia({ colorScheme: "dark" });
      await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
      await look(page, `${name}-dark`, ["color-contrast"]);
      if (own?.window === "incoming") return;
      await page.setViewportSize({ width: 1024, height: 640 });
      await look(page, `${name}-1024`, ["scrollable-region-focusable"]);
      // 200 % zoom of 1024×640 leaves this many CSS pixels.
      await page.setViewportSize({ width: 512, height: 320 });
      await look(page, `${name}-zoom`, ["scrollable-region-focusable", "target-size"]);
    } finally {
      await page.close();
    }
  });
});

describe("from right to left", () => {
  it.each(screens.filter((screen) => ["people", "history", "call", "sign-in"].includes(screen.name)))(
    "screen $name is laid out the other way round",
    async ({ name, scenario, go }) => {
      const page = await open(browser, scenario, { direction: "rtl" });
      try {
        await go?.(page);
        await look(page, `${name}-rtl`);
      } finally {
        await page.close();
      }
    },
  );
});
