/** Situations the mock begins in, by name: `?scenario=call`. */
import type { CallView, ChatView, ConversationView, Notice, Snapshot } from "$lib/contract";
import { chat, transfers } from "./conversations";
import { historyPage, NOW, people } from "./people";

export const PER_PAGE = 10;
export const HISTORY_TOTAL = 34;

function signedIn(): Snapshot {
  return {
    revision: 1,
    clinic: { server_url: "https://clinic.example", name: "Riverside Clinic" },
    account: {
      state: "signed_in",
      user_id: "me",
      name: "Ana Ruiz",
      role: "patient",
      status: "online",
      remembered: true,
    },
    connection: { state: "online" },
    people: structuredClone(people),
    people_loaded: true,
    call: null,
    devices: {
      cameras: {
        available: [
          { id: "c1", name: "Integrated Camera", is_virtual: false },
          { id: "c2", name: "Logitech BRIO", is_virtual: false },
          { id: "pattern", name: "Test pattern", is_virtual: true },
        ],
        selected: "c1",
        in_use: "c1",
        trouble: null,
      },
      microphones: {
        available: [
          { id: "m1", name: "Built-in Audio", is_virtual: false },
          { id: "m2", name: "Jabra Evolve2 Headset", is_virtual: false },
        ],
        selected: "m1",
        in_use: "m1",
        trouble: null,
      },
      speakers: {
        available: [
          { id: "s1", name: "Built-in Audio", is_virtual: false },
          { id: "s2", name: "Jabra Evolve2 Headset", is_virtual: false },
        ],
        selected: "s1",
        in_use: "s1",
        trouble: null,
      },
    },
    history: {
      items: historyPage(1, PER_PAGE, HISTORY_TOTAL),
      page: 1,
      pages: Math.ceil(HISTORY_TOTAL / PER_PAGE),
      total: HISTORY_TOTAL,
      loading: false,
      failure: null,
    },
    chat: chat().view,
    notices: [],
    settings: {
      theme: "system",
      mirror_self: true,
      echo_cancellation: true,
      noise_suppression: true,
      auto_gain: true,
      high_pass: true,
      sounds: true,
      ring_sound: true,
      call_sounds: true,
      read_receipts: true,
      seal_frames: false,
    },
  };
}

function signedOut(
  failure: "wrong_credentials" | "server_unreachable" | null,
  server = "https://clinic.example",
): Snapshot {
  return {
    ...signedIn(),
    clinic: { server_url: server, name: null },
    account: { state: "signed_out", failure, login: server ? "ana" : "" },
    connection: { state: "idle" },
    people: [],
    people_loaded: false,
    history: { items: [], page: 0, pages: 0, total: 0, loading: false, failure: null },
    chat: NO_CHAT,
  };
}

const NO_CHAT: ChatView = {
  vault: { state: "closed" },
  conversations: [],
  loaded: false,
  installations: [],
  transfers: [],
};

function withChat(parts: Partial<ChatView>, rest: Partial<Snapshot> = {}): Snapshot {
  const snapshot = signedIn();
  return { ...snapshot, ...rest, chat: { ...snapshot.chat, ...parts } };
}

/** The conversation with Dr Osei, changed. */
function withOsei(parts: Partial<ConversationView>): Snapshot {
  const { conversations } = chat().view;
  return withChat({
    conversations: conversations.map((one) => (one.id === "c1" ? { ...one, ...parts } : one)),
  });
}

function withNotices(...notices: Notice[]): Snapshot {
  return { ...signedIn(), notices: notices.map((notice, at) => ({ id: at + 1, notice })) };
}

function withCall(call: Partial<CallView>, rest: Partial<Snapshot> = {}): Snapshot {
  return {
    ...signedIn(),
    ...rest,
    call: {
      call_id: "call-1",
      direction: "outgoing",
      peer_id: "u1",
      peer_name: "Dr Amara Osei",
      call_type: "video",
      phase: "connected",
      end_reason: null,
      answering: false,
      not_authentic: false,
      accepted_at: NOW - 725_000,
      connected_at: NOW - 724_000,
      duration_s: 0,
      muted: false,
      camera_on: true,
      peer_muted: false,
      peer_camera_on: true,
      peer_video_paused: false,
      reconnect_until: null,
      expires_at: null,
      extendable_by_s: null,
      quality: "good",
      video_paused: false,
      frames_sealed: false,
      protection: "encrypted",
      conversation_id: "c1",
      ...call,
    },
  };
}

const before = { accepted_at: null, connected_at: null, quality: null, protection: "unprotected" as const };

export const scenarios = {
  first_start: () => signedOut(null, ""),
  signed_out: () => signedOut(null),
  restoring: () => ({ ...signedOut(null), account: { state: "restoring" as const } }),
  signing_in: () => ({ ...signedOut(null), account: { state: "signing_in" as const } }),
  wrong_password: () => signedOut("wrong_credentials"),
  unreachable: () => signedOut("server_unreachable"),
  home: () => signedIn(),
  home_loading: () => ({
    ...signedIn(),
    people: [],
    people_loaded: false,
    connection: { state: "connecting" as const },
  }),
  home_empty: () => ({ ...signedIn(), people: [] }),
  home_offline: () => ({
    ...signedIn(),
    connection: { state: "waiting" as const, retry_at: Date.now() + 8000, attempt: 3 },
    people: people.map((person) => ({ ...person, status: "offline" as const })),
  }),
  /** The app was opened without the server: all is as it was last. */
  home_started_offline: () => {
    const { chat, ...rest } = signedIn();
    return {
      ...rest,
      connection: { state: "waiting" as const, retry_at: Date.now() + 4000, attempt: 2 },
      people: people.map((person) => ({ ...person, status: "offline" as const })),
      people_loaded: false,
      chat: { ...chat, loaded: false },
    };
  },
  home_unsupported_version: () => ({
    ...signedIn(),
    connection: { state: "unsupported_version" as const },
  }),
  home_gave_up: () => ({ ...signedIn(), connection: { state: "gave_up" as const } }),
  home_notices: () => ({
    ...signedIn(),
    notices: [
      { id: 1, notice: { kind: "missed_call" as const, name: "Dr Amara Osei" } },
      { id: 2, notice: { kind: "not_remembered" as const } },
      {
        id: 3,
        notice: {
          kind: "device" as const,
          device: "camera" as const,
          trouble: "in_use" as const,
          replaced_by: null,
        },
      },
    ],
  }),
  chat_loading: () => withChat({ loaded: false, conversations: [] }),
  chat_empty: () => withChat({ conversations: [] }),
  chat_offline: () => {
    const snapshot = withOsei({ waiting: 1, unread: 0, typing: [] });
    return {
      ...snapshot,
      connection: { state: "waiting" as const, retry_at: Date.now() + 8000, attempt: 3 },
    };
  },
  chat_rejoining: () => withOsei({ state: "rejoining", protection: "unprotected" }),
  chat_pushed_out: () => withOsei({ state: "pushed_out", protection: "unprotected" }),
  chat_transfers: () => withChat({ transfers: structuredClone(transfers) }),
  chat_notices: () =>
    withNotices(
      { kind: "message", name: "Dr Henrik Lind", conversation_id: "c2" },
      { kind: "transfer", file: "MRI series 3.zip", reason: "disk_full" },
      { kind: "device_added", name: "Kitchen computer" },
    ),
  trust_notices: () =>
    withNotices(
      { kind: "not_authentic", name: "Dr Amara Osei", conversation_id: "c1" },
      { kind: "key_changed", name: "Mireille Fontaine", conversation_id: "c4" },
    ),
  /** Two people bear the name of the one who was not who they should be; the other one comes first. */
  namesakes: () => {
    const snapshot = withNotices({ kind: "not_authentic", name: "Dr Amara Osei", conversation_id: "c1" });
    const [osei, ...others] = snapshot.chat.conversations;
    snapshot.chat.conversations = [{ ...others.at(-1)!, title: osei!.title }, osei!, ...others.slice(0, -1)];
    return snapshot;
  },
  vault_locked: () =>
    withChat({
      vault: { state: "locked", wrong: false, unlocking: false },
      conversations: [],
      loaded: false,
    }),
  vault_wrong: () =>
    withChat({ vault: { state: "locked", wrong: true, unlocking: false }, conversations: [], loaded: false }),
  vault_temporary: () => withChat({ vault: { state: "temporary" } }),
  vault_unwritable: () => withChat({ vault: { state: "unwritable" } }),
  vault_broken: () => withChat({ vault: { state: "broken" } }),
  call_verified: () =>
    withCall({ protection: "verified", conversation_id: "c2", peer_name: "Dr Henrik Lind" }),
  call_no_conversation: () => withCall({ conversation_id: null, protection: "unprotected" }),
  call_files: () => {
    const snapshot = withCall({});
    snapshot.chat.transfers = structuredClone(transfers);
    return snapshot;
  },
  history_empty: () => ({
    ...signedIn(),
    history: { items: [], page: 1, pages: 0, total: 0, loading: false, failure: null },
  }),
  history_loading: () => ({
    ...signedIn(),
    history: { items: [], page: 0, pages: 0, total: 0, loading: true, failure: null },
  }),
  history_failed: () => ({
    ...signedIn(),
    history: { items: [], page: 0, pages: 0, total: 0, loading: false, failure: "server_trouble" as const },
  }),
  no_devices: () => ({
    ...signedIn(),
    devices: {
      cameras: { available: [], selected: null, in_use: null, trouble: "none_found" as const },
      microphones: { available: [], selected: null, in_use: null, trouble: "none_found" as const },
      speakers: { available: [], selected: null, in_use: null, trouble: "none_found" as const },
    },
  }),
  incoming: () => withCall({ ...before, direction: "incoming", phase: "ringing" }),
  incoming_voice: () => withCall({ ...before, direction: "incoming", phase: "ringing", call_type: "voice" }),
  incoming_answering: () => withCall({ ...before, direction: "incoming", phase: "ringing", answering: true }),
  /** The line was lost as it was answered. */
  incoming_not_answered: () =>
    withCall(
      { ...before, direction: "incoming", phase: "ringing" },
      { notices: [{ id: 5, notice: { kind: "failed", failure: "clinic_away" } }] },
    ),
  /** The caller's checked key has changed. */
  incoming_blocked: () =>
    withCall({
      ...before,
      direction: "incoming",
      phase: "ringing",
      peer_id: "u3",
      peer_name: "Mireille Fontaine",
      conversation_id: "c4",
    }),
  outgoing_camera_trouble: () =>
    withCall(
      { ...before, phase: "ringing" },
      {
        notices: [
          { id: 4, notice: { kind: "device", device: "camera", trouble: "in_use", replaced_by: null } },
        ],
      },
    ),
  outgoing: () => withCall({ ...before, phase: "ringing" }),
  connecting: () => withCall({ ...before, phase: "connecting" }),
  call: () => withCall({}),
  call_voice: () => withCall({ call_type: "voice", camera_on: false, peer_camera_on: false }),
  call_muted: () => withCall({ muted: true, peer_muted: true, camera_on: false, peer_camera_on: false }),
  call_poor: () => withCall({ quality: "poor", video_paused: true }),
  call_peer_paused: () => withCall({ quality: "poor", peer_video_paused: true }),
  call_camera_trouble: () => {
    const snapshot = withCall({ camera_on: false });
    snapshot.devices.cameras.trouble = "in_use";
    snapshot.notices = [
      { id: 4, notice: { kind: "device", device: "camera", trouble: "in_use", replaced_by: null } },
    ];
    return snapshot;
  },
  call_reconnecting: () =>
    withCall({ phase: "reconnecting", quality: "poor", reconnect_until: Date.now() + 24_000 }),
  call_expiring: () => withCall({ expires_at: Date.now() + 272_000 }),
  /** As the clinician sees it. */
  call_extendable: () => withCall({ expires_at: Date.now() + 272_000, extendable_by_s: 1800 }),
  ended: () => withCall({ phase: "ended", end_reason: "user_hangup", duration_s: 742 }),
  ended_declined: () => withCall({ ...before, phase: "ended", end_reason: "callee_declined" }),
  ended_failed: () => withCall({ ...before, phase: "failed", end_reason: "connection_failed" }),
  /** Somebody on the way answered in the other person's place. */
  ended_not_authentic: () =>
    withCall(
      { ...before, phase: "failed", end_reason: "connection_failed", not_authentic: true },
      {
        notices: [{ id: 6, notice: { kind: "not_authentic", name: "Dr Amara Osei", conversation_id: "c1" } }],
      },
    ),
} satisfies Record<string, () => Snapshot>;

export type ScenarioName = keyof typeof scenarios;
