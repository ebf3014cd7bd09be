/** A bridge to nothing: plays an engine for a browser and for tests, so that every screen can be looked at. */
import type { Bridge, Drop, RingingWords, StreamKind, WindowKind } from "$lib/bridge";
import type {
  CallView,
  Command,
  DevicesView,
  MessagePage,
  SearchHit,
  Snapshot,
  StatsSample,
  Update,
} from "$lib/contract";
import type { FrameSource } from "$lib/frames/stream";
import { MockChat } from "$lib/mock/chat";
import { PatternSource } from "$lib/mock/pattern";
import { historyPage } from "$lib/mock/people";
import { HISTORY_TOTAL, PER_PAGE, scenarios, type ScenarioName } from "$lib/mock/scenarios";

const LISTS = { camera: "cameras", microphone: "microphones", speaker: "speakers" } as const satisfies Record<
  string,
  keyof DevicesView
>;

export class MockBridge implements Bridge {
  readonly window: WindowKind;
  readonly drawsInSoftware = false;
  beneath: Bridge["beneath"];
  readonly server = undefined;
  /** What is said outside the window. */
  ringing: RingingWords | undefined;
  /** The main window was brought to the front in its place. */
  forward = false;
  /** Every command the window sent, for tests. */
  readonly sent: Command[] = [];
  /** What the person chooses when asked for files, and links and folders that were opened, for tests. */
  picked: string[] = ["/people/ana/Pictures/rash on the arm.png"];
  readonly opened: string[] = [];
  readonly chat: MockChat;
  #drops = new Set<(drop: Drop) => void>();
  #snapshot: Snapshot;
  #listener: (update: Update) => void = () => {};
  #ticks = 0;

  constructor(scenario: ScenarioName, window: WindowKind = "main") {
    this.window = window;
    this.#snapshot = scenarios[scenario]();
    this.chat = new MockChat({
      chat: () => this.#snapshot.chat,
      change: (chat) => this.change({ chat }),
      online: () => this.#snapshot.connection.state === "online",
      inCallWith: () => this.#snapshot.call?.conversation_id ?? undefined,
    });
  }

  subscribe(listener: (update: Update) => void): void {
    this.#listener = listener;
    listener({ type: "snapshot", data: this.#snapshot });
    setInterval(() => this.#tick(), 100);
    for (let second = 90; second > 0; second--) this.#stats(Date.now() - second * 1000);
  }

  dispatch(command: Command): void {
    this.sent.push(command);
    if (!this.chat.react(command)) this.#react(command);
  }

  /** Somebody calls, for tests. */
  ring(): void {
    this.change({ call: scenarios.incoming().call });
  }

  messages(conversation: string, from: number, count: number): Promise<MessagePage> {
    return this.chat.messages(conversation, from, count);
  }

  search(text: string, conversation: string | null): Promise<SearchHit[]> {
    return this.chat.search(text, conversation);
  }

  pickFiles(): Promise<string[]> {
    return Promise.resolve(this.picked);
  }

  pickFolder(): Promise<string | null> {
    return Promise.resolve("/people/ana/Documents");
  }

  showFolder(path: string): Promise<void> {
    this.opened.push(path);
    return Promise.resolve();
  }

  openLink(address: string): Promise<void> {
    this.opened.push(address);
    return Promise.resolve();
  }

  watchDrops(listener: (drop: Drop) => void): () => void {
    this.#drops.add(listener);
    return () => this.#drops.delete(listener);
  }

  /** Files are dragged over the window or dropped, as the system would tell. */
  drop(drop: Drop): void {
    for (const listener of this.#drops) listener(drop);
  }

  frames(stream: StreamKind): FrameSource {
    return new PatternSource(stream === "remote" ? 0 : 2);
  }

  showRinging(words: RingingWords): void {
    this.ringing = words;
  }

  hideRinging(forward: boolean): void {
    this.ringing = undefined;
    this.forward = forward;
  }

  async setFullScreen(on: boolean): Promise<void> {
    if (on) await document.documentElement.requestFullscreen();
    else await document.exitFullscreen();
  }

  version(): Promise<string> {
    return Promise.resolve("0.1.0");
  }

  /** Replaces parts of the snapshot, as the engine would. */
  change(parts: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...parts, revision: this.#snapshot.revision + 1 };
    this.#listener({ type: "snapshot", data: this.#snapshot });
  }

  changeCall(parts: Partial<CallView>): void {
    if (this.#snapshot.call) this.change({ call: { ...this.#snapshot.call, ...parts } });
  }

  #react(command: Command): void {
    const now = this.#snapshot;
    switch (command.type) {
      case "sign_in": {
        const { login, password, server_url } = command.data;
        this.change({ account: { state: "signing_in" }, clinic: { server_url, name: null } });
        setTimeout(() => {
          if (password === "wrong") {
            this.change({ account: { state: "signed_out", failure: "wrong_credentials", login } });
          } else this.change(scenarios.home());
        }, 300);
        return;
      }
      case "sign_out":
        this.change(scenarios.signed_out());
        return;
      case "reconnect":
        this.change({ connection: { state: "connecting" } });
        setTimeout(() => this.change({ connection: { state: "online" } }), 500);
        return;
      case "set_presence":
        if (now.account.state === "signed_in") {
          this.change({ account: { ...now.account, status: command.data.status } });
        }
        return;
      case "call": {
        const person = now.people.find((candidate) => candidate.user_id === command.data.user_id);
        const call = scenarios.outgoing().call!;
        this.change({
          call: {
            ...call,
            peer_id: command.data.user_id,
            peer_name: person?.name ?? call.peer_name,
            call_type: command.data.call_type,
            camera_on: command.data.call_type === "video",
          },
        });
        return;
      }
      case "answer":
        this.changeCall({
          phase: "connected",
          accepted_at: Date.now(),
          connected_at: Date.now(),
          camera_on: command.data.call_type === "video",
          protection: "encrypted",
          quality: "good",
        });
        return;
      case "decline":
        this.change({ call: null });
        return;
      case "hang_up":
        this.changeCall({
          phase: "ended",
          end_reason: "user_hangup",
          duration_s: 742,
          reconnect_until: null,
        });
        return;
      case "extend_call": {
        const { expires_at, extendable_by_s } = now.call ?? {};
        if (!expires_at || !extendable_by_s) return;
        this.changeCall({ expires_at: null, extendable_by_s: null });
        const ends_at = expires_at + extendable_by_s * 1000;
        this.change({ notices: [...now.notices, { id: 90, notice: { kind: "call_extended", ends_at } }] });
        return;
      }
      case "dismiss_call":
        this.change({ call: null });
        return;
      case "set_muted":
        this.changeCall({ muted: command.data.muted });
        return;
      case "set_camera_on":
        this.changeCall({ camera_on: command.data.on });
        return;
      case "select_device": {
        const list = LISTS[command.data.kind];
        const devices = structuredClone(now.devices);
        devices[list].selected = command.data.id;
        devices[list].in_use = command.data.id;
        devices[list].trouble = null;
        this.change({ devices });
        return;
      }
      case "load_history": {
        const { page } = command.data;
        const pages = Math.ceil(HISTORY_TOTAL / PER_PAGE);
        if (now.history.loading || (now.history.page === 1 && now.history.total === 0)) return;
        if (now.history.failure && now.history.page === 0 && page === 1 && this.#ticks < 5) return;
        this.change({
          history: {
            items: historyPage(page, PER_PAGE, HISTORY_TOTAL),
            page,
            pages,
            total: HISTORY_TOTAL,
            loading: false,
            failure: null,
          },
        });
        return;
      }
      case "set_settings":
        this.change({ settings: command.data.settings });
        return;
      case "dismiss_notice":
        this.change({ notices: now.notices.filter((notice) => notice.id !== command.data.id) });
        return;
      case "refresh_devices":
      case "retry_devices":
      case "set_preview":
      case "test_speaker":
        return;
      default:
        return;
    }
  }

  #tick(): void {
    this.#ticks += 1;
    this.chat.tick();
    const wave = Math.abs(Math.sin(this.#ticks / 4)) * 0.7;
    this.#listener({ type: "levels", data: { microphone: wave, speaker: wave / 2 } });
    if (this.#ticks % 10 === 0) this.#stats(Date.now());
  }

  #stats(at: number): void {
    const phase = this.#snapshot.call?.phase;
    if (phase !== "connected" && phase !== "reconnecting") return;
    const wave = Math.sin(at / 9000);
    const sample: StatsSample = {
      at,
      rtt_ms: 38 + 6 * wave,
      loss_in: Math.max(0, 0.004 * wave),
      loss_out: 0.001,
      jitter_ms: 3.1,
      estimate_bps: 2_000_000,
      audio_in_bps: 31_000,
      audio_out_bps: 32_000,
      video_in_bps: 1_380_000 + 120_000 * wave,
      video_out_bps: 1_420_000 - 90_000 * wave,
      width_in: 1280,
      height_in: 720,
      width_out: 1280,
      height_out: 720,
      fps_in: 29.6 + 0.4 * wave,
      fps_out: 30,
      freezes: 0,
      freeze_ms: 0,
      audio_packets_in: 49,
      concealed_ms: 0,
      playout_ms: 42,
      encode_ms: 2.7,
      decode_ms: 1.2,
      cpu_percent: 18,
      memory_bytes: 61_000_000,
      ice_ms: 31,
      dtls_ms: 23,
      path: "host ↔ host, UDP",
      audio_quality: "excellent",
      video_quality: "good",
    };
    this.#listener({ type: "stats", data: sample });
  }
}
