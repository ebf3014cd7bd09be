import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  resolve: {
    alias: {
      $lib: here("./src/lib"),
      $components: here("./src/components"),
      $sounds: here("../assets/sounds"),
    },
    // Component code in unit tests is the browser's, not the server's.
    ...(mode === "test" ? { conditions: ["browser"] } : {}),
  },
  // The mock bridge is for a browser and for tests; a build for the app leaves it out.
  define: { __MOCK__: JSON.stringify(mode !== "production") },
  clearScreen: false,
  server: { fs: { allow: [here("."), here("../assets")] } },
  build: {
    target: ["es2022", "safari16"],
    // The content security policy allows no data: addresses.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  test: {
    // Only what fails is worth a line.
    reporters: ["minimal"],
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "screens",
          include: ["tests/**/*.test.ts"],
          globalSetup: ["tests/serve.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          maxConcurrency: 3,
        },
      },
    ],
  },
}));
