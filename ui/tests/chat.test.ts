/** Conversations by keyboard, files that are dropped, and a list of fifty thousand messages. */
import { describe, expect, it } from "vitest";
import type { MockBridge } from "../src/lib/bridge/mock";
import type { ScenarioName } from "../src/lib/mock/scenarios";
import { count, focusedName, onePage, page, sentCommand, tabUntil, visit } from "./browser";

interface Mocked {
  mock: MockBridge;
}

onePage();

/** The window in a situation, with a conversation open. */
async function start(name: string, scenario: ScenarioName = "home"): Promise<void> {
  await visit(scenario, { width: 1024, height: 640 });
  await page.getByRole("button", { name: "Messages" }).first().click();
  await page.getByRole("list", { name: "Conversations" }).getByRole("button", { name }).click();
  await page.locator("[role=log] article, .begin").first().waitFor();
}

const write = () => page.getByRole("textbox", { name: "Message to" });
const log = () => page.getByRole("log");
/** How far the list is from its end, CSS pixels. */
const fromEnd = () => log().evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);

describe("writing", () => {
  it("sends with Enter, breaks the line with Shift and Enter, and shows how far the message came", async () => {
    await start("Dr Henrik Lind");
    await write().focus();
    await page.keyboard.type("I slept");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("well.");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "send_message")).data).toEqual({
      conversation_id: "c2",
      text: "I slept\nwell.",
      reply_to: null,
    });
    const mine = page.getByRole("article").filter({ hasText: "I slept" });
    await mine.getByText("Read").waitFor();
    expect(await write().inputValue()).toBe("");
    expect(await fromEnd()).toBeLessThan(2);
    expect(await count(page, "set_typing")).toBe(2);
  });

  it("keeps what was begun while another conversation is looked at", async () => {
    await start("Dr Henrik Lind");
    await write().fill("To be continued");
    await page.getByRole("button", { name: "Care team" }).click();
    expect(await write().inputValue()).toBe("");
    await page.getByRole("button", { name: "Dr Henrik Lind" }).click();
    expect(await write().inputValue()).toBe("To be continued");
  });

  it("does not send what is too long, and says by how much", async () => {
    await start("Dr Henrik Lind");
    await write().fill("a".repeat(8003));
    await page.getByText("3 characters too many").waitFor();
    await write().press("Enter");
    expect(await count(page, "send_message")).toBe(0);
  });

  it("waits for the network where there is none, and says so", async () => {
    await start("Dr Amara Osei", "chat_offline");
    await write().fill("Are you there?");
    await write().press("Enter");
    const mine = page.getByRole("article").filter({ hasText: "Are you there?" });
    await mine.getByText("Waiting to be sent").waitFor();
    await page.getByText("2 waiting to be sent").first().waitFor();
  });
});

describe("a message", () => {
  it("is reached with the arrow keys, answered, and the answer leads back to it", async () => {
    await start("Care team");
    await log().focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowUp");
    expect(await focusedName(page)).toContain("Thank you.");
    await tabUntil(page, "Reply", 3);
    await page.keyboard.press("Enter");
    await page.getByText("Reply to Dr Osei").waitFor();
    expect(await focusedName(page)).toBe("Message to Care team");
    await page.keyboard.type("Not at all.");
    await page.keyboard.press("Enter");
    const { data } = await sentCommand(page, "send_message");
    expect(data).toMatchObject({ text: "Not at all.", reply_to: "m46" });
    const quote = page.getByRole("article").filter({ hasText: "Not at all." }).locator("button.reply");
    await quote.press("Enter");
    await page.waitForFunction(() => document.activeElement?.getAttribute("data-index") === "46");
  });

  it("is changed, and Esc leaves it as it was", async () => {
    await start("Dr Henrik Lind");
    await log().focus();
    await page.keyboard.press("End");
    await tabUntil(page, "Edit", 4);
    await page.keyboard.press("Enter");
    expect(await write().inputValue()).toContain("swimming");
    await page.keyboard.press("Escape");
    expect(await write().inputValue()).toBe("");
    expect(await count(page, "edit_message")).toBe(0);
    await log().focus();
    await page.keyboard.press("End");
    await tabUntil(page, "Edit", 4);
    await page.keyboard.press("Enter");
    await write().fill("May I swim again?");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "edit_message")).data).toEqual({
      conversation_id: "c2",
      message_id: "m49999",
      text: "May I swim again?",
    });
    await page.getByRole("article").filter({ hasText: "May I swim again?" }).getByText("edited").waitFor();
  });

  it("is deleted only after one was asked", async () => {
    await start("Dr Henrik Lind");
    await log().focus();
    await page.keyboard.press("End");
    await tabUntil(page, "Delete", 5);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Delete this message?" }).waitFor();
    expect(await count(page, "delete_message")).toBe(0);
    await tabUntil(page, "Delete for everyone", 5);
    await page.keyboard.press("Enter");
    await page.getByText("This message was deleted.").last().waitFor();
    expect(await count(page, "delete_message")).toBe(1);
  });

  it("shows a link and never follows it before asking", async () => {
    await start("Care team");
    const link = log().getByRole("button", { name: "https://www.example.org" }).last();
    await link.press("Enter");
    await page.getByText("It leads to www.example.org").waitFor();
    await tabUntil(page, "Open in browser", 5);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await page.evaluate(() => (window as unknown as Mocked).mock.opened)).toEqual([
      "https://www.example.org/blood-pressure/at-home",
    ]);
  });

  it("is read aloud when it comes, and marked as read where it is seen", async () => {
    await start("Dr Amara Osei");
    expect((await sentCommand(page, "mark_read")).data).toEqual({ conversation_id: "c1", index: 63 });
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.receive("c1", "See you at ten."));
    await page.locator("[aria-live=polite]", { hasText: "Dr Osei: See you at ten." }).waitFor({
      state: "attached",
    });
    await expect.poll(fromEnd).toBeLessThan(2);
  });
});

describe("what can't be drawn", () => {
  it("costs its own row and nothing else, until it can be", async () => {
    await start("Dr Amara Osei");
    const receive = (text: string, sent_at: number) =>
      page.evaluate(
        ([text, sent_at]) => {
          const { chat } = (window as unknown as Mocked).mock;
          chat.receive("c2", text, { sent_at });
        },
        [text, sent_at] as const,
      );
    // Beyond what a `Date` holds.
    await receive("Out of time", 9e18);
    const list = page.getByRole("list", { name: "Conversations" });
    await list.getByText("This can't be shown.").waitFor();
    await list.getByRole("button", { name: "Care team" }).click();
    await page.locator("[role=log] article").first().waitFor();
    await receive("In time", Date.parse("2026-03-10T14:00"));
    await list.getByRole("button", { name: "Dr Henrik Lind" }).click();
    await log().getByText("In time").waitFor();
    expect(await log().getByText("This can't be shown.").count()).toBe(1);
    expect(await list.getByText("This can't be shown.").count()).toBe(0);
  });
});

describe("searching", () => {
  it("is done with arrows and Enter, and leads to the place", async () => {
    await start("Dr Henrik Lind");
    await page.getByRole("button", { name: "Search in this conversation" }).press("Enter");
    expect(await focusedName(page)).toBe("Search in this conversation");
    await page.keyboard.type("swimming");
    await page.locator("[role=option]").first().waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    // The third from the end that asks about swimming.
    await page.waitForFunction(() => document.activeElement?.getAttribute("data-index") === "49975");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toContain("swimming");
  });

  it("over all conversations opens the one it was found in", async () => {
    await start("Care team");
    await page.getByRole("button", { name: "Search in this conversation" }).click();
    await page.keyboard.type("nothing like it");
    await page.getByRole("button", { name: "Search everywhere instead" }).click();
    await page.getByRole("combobox", { name: "Search" }).fill("leaflet");
    await page.locator("[role=option]").first().waitFor();
    await page.getByRole("combobox", { name: "Search" }).press("Enter");
    await page.getByRole("region", { name: "Conversation with Dr Amara Osei" }).waitFor();
    await page.keyboard.press("Escape");
  });
});

describe("fifty thousand messages", () => {
  it("open at the end without being fetched, with few things on the page", async () => {
    await start("Dr Henrik Lind");
    await expect.poll(fromEnd).toBeLessThan(2);
    const asked = await page.evaluate(() => (window as unknown as Mocked).mock.chat.asked);
    expect(asked.reduce((sum, [, messages]) => sum + messages, 0)).toBeLessThanOrEqual(200);
    expect(asked.every(([from]) => from >= 49_800)).toBe(true);
    expect(await page.getByRole("listitem").count()).toBeLessThan(60);
    expect(await page.locator("*").count()).toBeLessThan(1500);
    expect(await page.getByRole("listitem").last().getAttribute("aria-setsize")).toBe("50000");
  });

  it("scroll to anywhere and keep the place when what is above turns out higher", async () => {
    await start("Dr Henrik Lind");
    await log().evaluate((box) => {
      box.dispatchEvent(new WheelEvent("wheel"));
      box.scrollTop = box.scrollHeight / 2;
    });
    await page.getByRole("article").first().waitFor();
    await expect.poll(() => page.locator("[aria-busy=true]").count()).toBe(0);
    const top = () =>
      log().evaluate((box) => {
        const edge = box.getBoundingClientRect().top;
        const rows = [...box.querySelectorAll<HTMLElement>("[data-index]")];
        const row = rows.find((one) => one.getBoundingClientRect().bottom > edge + 1)!;
        return { index: Number(row.dataset.index), at: Math.round(row.getBoundingClientRect().top - edge) };
      });
    const before = await top();
    // Rows above are measured for the first time as they come near: the one at the top must not move by it.
    await log().evaluate((box) => {
      box.dispatchEvent(new WheelEvent("wheel"));
      box.scrollTop -= 10;
    });
    await page.waitForFunction(() => document.querySelectorAll("[aria-busy=true]").length === 0);
    const after = await top();
    const moved = after.at - before.at - (after.index === before.index ? 10 : 0);
    expect(after.index === before.index ? Math.abs(moved) : 0).toBeLessThanOrEqual(1);
    expect(before.index - after.index).toBeLessThanOrEqual(1);
    expect(await page.getByRole("listitem").count()).toBeLessThan(60);
  });

  it("let new ones come without moving who reads further up, and lead back", async () => {
    await start("Dr Henrik Lind");
    await log().evaluate((box) => {
      box.dispatchEvent(new WheelEvent("wheel"));
      box.scrollTop -= 4000;
    });
    const newest = page.getByRole("button", { name: "To the newest message" });
    await newest.waitFor();
    const before = await log().evaluate((box) => box.scrollTop);
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.receive("c2", "One more thing."));
    await page.getByRole("button", { name: "1 new message" }).waitFor();
    expect(Math.abs((await log().evaluate((box) => box.scrollTop)) - before)).toBeLessThan(400);
    await page.getByRole("button", { name: "1 new message" }).press("Enter");
    await expect.poll(fromEnd).toBeLessThan(2);
    await page.getByRole("article").filter({ hasText: "One more thing." }).waitFor();
  });
});

describe("checking each other", () => {
  async function toCode(): Promise<void> {
    await page.getByRole("button", { name: "Encrypted · not verified" }).press("Enter");
    await tabUntil(page, "Compare the code", 4);
    await page.keyboard.press("Enter");
    await page.getByText("Bicycle").waitFor();
  }

  it("goes by keyboard: the code, that it matches, and the lock says so", async () => {
    await start("Dr Amara Osei");
    await toCode();
    expect(await page.getByRole("list", { name: "Three numbers" }).textContent()).toMatch(
      /8328\s*1847\s*5658/,
    );
    await tabUntil(page, "They match", 5);
    await page.keyboard.press("Enter");
    await page.getByText("you will be warned").waitFor();
    expect((await sentCommand(page, "confirm_check_code")).data).toMatchObject({
      conversation_id: "c1",
      code: { digits: ["8328", "1847", "5658"] },
      with: ["u1"],
    });
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Encrypted · verified" }).waitFor();
  });

  it("says what to do when the codes differ, and forgets the check", async () => {
    await start("Dr Amara Osei");
    await toCode();
    await tabUntil(page, "They don't match", 5);
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("Don't share anything private here").waitFor();
    await sentCommand(page, "reset_check");
  });

  it("keeps a conversation blocked after a key change until the person decides", async () => {
    await start("Mireille Fontaine");
    await page.getByRole("alert").getByText("Mireille Fontaine's key changed").waitFor();
    expect(await write().count()).toBe(0);
    expect(await focusedName(page)).toBe("Compare the code again");
    await tabUntil(page, "Continue without verifying: anyone could be reading", 2);
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "acknowledge_key_change")).data).toMatchObject({
      conversation_id: "c4",
      changes: [{ name: "Mireille Fontaine", fingerprints: [expect.any(String)] }],
    });
    await write().waitFor();
    await page.getByRole("button", { name: "Encrypted · not verified" }).waitFor();
    expect(await focusedName(page)).toBe("Message to Mireille Fontaine");
  });

  it("says of each of two people of one name that their key changed", async () => {
    await start("Mireille Fontaine");
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.changeKey("c4", "Mireille Fontaine"));
    const said = page.getByRole("alert").getByRole("heading", { name: "Mireille Fontaine's key changed" });
    await expect.poll(() => said.count()).toBe(2);
  });

  it("goes on where one writes once the codes were compared again", async () => {
    await start("Mireille Fontaine");
    await page.getByRole("button", { name: "Compare the code again" }).press("Enter");
    await page.getByText("Bicycle").waitFor();
    await page.getByRole("button", { name: "They match" }).press("Enter");
    await page.getByRole("button", { name: "Done" }).press("Enter");
    await page.getByRole("button", { name: "Encrypted · verified" }).waitFor();
    expect(await focusedName(page)).toBe("Message to Mireille Fontaine");
  });

  it("stays blocked when the codes differ, and a code that changes while it is compared is pointed out", async () => {
    await start("Mireille Fontaine");
    await page.getByRole("button", { name: "Compare the code again" }).press("Enter");
    await page.getByText("Bicycle").waitFor();
    await page.evaluate(() => {
      const { mock } = window as unknown as Mocked;
      mock.chat.changeCode("c4");
    });
    await page.getByRole("alert").getByText("The code has just changed").waitFor();
    const matches = page.getByRole("button", { name: "They match" });
    expect(await matches.isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Start again" }).press("Enter");
    expect(await matches.isEnabled()).toBe(true);
    await page.getByRole("button", { name: "They don't match" }).press("Enter");
    await page.getByText("Someone may be intercepting").waitFor();
    expect(await count(page, "reset_check")).toBe(0);
    await page.getByRole("button", { name: "Done" }).press("Enter");
    expect(await write().count()).toBe(0);
  });

  it("asks about other devices of one's own before there is a code, and remembers the answer", async () => {
    await start("Dr Amara Osei");
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.addOwnDevice("c1"));
    await page.getByRole("button", { name: "Encrypted · not verified" }).press("Enter");
    await page.getByRole("button", { name: "Compare the code" }).press("Enter");
    await page.getByText("Are they all yours?").waitFor();
    await page
      .getByRole("list", { name: "Devices that claim to be yours" })
      .getByText("Kitchen computer")
      .waitFor();
    expect(await count(page, "show_check_code")).toBe(0);
    await page.getByRole("button", { name: "One of them isn't" }).press("Enter");
    await page.getByRole("alert").getByText("Someone may be reading your messages").waitFor();
    await page.getByRole("button", { name: "Back" }).press("Enter");
    await page.getByRole("button", { name: "Yes, all mine" }).press("Enter");
    expect((await sentCommand(page, "accept_own_devices")).data).toMatchObject({ conversation_id: "c1" });
    await page.getByText("Bicycle").waitFor();
  });

  it("leads to the list of devices when one of them isn't one's own", async () => {
    await start("Dr Amara Osei");
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.addOwnDevice("c1"));
    await page.getByRole("button", { name: "Encrypted · not verified" }).press("Enter");
    await page.getByRole("button", { name: "Compare the code" }).press("Enter");
    await page.getByRole("button", { name: "One of them isn't" }).press("Enter");
    await page.getByRole("button", { name: "Show your devices" }).press("Enter");
    await page.getByRole("heading", { name: "Your devices" }).waitFor();
  });

  it("counts only those as checked in a group who read the same code", async () => {
    await start("Care team");
    await page.getByRole("button", { name: "Encrypted · not verified" }).press("Enter");
    await page.getByRole("button", { name: "Compare the code" }).press("Enter");
    await page.getByText("Bicycle").waitFor();
    expect(await page.getByRole("button", { name: "They match" }).isDisabled()).toBe(true);
    await page.getByRole("checkbox", { name: "Dr Amara Osei" }).check();
    await page.getByRole("button", { name: "They match" }).press("Enter");
    expect((await sentCommand(page, "confirm_check_code")).data).toMatchObject({ with: ["u1"] });
    await page.getByText("you will be warned if Dr Osei's key").waitFor();
    await page.getByRole("button", { name: "Done" }).press("Enter");
    await page.getByRole("button", { name: "Encrypted · not verified" }).waitFor();
  });

  it("comes before a call to somebody whose key changed", async () => {
    await visit("home");
    await page.getByRole("button", { name: "Video call with Mireille Fontaine" }).press("Enter");
    await page.getByRole("dialog", { name: "Before you call" }).waitFor();
    expect(await count(page, "call")).toBe(0);
    await page.getByRole("button", { name: "Continue without verifying" }).press("Enter");
    await tabUntil(page, "Video call", 6);
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "call")).data).toEqual({ user_id: "u3", call_type: "video" });
  });
});

describe("files", () => {
  it("are dropped onto a conversation, shown on their way, paused and stopped", async () => {
    await start("Dr Henrik Lind");
    await page.evaluate(() => (window as unknown as Mocked).mock.drop({ kind: "over" }));
    await page.getByText("Drop files to send them to Dr Henrik Lind").waitFor();
    await page.evaluate(() =>
      (window as unknown as Mocked).mock.drop({ kind: "drop", paths: ["/people/ana/scan.zip"] }),
    );
    expect((await sentCommand(page, "send_files")).data).toEqual({
      conversation_id: "c2",
      paths: ["/people/ana/scan.zip"],
    });
    await page.getByRole("button", { name: "Pause scan.zip" }).press("Enter");
    await page.getByText("Paused").waitFor();
    await page.getByRole("button", { name: "Cancel scan.zip" }).press("Enter");
    await page.getByRole("progressbar").waitFor({ state: "detached" });
  });

  it("are chosen, sent, and appear as a message whose folder can be shown", async () => {
    await start("Care team");
    await page.getByRole("button", { name: "Send files" }).press("Enter");
    await sentCommand(page, "send_files");
    const mine = page.getByRole("article").filter({ hasText: "rash on the arm.png" });
    await mine.waitFor();
    await mine.getByRole("button", { name: "Show in folder" }).press("Enter");
    expect(await page.evaluate(() => (window as unknown as Mocked).mock.opened)).toEqual([
      "/people/ana/rash on the arm.png",
    ]);
  });

  it("are not taken where nothing can be sent", async () => {
    await start("Dr Ingrid Solberg");
    await page.evaluate(() => {
      const { mock } = window as unknown as Mocked;
      mock.drop({ kind: "over" });
      mock.drop({ kind: "drop", paths: ["/people/ana/scan.zip"] });
    });
    expect(await count(page, "send_files")).toBe(0);
  });

  it("dropped onto a call go to the other person and open the list of files", async () => {
    await visit("call");
    await page.evaluate(() =>
      (window as unknown as Mocked).mock.drop({ kind: "drop", paths: ["/people/ana/scan.zip"] }),
    );
    expect((await sentCommand(page, "send_files")).data).toMatchObject({ conversation_id: "c1" });
    await page.getByRole("tab", { name: "Files", selected: true }).waitFor();
    await page.getByText("directly to the other device").waitFor();
  });
});

describe("in a call", () => {
  it("C opens the chat with the keyboard in it, Esc closes it, the arrows change the tab", async () => {
    await visit("call");
    await page.keyboard.press("c");
    await write().waitFor();
    expect(await focusedName(page)).toBe("Message to Dr Amara Osei");
    await page.keyboard.type("cm");
    expect(await write().inputValue()).toBe("cm");
    await page.keyboard.press("Escape");
    await page.getByRole("complementary", { name: "Chat and files" }).waitFor({ state: "detached" });
    await page.keyboard.press("Enter");
    await page.getByRole("tab", { name: "Chat" }).press("ArrowRight");
    await page.getByRole("button", { name: "Send files" }).waitFor();
    expect(await count(page, "set_muted")).toBe(0);
  });
});
