#!/usr/bin/env node
// Draws icon.svg at every size the systems want, into src-tauri/icons. Run it from the folder ui, whose
// Chromium it borrows: node ../assets/icon/make.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { chromium } = createRequire(`${process.cwd()}/package.json`)("playwright-core");
const svg = readFileSync(new URL("icon.svg", import.meta.url), "utf8");
const out = fileURLToPath(new URL("../../src-tauri/icons/", import.meta.url));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
async function draw(size) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>*{margin:0}svg{display:block;width:100vw;height:100vh}</style>${svg}`);
  return page.screenshot({ omitBackground: true });
}
const sizes = new Map();
for (const size of [16, 32, 48, 64, 128, 256, 512]) sizes.set(size, await draw(size));
await browser.close();

for (const [name, size] of [
  ["32x32.png", 32],
  ["128x128.png", 128],
  ["128x128@2x.png", 256],
  ["icon.png", 512],
]) {
  writeFileSync(out + name, sizes.get(size));
}

// Windows: a directory of PNG images.
const inside = [16, 32, 48, 256].map((size) => [size, sizes.get(size)]);
const directory = Buffer.alloc(6 + 16 * inside.length);
directory.writeUInt16LE(1, 2);
directory.writeUInt16LE(inside.length, 4);
let offset = directory.length;
inside.forEach(([size, png], at) => {
  const entry = 6 + 16 * at;
  directory.writeUInt8(size % 256, entry);
  directory.writeUInt8(size % 256, entry + 1);
  directory.writeUInt16LE(1, entry + 4);
  directory.writeUInt16LE(32, entry + 6);
  directory.writeUInt32LE(png.length, entry + 8);
  directory.writeUInt32LE(offset, entry + 12);
  offset += png.length;
});
writeFileSync(`${out}icon.ico`, Buffer.concat([directory, ...inside.map(([, png]) => png)]));

// macOS: tagged PNG images.
const chunks = [
  ["ic07", 128],
  ["ic08", 256],
  ["ic09", 512],
].map(([tag, size]) => {
  const head = Buffer.alloc(8);
  head.write(tag, "latin1");
  head.writeUInt32BE(8 + sizes.get(size).length, 4);
  return Buffer.concat([head, sizes.get(size)]);
});
const head = Buffer.alloc(8);
head.write("icns", "latin1");
head.writeUInt32BE(8 + chunks.reduce((sum, chunk) => sum + chunk.length, 0), 4);
writeFileSync(`${out}icon.icns`, Buffer.concat([head, ...chunks]));
