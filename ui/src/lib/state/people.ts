/** Finding people and the order they are shown in. */
import type { PersonView, PresenceStatus } from "$lib/contract";

const plain = (text: string) =>
  text
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "")
    .toLowerCase();

/** Those whose name or specialty has every word of `query`, accents or not. */
export function matching(people: readonly PersonView[], query: string): PersonView[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  return people.filter((person) => {
    const text = plain(`${person.name} ${person.specialty ?? ""}`);
    return words.every((word) => text.includes(word));
  });
}

const ORDER: Record<PresenceStatus, number> = {
  online: 0,
  idle: 1,
  away: 1,
  busy: 1,
  do_not_disturb: 1,
  offline: 2,
};

/** Those at their computer first, then those about, then the rest; by name within each. */
export function sorted(people: readonly PersonView[]): PersonView[] {
  return [...people].sort((a, b) => ORDER[a.status] - ORDER[b.status] || a.name.localeCompare(b.name));
}
