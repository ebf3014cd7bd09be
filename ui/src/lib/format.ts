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

const formatters = new Map<string, Intl.DateTimeFormat>();

/** Making one costs more than using it, and long lists use many. */
function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = languageTag() + JSON.stringify(options);
  let made = formatters.get(key);
  if (!made) formatters.set(key, (made = new Intl.DateTimeFormat(languageTag(), options)));
  return made;
}

function startOfDay(at: Date): number {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
}

function daysBefore(at: Date, now: number): number {
  return Math.round((startOfDay(new Date(now)) - startOfDay(at)) / 86_400_000);
}

function year(at: Date, now: number): Intl.DateTimeFormatOptions {
  return at.getFullYear() === new Date(now).getFullYear() ? {} : { year: "numeric" };
}

/** `10:30`. */
export function timeOfDay(timestamp: number): string {
  return formatter({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(timestamp);
}

/** `3 Dec`, `3 Dec 2025`. */
export function shortDate(timestamp: number, now: number = Date.now()): string {
  return formatter({ day: "numeric", month: "short", ...year(new Date(timestamp), now) }).format(timestamp);
}

/** `Today 10:30`, `Yesterday 16:05`, `3 Dec, 09:00`. */
export function when(timestamp: number, now: number = Date.now()): string {
  const time = timeOfDay(timestamp);
  const days = daysBefore(new Date(timestamp), now);
  if (days === 0) return t("time.today", { time });
  if (days === 1) return t("time.yesterday", { time });
  return t("time.on", { date: shortDate(timestamp, now), time });
}

/** `10:30`, `Yesterday`, `3 Dec`: where room is short. */
export function briefly(timestamp: number, now: number = Date.now()): string {
  const days = daysBefore(new Date(timestamp), now);
  if (days === 0) return timeOfDay(timestamp);
  if (days === 1) return t("time.dayYesterday");
  return shortDate(timestamp, now);
}

/** `Today`, `Yesterday`, `Thursday 3 December`. */
export function dayName(timestamp: number, now: number = Date.now()): string {
  const at = new Date(timestamp);
  const days = daysBefore(at, now);
  if (days === 0) return t("time.dayToday");
  if (days === 1) return t("time.dayYesterday");
  return formatter({ weekday: "long", day: "numeric", month: "long", ...year(at, now) }).format(at);
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

/** `820 bytes`, `64 kB`, `1.4 MB`: as file managers count. */
export function size(bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return new Intl.NumberFormat(languageTag(), {
    style: "unit",
    unit: units[power]!,
    unitDisplay: power === 0 ? "long" : "short",
    maximumFractionDigits: power < 2 ? 0 : 1,
  }).format(bytes / 1000 ** power);
}

/** `you, Dr Osei and the clinic's archive`. */
export function enumeration(parts: readonly string[]): string {
  return new Intl.ListFormat(languageTag(), { type: "conjunction" }).format(parts);
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
