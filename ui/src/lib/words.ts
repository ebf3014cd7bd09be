/** Which words belong to which situation: everything the engine only names. */
import type {
  CallView,
  DeviceKind,
  DeviceList,
  DeviceTrouble,
  HistoryItem,
  Notice,
  QualityClass,
} from "$lib/contract";
import { shortName, timeOfDay } from "$lib/format";
import { t, type MessageKey } from "$lib/messages";

export function troubleText(device: DeviceKind, trouble: DeviceTrouble): string {
  return t(`trouble.${device}.${trouble}`);
}

/** The device that is used, or would be, where it is among those that there are. */
export function usedDevice(list: DeviceList): string | undefined {
  const there = (id: string | null) => list.available.some((device) => device.id === id);
  return [list.in_use, list.selected].find(there) ?? undefined;
}

export type Tone = "info" | "warn" | "bad";
export type NoticeAction =
  "retry_devices" | "camera_off" | "open_conversation" | "look_at_keys" | "open_devices";

export interface NoticeWords {
  text: string;
  tone: Tone;
  action?: NoticeAction;
  /** Another way on, in a call. */
  inCall?: NoticeAction | undefined;
}

const ACTION_WORDS: Record<NoticeAction, MessageKey> = {
  retry_devices: "action.tryAgain",
  camera_off: "notice.soundOnly",
  open_conversation: "action.open",
  look_at_keys: "notice.look",
  open_devices: "notice.seeDevices",
};

/** What the button of a notice says. */
export function noticeActionText(action: NoticeAction): string {
  return t(ACTION_WORDS[action] as "action.open");
}

export function noticeWords(notice: Notice): NoticeWords {
  switch (notice.kind) {
    case "device": {
      if (notice.replaced_by) {
        const device = t(`notice.device.${notice.device}`);
        const text = t(`notice.replacedBy.${notice.trouble}`, { device, name: notice.replaced_by });
        return { text, tone: "info" };
      }
      const text = troubleText(notice.device, notice.trouble);
      const inCall = notice.device === "camera" ? "camera_off" : undefined;
      return { text, tone: "warn", action: "retry_devices", inCall };
    }
    case "failed":
      if (notice.failure === "key_changed") {
        return { text: t("failure.key_changed"), tone: "bad", action: "look_at_keys" };
      }
      return { text: t(`failure.${notice.failure}`), tone: "bad" };
    case "peer_busy":
      return { text: t("notice.peer_busy", { name: notice.name }), tone: "info" };
    case "answered_elsewhere":
      return { text: t("notice.answered_elsewhere"), tone: "info" };
    case "missed_call":
      return { text: t("notice.missed_call", { name: notice.name }), tone: "info" };
    case "not_rung":
      return { text: t("notice.not_rung", { name: notice.name }), tone: "warn" };
    case "call_extended":
      return { text: t("notice.call_extended", { time: timeOfDay(notice.ends_at) }), tone: "info" };
    case "not_remembered":
      return { text: t("notice.not_remembered"), tone: "info" };
    case "not_authentic":
      return { text: t("notice.not_authentic", { name: notice.name }), tone: "bad", action: "look_at_keys" };
    case "key_changed":
      return { text: t("notice.key_changed", { name: notice.name }), tone: "bad", action: "look_at_keys" };
    case "archive_changed":
      return { text: t("notice.archive_changed"), tone: "bad", action: "look_at_keys" };
    case "message":
      return { text: t("notice.message", { name: notice.name }), tone: "info", action: "open_conversation" };
    case "transfer": {
      const reason = t(`transfer.${notice.reason}`);
      return { text: t("notice.transfer", { file: notice.file, reason }), tone: "warn" };
    }
    case "device_added":
      return { text: t("notice.device_added", { name: notice.name }), tone: "warn", action: "open_devices" };
    case "device_removed":
      return {
        text: t("notice.device_removed", { name: notice.name }),
        tone: "warn",
        action: "open_devices",
      };
    case "new_device":
      return { text: t("notice.new_device"), tone: "warn", action: "open_devices" };
  }
}

export type QualityWord = QualityClass | "unknown";

export interface EndedWords {
  title: string;
  hint?: string;
}

/** How a call that is over is summed up. */
export function endedWords(call: CallView): EndedWords {
  const name = shortName(call.peer_name);
  const incoming = call.direction === "incoming";
  if (call.not_authentic) {
    return { title: t("ended.not_authentic"), hint: t("ended.hint.not_authentic", { name: call.peer_name }) };
  }
  switch (call.end_reason) {
    case null:
    case "user_hangup":
      return { title: call.connected_at || incoming ? t("ended.user_hangup") : t("ended.cancelled") };
    case "callee_declined":
      return { title: incoming ? t("ended.youDeclined") : t("ended.callee_declined", { name }) };
    case "missed":
      return incoming
        ? { title: t("ended.missedIncoming", { name }) }
        : { title: t("ended.missed", { name }), hint: t("ended.hint.missed") };
    case "busy":
      return { title: t("ended.busy", { name }), hint: t("ended.hint.busy") };
    case "network_error":
      return { title: t("ended.network_error"), hint: t("ended.hint.network_error") };
    case "timeout":
      return { title: t("ended.timeout"), hint: t("ended.hint.timeout") };
    case "connection_failed":
      return { title: t("ended.connection_failed"), hint: t("ended.hint.connection_failed") };
    case "max_duration":
      return { title: t("ended.max_duration") };
    case "removed":
      return { title: t("ended.removed") };
    case "server_shutdown":
      return { title: t("ended.server_shutdown"), hint: t("ended.hint.server_shutdown") };
  }
}

/** How a past call went, when it was not a conversation; undefined when it was. */
export function historyOutcome(item: HistoryItem): string | undefined {
  if (item.duration_s > 0) return undefined;
  const incoming = item.direction === "incoming";
  if (item.phase === "missed") return incoming ? t("history.missed") : t("history.notAnswered");
  if (item.phase === "failed") return t("history.failed");
  switch (item.end_reason) {
    case "callee_declined":
      return t("history.declined");
    case "busy":
      return t("history.busy");
    case "missed":
      return incoming ? t("history.missed") : t("history.notAnswered");
    case "user_hangup":
      return incoming ? t("history.missed") : t("history.cancelled");
    case "connection_failed":
    case "network_error":
    case "timeout":
    case "server_shutdown":
      return t("history.failed");
    case "max_duration":
    case "removed":
    case null:
      return undefined;
  }
}
