/** Times, durations, rates and initials, as people write them. */
import { languageTag, t } from "$lib/messages";

/** `4:07`, `1:02:09`. */
export function duration(totalSeconds: number): string {
  const seconds = Math.max(0, Math.floor(totalSeconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** `12 minutes`, `40 seconds`. */
export function spokenDuration(seconds: number): string {
  if (seconds < 60) return t("time.seconds", { count: seconds });
  return t("time.minutes", { count: Math.round(seconds / 60) });
}

function startOfDay(at: Date): number {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
}

/** `Today 10:30`, `Yesterday 16:05`, `3 Dec, 09:00`. */
export function when(timestamp: number, now: number = Date.now()): string {
  const at = new Date(timestamp);
  const time = new Intl.DateTimeFormat(languageTag(), {
    hour: "2-digit",
    minute: "2-digit",
    hour12: false,
  }).format(at);
  const days = Math.round((startOfDay(new Date(now)) - startOfDay(at)) / 86_400_000);
  if (days === 0) return t("time.today", { time });
  if (days === 1) return t("time.yesterday", { time });
  const sameYear = at.getFullYear() === new Date(now).getFullYear();
  const date = new Intl.DateTimeFormat(languageTag(), {
    day: "numeric",
    month: "short",
    ...(sameYear ? {} : { year: "numeric" }),
  }).format(at);
  return t("time.on", { date, time });
}

/** `just now`, `5 minutes ago`, then as {@link when}. */
export function ago(timestamp: number, now: number): string {
  const minutes = Math.floor((now - timestamp) / 60_000);
  if (minutes < 1) return t("time.justNow");
  if (minutes < 60) return t("time.minutesAgo", { count: minutes });
  return when(timestamp, now);
}

/** `1.4 Mbit/s`, `64 kbit/s`. */
export function rate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1_000_000) return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}

const TITLES = /^(dr|prof|mr|mrs|ms|mx|sr|sra|herr|frau|mme|m)\.?$/i;

/** `AO` for "Dr Amara Osei". */
export function initials(name: string): string {
  const parts = name.split(/\s+/).filter((part) => part && !TITLES.test(part));
  const first = parts[0] ?? name.trim();
  const last = parts.length > 1 ? parts.at(-1)! : "";
  return ([...first][0] ?? "").concat([...last][0] ?? "").toLocaleUpperCase(languageTag());
}

/** `Ana` for "Ana Ruiz", `Dr Osei` for "Dr Amara Osei". */
export function shortName(name: string): string {
  const parts = name.split(/\s+/).filter(Boolean);
  if (parts.length > 1 && TITLES.test(parts[0]!)) return `${parts[0]} ${parts.at(-1)}`;
  return parts[0] ?? name;
}
