/** A made-up clinic for the mock. */
import type { HistoryItem, PersonView } from "$lib/contract";

const MINUTE = 60_000;

export const NOW = Date.now();

export const people: PersonView[] = [
  {
    user_id: "u1",
    name: "Dr Amara Osei",
    role: "clinician",
    specialty: "Cardiology",
    status: "online",
    last_seen: NOW,
    device_type: "desktop",
  },
  {
    user_id: "u2",
    name: "Dr Henrik Lind",
    role: "clinician",
    specialty: "Dermatology",
    status: "busy",
    last_seen: NOW,
    device_type: "desktop",
  },
  {
    user_id: "u3",
    name: "Mireille Fontaine",
    role: "clinician",
    specialty: "Diabetes nurse",
    status: "away",
    last_seen: NOW - 12 * MINUTE,
    device_type: "desktop",
  },
  {
    user_id: "u4",
    name: "Dr Yusuf Rahmani",
    role: "clinician",
    specialty: "General practice",
    status: "do_not_disturb",
    last_seen: NOW,
    device_type: "desktop",
  },
  {
    user_id: "u5",
    name: "Tomás Herrera",
    role: "guest",
    specialty: null,
    status: "idle",
    last_seen: NOW - 4 * MINUTE,
    device_type: "web",
  },
  {
    user_id: "u6",
    name: "Dr Ingrid Solberg",
    role: "clinician",
    specialty: "Ophthalmology",
    status: "offline",
    last_seen: NOW - 26 * 60 * MINUTE,
    device_type: "desktop",
  },
];

const OUTCOMES: Partial<HistoryItem>[] = [
  { direction: "incoming", call_type: "video", phase: "ended", end_reason: "user_hangup", duration_s: 742 },
  { direction: "outgoing", call_type: "video", phase: "missed", end_reason: "missed", duration_s: 0 },
  { direction: "incoming", call_type: "voice", phase: "missed", end_reason: "missed", duration_s: 0 },
  { direction: "outgoing", call_type: "voice", phase: "ended", end_reason: "user_hangup", duration_s: 95 },
  { direction: "outgoing", call_type: "video", phase: "ended", end_reason: "callee_declined", duration_s: 0 },
  {
    direction: "incoming",
    call_type: "video",
    phase: "ended",
    end_reason: "network_error",
    duration_s: 1310,
  },
  {
    direction: "outgoing",
    call_type: "video",
    phase: "failed",
    end_reason: "connection_failed",
    duration_s: 0,
  },
];

export function historyPage(page: number, perPage: number, total: number): HistoryItem[] {
  const first = (page - 1) * perPage;
  return Array.from({ length: Math.min(perPage, total - first) }, (_, at) => {
    const index = first + at;
    const person = people[index % 4]!;
    return {
      call_id: `h${index}`,
      peer_id: person.user_id,
      peer_name: person.name,
      direction: "incoming",
      call_type: "video",
      phase: "ended",
      end_reason: null,
      duration_s: 0,
      started_at: NOW - (index * 17 + 2) * 60 * MINUTE,
      ...OUTCOMES[index % OUTCOMES.length],
    };
  });
}
