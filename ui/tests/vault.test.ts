/** The passphrase of the stored keys, and the list of one's own devices. */
import { describe, expect, it } from "vitest";
import type { MockBridge } from "../src/lib/bridge/mock";
import { count, focusedName, onePage, page, sentCommand, tabUntil, visit } from "./browser";

interface Mocked {
  mock: MockBridge;
}

onePage();

describe("the passphrase", () => {
  it("unlocks the messages, and a wrong one is said beneath the field", async () => {
    await visit("vault_locked");
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("INPUT");
    await page.evaluate(() => ((window as unknown as Mocked).mock.chat.slowVault = true));
    for (const attempt of ["wrong wrong wrong", "wrong again"]) {
      await page.keyboard.type(attempt);
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Unlocking" }).waitFor();
      await page.evaluate(() => (window as unknown as Mocked).mock.chat.turnKey());
      await page.getByText("This isn't the right passphrase").waitFor();
    }
    await page.keyboard.type("correct horse battery");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Unlocking" }).waitFor();
    expect((await sentCommand(page, "unlock_vault")).data).toEqual({ passphrase: "correct horse battery" });
    await page.evaluate(() => (window as unknown as Mocked).mock.chat.turnKey());
    await page.getByRole("navigation").waitFor();
  });

  it("is set only when it is long enough and the same twice", async () => {
    await visit("vault_temporary");
    await page.getByRole("button", { name: "Set a passphrase" }).press("Enter");
    const fields = [page.getByLabel("Passphrase", { exact: true }), page.getByLabel("Repeat the passphrase")];
    for (const field of fields) await field.fill("too short");
    await page.keyboard.press("Enter");
    await page.getByText("3 more characters, please.").waitFor();
    expect(await count(page, "set_passphrase")).toBe(0);
    await page.getByLabel("Passphrase", { exact: true }).fill("four plain words here");
    await page.getByLabel("Repeat the passphrase").fill("four plain words");
    await page.keyboard.press("Enter");
    await page.getByText("The two passphrases don't match.").waitFor();
    expect(await count(page, "set_passphrase")).toBe(0);
    await page.getByLabel("Repeat the passphrase").fill("four plain words here");
    await page.keyboard.press("Enter");
    await sentCommand(page, "set_passphrase");
    await page.getByRole("button", { name: "Set a passphrase" }).waitFor({ state: "detached" });
  });
});

describe("a dialog", () => {
  it("stands in the middle of the window, whatever its button stands in", async () => {
    await visit("vault_temporary");
    await page.getByRole("navigation").getByRole("button", { name: "Messages" }).press("Enter");
    await page.getByRole("button", { name: "Set a passphrase" }).press("Enter");
    const dialog = await page.getByRole("dialog").boundingBox();
    const view = page.viewportSize();
    if (!dialog || !view) throw new Error("there is no dialog");
    expect(dialog.x + dialog.width / 2).toBeCloseTo(view.width / 2, 0);
    expect(dialog.y + dialog.height / 2).toBeCloseTo(view.height / 2, 0);
  });
});

describe("one's devices", () => {
  it("are renamed in their place and removed after one was asked", async () => {
    await visit("home");
    await page.getByRole("button", { name: "Settings", exact: true }).press("Enter");
    await page.getByRole("button", { name: "Rename Kitchen computer" }).press("Enter");
    await page.keyboard.type("Study");
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "rename_installation")).data).toEqual({
      device_id: "d-me-2",
      name: "Study",
    });
    expect(await focusedName(page)).toBe("Rename Study");
    await page.getByRole("button", { name: "Remove Study" }).press("Enter");
    await tabUntil(page, "Remove and sign out", 4);
    await page.keyboard.press("Enter");
    expect((await sentCommand(page, "revoke_installation")).data).toEqual({ device_id: "d-me-2" });
    await page.getByText("Leaving 4 conversations…").waitFor();
  });
});
