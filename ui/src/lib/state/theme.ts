/** Puts the chosen theme on the page. */
import type { Theme } from "$lib/contract";

const dark = () => matchMedia("(prefers-color-scheme: dark)");
const moreContrast = () => matchMedia("(prefers-contrast: more)");

export function resolveTheme(theme: Theme, system: { dark: boolean; moreContrast: boolean }): string {
  if (theme !== "system") return theme;
  if (system.moreContrast) return "high_contrast";
  return system.dark ? "dark" : "light";
}

/** Applies `theme` now and whenever the system's own changes; returns how to stop. */
export function applyTheme(theme: Theme): () => void {
  const apply = () => {
    const system = { dark: dark().matches, moreContrast: moreContrast().matches };
    document.documentElement.dataset.theme = resolveTheme(theme, system);
  };
  apply();
  const watched = [dark(), moreContrast()];
  watched.forEach((query) => query.addEventListener("change", apply));
  return () => watched.forEach((query) => query.removeEventListener("change", apply));
}
