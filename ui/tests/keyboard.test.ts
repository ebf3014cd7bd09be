/** The whole app by keyboard: what a person without a mouse does, and what the engine is asked for. */
import { describe, expect, it } from "vitest";
import type { MockBridge } from "../src/lib/bridge/mock";
import { focusedName, leave, onePage, page, sent, sentCommand, tabUntil, visit } from "./browser";

onePage();

const focused = () => focusedName(page);
const tabTo = (name: string) => tabUntil(page, name);

describe("signing in", () => {
  it("begins in the first empty field and ends with Enter", async () => {
    await visit("first_start");
    expect(await focused()).toBe("server");
    await page.keyboard.type("clinic.example");
    await tabTo("login");
    await page.keyboard.type("ana");
    await tabTo("password");
    await page.keyboard.type("secret");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "sign_in")).data).toEqual({
      server_url: "clinic.example",
      login: "ana",
      password: "secret",
    });
  });

  it("puts the focus where something is missing and says so beneath it", async () => {
    await visit("signed_out");
    await tabTo("login");
    await page.keyboard.press("Enter");
    await page.getByText("Enter your password.").waitFor();
    expect(await focused()).toBe("password");
    expect(await sent(page)).toEqual([]);
  });

  it("says a wrong password beneath the password", async () => {
    await visit("signed_out");
    await tabTo("password");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("don't match").waitFor();
    const described = await page.locator("input[name=password]").getAttribute("aria-describedby");
    expect(await page.locator(`[id="${described}"]`).textContent()).toContain("don't match");
  });

  it("reveals the password on request", async () => {
    await visit("signed_out");
    await tabTo("Show password");
    await page.keyboard.press("Space");
    expect(await page.locator("input[name=password]").getAttribute("type")).toBe("text");
  });
});

describe("people", () => {
  it("are found by name without accents and called", async () => {
    await visit("home");
    await tabTo("Search people");
    await page.keyboard.type("tomas");
    await tabTo("Video call with Tomás Herrera");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "call")).data).toEqual({ user_id: "u5", call_type: "video" });
  });

  it("cannot be called while there is no connection, which is said with a way on", async () => {
    await visit("home_gave_up");
    expect(await page.getByRole("button", { name: "Video call with Dr Amara Osei" }).isDisabled()).toBe(true);
    await tabTo("Try again");
    await page.keyboard.press("Enter");
    await sentCommand(page, "reconnect");
  });

  it("are told to update an app that its server does not understand, and can try again then", async () => {
    await visit("home_unsupported_version");
    await page.getByText("Update Bedside and start it again.").first().waitFor();
    await tabTo("Try again");
    await page.keyboard.press("Enter");
    await sentCommand(page, "reconnect");
  });

  it("see the status one picks", async () => {
    await visit("home");
    await page.getByLabel("Your status").selectOption("do_not_disturb");
    expect((await sentCommand(page, "set_presence")).data).toEqual({ status: "do_not_disturb" });
  });
});

describe("history", () => {
  it("is turned page by page", async () => {
    await visit("home");
    await tabTo("History");
    await page.keyboard.press("Enter");
    await tabTo("Older");
    await page.keyboard.press("Enter");
    await page.getByText("Page 2 of 4").waitFor();
    expect((await sentCommand(page, "load_history")).data).toEqual({ page: 2 });
  });
});

describe("a ringing call", () => {
  it.each([undefined, "incoming"] as const)("is answered with Enter (window: %s)", async (window) => {
    await visit("incoming", window ? { window } : {});
    expect(await focused()).toBe("Answer with video");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "answer")).data).toEqual({ call_type: "video" });
  });

  it("is neither answered nor declined by the end of a sentence", async () => {
    await visit("home");
    await tabTo("Search people");
    await page.keyboard.type("Her");
    await page.evaluate(() => (window as unknown as { mock: MockBridge }).mock.ring());
    await page.getByRole("button", { name: "Decline" }).waitFor();
    for (const key of ["Space", "Enter", "Escape"]) await page.keyboard.press(key);
    const meant = (await sent(page)).map(({ type }) => type);
    expect(meant).not.toContain("answer");
    expect(meant).not.toContain("decline");
  });

  it("is declined with Esc", async () => {
    await visit("incoming");
    await page.keyboard.press("Escape");
    await sentCommand(page, "decline");
  });

  it("shows that it is being answered, keeps the keyboard where it is and answers no second time", async () => {
    await visit("incoming_answering");
    await page.getByRole("alert").getByText("Answering").waitFor();
    expect(await focused()).toBe("Answer with video");
    await page.keyboard.press("Enter");
    expect(await sent(page)).toEqual([]);
    await tabTo("Decline");
    await page.keyboard.press("Enter");
    await sentCommand(page, "decline");
  });

  it.each([undefined, "incoming"] as const)("says why it was not answered (window: %s)", async (window) => {
    await visit("incoming_not_answered", window ? { window, width: 460, height: 340 } : {});
    const said = page.getByRole("region", { name: "Notices" }).getByText("can't be reached");
    await said.waitFor();
    // Nobody has to look for it.
    const { y, height } = (await said.boundingBox())!;
    expect(y + height).toBeLessThan(page.viewportSize()!.height);
    expect(await focused()).toBe("Answer with video");
  });

  it("of somebody whose checked key changed is answered after a look at that", async () => {
    await visit("incoming_blocked");
    await page.getByRole("alert").getByText("key changed after you had verified it").waitFor();
    expect(await page.getByRole("button", { name: "Answer with video" }).count()).toBe(0);
    expect(await focused()).toBe("Review");
    await page.keyboard.press("Enter");
    const review = page.getByRole("dialog", { name: "Before you answer" });
    await review.waitFor();
    await page.keyboard.press("Escape");
    await review.waitFor({ state: "detached" });
    expect(await sent(page)).toEqual([]);
    expect(await focused()).toBe("Review");
    await page.keyboard.press("Enter");
    await tabTo("Continue without verifying: anyone could be reading");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "acknowledge_key_change")).data).toMatchObject({
      conversation_id: "c4",
      changes: [{ name: "Mireille Fontaine", fingerprints: [expect.any(String)] }],
    });
    await review.getByRole("button", { name: "Answer with video" }).press("Enter");
    expect((await sentCommand(page, "answer")).data).toEqual({ call_type: "video" });
  });

  it("of such a person is looked at in the main window, where there is room", async () => {
    await visit("incoming_blocked", { window: "incoming" });
    await tabTo("Review");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => (window as unknown as { mock: MockBridge }).mock.forward)).toBe(true);
    expect(await sent(page)).toEqual([]);
  });
});

describe("a call that is placed", () => {
  it("says what is wrong with the camera, with a way on", async () => {
    await visit("outgoing_camera_trouble");
    await tabTo("Continue without video");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "set_camera_on")).data).toEqual({ on: false });
  });
});

describe("a call with somebody who is not who they should be", () => {
  it("says so once it was ended, and nothing of firewalls", async () => {
    await visit("ended_not_authentic");
    const said = page.getByText("could not confirm that the other end was Dr Amara Osei");
    await said.waitFor();
    expect(await said.count()).toBe(1);
    expect(await page.getByText("firewall").count()).toBe(0);
  });

  it("leads to the code of the two, whoever else bears the name", async () => {
    await visit("namesakes");
    await page.getByRole("button", { name: "Review" }).press("Enter");
    expect((await sentCommand(page, "view_conversation")).data).toEqual({ conversation_id: "c1" });
  });
});

describe("a call", () => {
  it("is muted with M and the camera is switched with V", async () => {
    await visit("call");
    await page.keyboard.press("m");
    expect((await sentCommand(page, "set_muted")).data).toEqual({ muted: true });
    await page.keyboard.press("v");
    expect((await sentCommand(page, "set_camera_on")).data).toEqual({ on: false });
  });

  it("lets its controls fade though nobody ever moves, and brings them back with a key", async () => {
    await visit("call");
    await page.locator("main.stage.idle").waitFor();
    const opacity = (part: string) =>
      page.locator(`main.stage ${part}`).evaluate((node) => getComputedStyle(node).opacity);
    await expect.poll(() => opacity(".foot > .bar")).toBe("0");
    // Who is here and how the call is protected is always to be seen.
    expect(await opacity("header")).toBe("1");
    await page.keyboard.press("Shift");
    await page.locator("main.stage:not(.idle)").waitFor();
  });

  it("lets a muted person talk while space is held", async () => {
    await visit("call_muted");
    await page.keyboard.down("Space");
    await page.getByText("Talking while space is held").waitFor();
    expect((await sentCommand(page, "set_muted")).data).toEqual({ muted: false });
    await page.keyboard.up("Space");
    await page.getByText("You are muted").waitFor();
    expect((await sentCommand(page, "set_muted")).data).toEqual({ muted: true });
  });

  it("keeps letters for a menu that has the focus and closes it with Esc, focus back on its caret", async () => {
    await visit("call");
    await tabTo("Microphone and speaker");
    await page.keyboard.press("Enter");
    await page.keyboard.press("m");
    // What was plugged in since appears in it.
    expect((await sent(page)).map(({ type }) => type)).toEqual(["refresh_devices"]);
    await page.keyboard.press("ArrowDown");
    expect((await sentCommand(page, "select_device")).data).toEqual({ kind: "microphone", id: "m2" });
    await page.keyboard.press("Escape");
    expect(await focused()).toBe("Microphone and speaker");
  });

  it("lists its shortcuts with ? and closes the list with Esc", async () => {
    await visit("call");
    await tabTo("Shortcuts");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await sent(page)).toEqual([]);
    expect(await focused()).toBe("Shortcuts");
  });

  it("moves one's own picture with the arrow keys and hides it", async () => {
    await visit("call");
    const self = page.getByRole("group", { name: "Your video." });
    await self.focus();
    const before = (await self.boundingBox())!;
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowUp");
    await expect.poll(async () => (await self.boundingBox())!.x).toBeLessThan(before.x);
    expect((await self.boundingBox())!.y).toBeLessThan(before.y);
    await tabTo("Hide my video");
    await page.keyboard.press("Enter");
    await self.waitFor({ state: "detached" });
    await expect.poll(focused).toBe("Show my video");
    await page.keyboard.press("Enter");
    await self.waitFor();
  });

  it("is extended by a clinician who is warned of its end, and by nobody else", async () => {
    await visit("call_extendable");
    await tabTo("Extend by 30 minutes");
    await page.keyboard.press("Enter");
    await sentCommand(page, "extend_call");
    await page.getByText("You have more time: this call ends at").waitFor();
    expect(await page.getByText("This call ends in").count()).toBe(0);
    await leave(page);
    await visit("call_expiring");
    await page.getByText("This call ends in").waitFor();
    expect(await page.getByRole("button", { name: /^Extend/ }).count()).toBe(0);
  });

  it("is hung up with Ctrl+Shift+H, and the keyboard reaches Hang up while reconnecting", async () => {
    await visit("call_reconnecting");
    await tabTo("Hang up");
    await page.keyboard.press("Control+Shift+H");
    await sentCommand(page, "hang_up");
    await page.getByText("with Dr Osei").waitFor();
    await page.keyboard.press("Enter");
    await sentCommand(page, "dismiss_call");
  });
});

describe("settings", () => {
  it("open the preview, change at once and close the preview", async () => {
    await visit("home");
    await tabTo("Settings");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "set_preview")).data).toEqual({ on: true });
    await page.getByRole("switch", { name: "Mirror my video" }).focus();
    await page.keyboard.press("Space");
    expect((await sentCommand(page, "set_settings")).data).toMatchObject({
      settings: { mirror_self: false },
    });
    await page.getByRole("radio", { name: "High contrast" }).check();
    await page.waitForFunction(() => document.documentElement.dataset.theme === "high_contrast");
    await tabTo("Play a test sound");
    await page.keyboard.press("Enter");
    await sentCommand(page, "test_speaker");
    await page.getByRole("button", { name: "People", exact: true }).click();
    expect((await sentCommand(page, "set_preview")).data).toEqual({ on: false });
  });
});
