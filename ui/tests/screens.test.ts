/** Every screen, in every state it has: accessible, within its window, and kept as a picture to look at. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MockBridge } from "../src/lib/bridge/mock";
import type { ScenarioName } from "../src/lib/mock/scenarios";
import { launch, leave, objections, open, type Look } from "./browser";

const pictures = fileURLToPath(new URL("../../target/screens/", import.meta.url));

interface Mocked {
  mock: MockBridge;
}

interface Screen {
  name: string;
  scenario: ScenarioName;
  look?: Look;
  go?: (page: Page) => Promise<void>;
}

const section = (name: string) => (page: Page) => page.getByRole("button", { name, exact: true }).click();
const moving = (page: Page) => page.locator("canvas.drawn").first().waitFor();

/** Opens a conversation from the list and waits for its messages. */
const conversation =
  (name: string, then?: (page: Page) => Promise<unknown>) =>
  async (page: Page): Promise<void> => {
    await page.getByRole("button", { name: "Messages", exact: false }).first().click();
    await page.getByRole("list", { name: "Conversations" }).getByRole("button", { name }).click();
    await page.locator("[role=log] article, .begin").first().waitFor();
    await then?.(page);
  };
const messages = async (page: Page): Promise<void> => {
  await page.getByRole("button", { name: "Messages" }).first().click();
};
/** Puts the keyboard on the message with this text, so that its actions appear. */
const focusMessage = (text: string) => (page: Page) =>
  page.getByRole("listitem").filter({ hasText: text }).last().focus();

const chatScreens: Screen[] = [
  { name: "messages", scenario: "home", go: messages },
  { name: "messages-loading", scenario: "chat_loading", go: messages },
  { name: "messages-empty", scenario: "chat_empty", go: messages },
  { name: "messages-offline", scenario: "chat_offline", go: conversation("Dr Amara Osei") },
  { name: "conversation", scenario: "home", go: conversation("Dr Amara Osei") },
  { name: "conversation-long", scenario: "home", go: conversation("Dr Henrik Lind") },
  { name: "conversation-group", scenario: "home", go: conversation("Care team") },
  { name: "conversation-blocked", scenario: "home", go: conversation("Mireille Fontaine") },
  { name: "conversation-unprotected", scenario: "home", go: conversation("Dr Yusuf Rahmani") },
  { name: "conversation-removed", scenario: "home", go: conversation("Dr Ingrid Solberg") },
  { name: "conversation-preparing", scenario: "home", go: conversation("Tomás Herrera") },
  { name: "conversation-rejoining", scenario: "chat_rejoining", go: conversation("Dr Amara Osei") },
  { name: "conversation-pushed-out", scenario: "chat_pushed_out", go: conversation("Dr Amara Osei") },
  { name: "conversation-transfers", scenario: "chat_transfers", go: conversation("Dr Amara Osei") },
  {
    name: "conversation-file",
    scenario: "home",
    go: conversation("Care team", async (page) => {
      await page.getByRole("log").focus();
      await page.keyboard.press("End");
      for (let step = 0; step < 12; step++) await page.keyboard.press("ArrowUp");
      await page.locator("img").first().waitFor();
    }),
  },
  {
    name: "conversation-actions",
    scenario: "home",
    go: conversation("Dr Henrik Lind", async (page) => {
      await page.locator("article.own").last().hover();
      await page.getByRole("toolbar").waitFor();
    }),
  },
  {
    name: "conversation-reply",
    scenario: "home",
    go: conversation("Care team", async (page) => {
      await focusMessage("tablets")(page);
      await page.getByRole("button", { name: "Reply", exact: true }).click();
      await page.getByRole("textbox").fill("I take them with breakfast.\nIs that right?");
    }),
  },
  {
    name: "conversation-delete",
    scenario: "home",
    go: conversation("Dr Henrik Lind", async (page) => {
      await page.locator("article.own").last().hover();
      await page.getByRole("button", { name: "Delete", exact: true }).click();
    }),
  },
  {
    name: "conversation-receipts",
    scenario: "home",
    go: conversation("Care team", async (page) => {
      await page.locator("article.own").last().hover();
      await page.getByRole("button", { name: "Delivery details" }).click();
    }),
  },
  {
    name: "conversation-search",
    scenario: "home",
    go: conversation("Dr Henrik Lind", async (page) => {
      await page.getByRole("button", { name: "Search in this conversation" }).click();
      await page.getByRole("combobox", { name: "Search" }).fill("pressure");
      await page.locator("[role=option]").first().waitFor();
    }),
  },
  {
    name: "messages-search-none",
    scenario: "home",
    go: async (page) => {
      await messages(page);
      await page.getByRole("button", { name: "Search in all conversations" }).click();
      await page.getByRole("combobox", { name: "Search" }).fill("zzz");
      await page.getByText("Nothing found").waitFor();
    },
  },
  {
    name: "messages-new",
    scenario: "home",
    go: async (page) => {
      await messages(page);
      await page.getByRole("button", { name: "New conversation" }).click();
      await page.getByRole("checkbox").nth(0).check();
      await page.getByRole("checkbox").nth(1).check();
    },
  },
  {
    name: "conversation-drop",
    scenario: "home",
    go: conversation("Dr Amara Osei", (page) =>
      page.evaluate(() => (window as unknown as Mocked).mock.drop({ kind: "over" })),
    ),
  },
  {
    name: "link",
    scenario: "home",
    go: conversation("Care team", async (page) => {
      await page.getByRole("log").focus();
      await page.keyboard.press("End");
      for (let step = 0; step < 14; step++) await page.keyboard.press("ArrowUp");
      await page.getByRole("log").getByRole("button", { name: "https://www.example.org" }).first().click();
    }),
  },
  {
    name: "protection-encrypted",
    scenario: "home",
    go: conversation("Care team", section("Encrypted · not verified")),
  },
  {
    name: "protection-verified",
    scenario: "home",
    go: conversation("Dr Henrik Lind", section("Encrypted · verified")),
  },
  {
    name: "protection-none",
    scenario: "home",
    go: conversation("Dr Yusuf Rahmani", section("Not protected yet")),
  },
  {
    name: "check-code",
    scenario: "home",
    go: conversation("Dr Amara Osei", async (page) => {
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await page.getByText("Bicycle").waitFor();
    }),
  },
  {
    name: "check-own-devices",
    scenario: "home",
    go: conversation("Dr Amara Osei", async (page) => {
      await page.evaluate(() => (window as unknown as Mocked).mock.chat.addOwnDevice("c1"));
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await page.getByText("Are they all yours?").waitFor();
    }),
  },
  {
    name: "check-own-device-foreign",
    scenario: "home",
    go: conversation("Dr Amara Osei", async (page) => {
      await page.evaluate(() => (window as unknown as Mocked).mock.chat.addOwnDevice("c1"));
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await section("One of them isn't")(page);
    }),
  },
  {
    name: "check-code-group",
    scenario: "home",
    go: conversation("Care team", async (page) => {
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await page.getByText("Bicycle").waitFor();
    }),
  },
  {
    name: "check-code-match",
    scenario: "home",
    go: conversation("Dr Amara Osei", async (page) => {
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await section("They match")(page);
    }),
  },
  {
    name: "check-code-differs",
    scenario: "home",
    go: conversation("Dr Amara Osei", async (page) => {
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await section("They don't match")(page);
    }),
  },
  {
    name: "held-call",
    scenario: "home",
    go: section("Video call with Mireille Fontaine"),
  },
  { name: "chat-notices", scenario: "chat_notices" },
  { name: "trust-notices", scenario: "trust_notices" },
  { name: "vault-locked", scenario: "vault_locked" },
  { name: "vault-wrong", scenario: "vault_wrong" },
  { name: "vault-temporary", scenario: "vault_temporary", go: messages },
  {
    name: "vault-passphrase",
    scenario: "vault_temporary",
    go: async (page) => {
      await section("Set a passphrase")(page);
      await page.getByLabel("Passphrase", { exact: true }).fill("short");
      await section("Keep my messages")(page);
    },
  },
  { name: "vault-unwritable", scenario: "vault_unwritable", go: conversation("Dr Amara Osei") },
  { name: "vault-broken", scenario: "vault_broken", go: conversation("Dr Amara Osei") },
  {
    name: "settings-your-devices",
    scenario: "chat_notices",
    look: { height: 900 },
    go: async (page) => {
      await section("Your devices")(page);
      await section("Rename Kitchen computer")(page);
    },
  },
  {
    name: "settings-remove-device",
    scenario: "home",
    go: async (page) => {
      await section("Settings")(page);
      await section("Remove Kitchen computer")(page);
    },
  },
  { name: "call-verified", scenario: "call_verified", go: moving },
  {
    name: "call-chat",
    scenario: "call",
    go: async (page) => {
      await moving(page);
      await page.keyboard.press("c");
      await page.getByRole("log").getByRole("article").first().waitFor();
    },
  },
  {
    name: "call-chat-night",
    scenario: "call",
    look: { time: "01:25" },
    go: async (page) => {
      await moving(page);
      await page.keyboard.press("c");
      await page.getByRole("log").getByRole("heading", { level: 3 }).first().waitFor();
    },
  },
  {
    name: "call-files",
    scenario: "call_files",
    go: async (page) => {
      await moving(page);
      await page.keyboard.press("c");
      await page.getByRole("tab", { name: "Files" }).click();
    },
  },
  {
    name: "call-no-conversation",
    scenario: "call_no_conversation",
    go: (page) => page.keyboard.press("c"),
  },
  {
    name: "call-check-code",
    scenario: "call",
    go: async (page) => {
      await section("Encrypted · not verified")(page);
      await section("Compare the code")(page);
      await page.getByText("Bicycle").waitFor();
    },
  },
];

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
  { name: "people-started-offline", scenario: "home_started_offline" },
  { name: "people-gave-up", scenario: "home_gave_up" },
  { name: "people-unsupported-version", scenario: "home_unsupported_version" },
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
  { name: "incoming-answering", scenario: "incoming_answering" },
  { name: "incoming-not-answered", scenario: "incoming_not_answered" },
  {
    name: "incoming-not-answered-window",
    scenario: "incoming_not_answered",
    look: { width: 460, height: 340, window: "incoming" },
  },
  { name: "incoming-blocked", scenario: "incoming_blocked" },
  {
    name: "incoming-blocked-window",
    scenario: "incoming_blocked",
    look: { width: 460, height: 340, window: "incoming" },
  },
  { name: "incoming-key-review", scenario: "incoming_blocked", go: section("Review") },
  { name: "outgoing-camera-trouble", scenario: "outgoing_camera_trouble" },
  { name: "outgoing", scenario: "outgoing", go: moving },
  { name: "connecting", scenario: "connecting", go: moving },
  { name: "call", scenario: "call", go: moving },
  { name: "call-voice", scenario: "call_voice" },
  { name: "call-muted", scenario: "call_muted" },
  { name: "call-poor", scenario: "call_poor", go: moving },
  { name: "call-peer-paused", scenario: "call_peer_paused", go: moving },
  { name: "call-camera-trouble", scenario: "call_camera_trouble", go: moving },
  { name: "call-extendable", scenario: "call_extendable", go: moving },
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
      await section("Encrypted · not verified")(page);
    },
  },
  { name: "call-shortcuts", scenario: "call", go: (page) => page.keyboard.press("?") },
  { name: "ended", scenario: "ended" },
  { name: "ended-declined", scenario: "ended_declined" },
  { name: "ended-failed", scenario: "ended_failed" },
  { name: "ended-not-authentic", scenario: "ended_not_authentic" },
  ...chatScreens,
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

describe.concurrent.each(screens)("screen $name", ({ name, scenario, look: own, go }) => {
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
      await leave(page);
    }
  });
});

describe.concurrent("from right to left", () => {
  it.each(
    screens.filter((screen) =>
      ["people", "history", "call", "sign-in", "conversation", "call-chat", "check-code"].includes(
        screen.name,
      ),
    ),
  )("screen $name is laid out the other way round", async ({ name, scenario, go }) => {
    const page = await open(browser, scenario, { direction: "rtl" });
    try {
      await go?.(page);
      await look(page, `${name}-rtl`);
    } finally {
      await leave(page);
    }
  });
});
