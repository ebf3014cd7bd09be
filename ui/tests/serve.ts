/** Builds the window with the mock bridge and serves it for the screen tests. */
import { fileURLToPath } from "node:url";
import { build, preview, type PreviewServer } from "vite";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    address: string;
  }
}

export default async function serve(project: TestProject): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const outDir = fileURLToPath(new URL("../node_modules/.cache/mock", import.meta.url));
  const common = { root, mode: "mock", logLevel: "warn" as const, build: { outDir, emptyOutDir: true } };
  await build(common);
  const server: PreviewServer = await preview({ ...common, preview: { port: 0, host: "127.0.0.1" } });
  project.provide("address", server.resolvedUrls!.local[0]!);
  return () => server.close();
}
