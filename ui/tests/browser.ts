/** A page of the window in Debian's Chromium, in a given situation. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, inject } from "vitest";
import type { ScenarioName } from "../src/lib/mock/scenarios";

const EXECUTABLES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function launch(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? EXECUTABLES.find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Chromium: install it, or name it in CHROMIUM");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

export interface Look {
  theme?: "light" | "dark";
  width?: number;
  height?: number;
  /** `rtl` lays the page out from right to left. */
  direction?: "ltr" | "rtl";
  window?: "incoming";
  /** The local time; noon past when left out, so that a picture is the same at every hour. */
  time?: string;
}

/** Pages that nobody uses: a new one is a new process, which takes far longer than to go somewhere else. */
const idle: Page[] = [];

async function another(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => {
    throw error;
  });
  return page;
}

/** Leave it with {@link leave}. */
export async function open(browser: Browser, scenario: ScenarioName, look: Look = {}): Promise<Page> {
  const page = idle.pop() ?? (await another(browser));
  await page.setViewportSize({ width: look.width ?? 1280, height: look.height ?? 800 });
  await page.emulateMedia({ colorScheme: look.theme ?? "light", reducedMotion: "reduce" });
  await page.clock.setFixedTime(`2026-03-10T${look.time ?? "14:20"}`);
  const window = look.window ? `&window=${look.window}` : "";
  await page.goto(`${inject("address")}?scenario=${scenario}${window}`);
  await page.locator("#app > *").first().waitFor();
  if (look.direction) await page.evaluate((dir) => (document.documentElement.dir = dir), look.direction);
  await page.evaluate(() => document.fonts.ready);
  return page;
}

/** Gives a page back: empty, with the pointer in its corner. */
export async function leave(page: Page): Promise<void> {
  await page.mouse.move(0, 0);
  await page.goto("about:blank");
  idle.push(page);
}

let shared: Browser;
/** The page of tests that need one after the other: see {@link onePage}. */
export let page: Page;

/** From here on the tests of this file have {@link page}, once they {@link visit} something. */
export function onePage(): void {
  beforeAll(async () => {
    shared = await launch();
  });
  afterAll(() => shared.close());
  afterEach(() => leave(page));
}

/** Shows a situation on {@link page}. */
export async function visit(scenario: ScenarioName, look?: Look): Promise<void> {
  page = await open(shared, scenario, look);
}

/** What axe-core objects to, one line each; `rules` names the only ones to check. */
export async function objections(page: Page, rules?: string[]): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async (only) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const found = await axe.run(document, {
      runOnly: only
        ? { type: "rule", values: only }
        : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return found.violations.flatMap((violation) =>
      violation.nodes.map((node) => `${violation.id}: ${node.target.join(" ")} ${node.failureSummary}`),
    );
  }, rules);
}

/** The commands the window has sent. */
export function sent(page: Page): Promise<{ type: string; data?: unknown }[]> {
  return page.evaluate(() => (window as unknown as { mock: { sent: { type: string }[] } }).mock.sent);
}

/** Waits until the window has sent a command of this type, and gives it. */
export async function sentCommand(page: Page, type: string): Promise<{ type: string; data?: unknown }> {
  await page.waitForFunction(
    (wanted) =>
      (window as unknown as { mock: { sent: { type: string }[] } }).mock.sent.some((c) => c.type === wanted),
    type,
  );
  return (await sent(page)).findLast((command) => command.type === type)!;
}

/** How many commands of this type the window has sent. */
export async function count(page: Page, type: string): Promise<number> {
  return (await sent(page)).filter((command) => command.type === type).length;
}

/** What has the focus, by its name. */
export function focusedName(page: Page): Promise<string | null | undefined> {
  return page.evaluate(() => {
    const element = document.activeElement;
    return (
      element?.getAttribute("aria-label") ?? element?.getAttribute("name") ?? element?.textContent?.trim()
    );
  });
}

/** Presses Tab until `name` has the focus; fails when it never gets there. */
export async function tabUntil(page: Page, name: string, steps = 40): Promise<void> {
  const seen: (string | null | undefined)[] = [];
  for (let step = 0; step < steps; step++) {
    const now = await focusedName(page);
    if (now === name) return;
    seen.push(now);
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach "${name}": ${seen.join(" → ")}`);
}
