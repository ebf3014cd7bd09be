/** The bridge of the installed app: Tauri commands and channels. */
import { getVersion } from "@tauri-apps/api/app";
import { Channel, invoke } from "@tauri-apps/api/core";
import { getCurrentWebview } from "@tauri-apps/api/webview";
import { getCurrentWindow } from "@tauri-apps/api/window";
import type { Bridge, Drop, RingingWords, StreamKind, WindowKind } from "$lib/bridge";
import type { Command, MessagePage, SearchHit, Update } from "$lib/contract";
import { ChannelSource } from "$lib/frames/channel";
import { SocketSource } from "$lib/frames/socket";
import type { FrameSource } from "$lib/frames/stream";
import type { Beneath } from "$lib/frames/underlay";

/** What the app tells the page before it loads. */
const given = window as {
  __BEDSIDE_SERVER__?: string;
  __BEDSIDE_NO_GPU__?: boolean;
  __BEDSIDE_UNDERLAY__?: boolean;
};

function beneath(stream: StreamKind, onsize: (width: number, height: number) => void): Beneath {
  const sizes = new Channel<[number, number]>();
  sizes.onmessage = ([width, height]) => onsize(width, height);
  const opened = invoke<number>("underlay_open", { stream, sizes });
  return {
    place: (place) => void opened.then((id) => invoke("underlay_place", { id, place })),
    close: () => void opened.then((id) => invoke("underlay_close", { id })),
  };
}

export class TauriBridge implements Bridge {
  readonly window: WindowKind = getCurrentWindow().label === "incoming" ? "incoming" : "main";

  readonly drawsInSoftware = given.__BEDSIDE_NO_GPU__ ?? false;
  readonly beneath = given.__BEDSIDE_UNDERLAY__ ? beneath : undefined;
  readonly server = given.__BEDSIDE_SERVER__;

  subscribe(listener: (update: Update) => void): void {
    const updates = new Channel<Update>();
    updates.onmessage = listener;
    void invoke("subscribe", { updates });
  }

  dispatch(command: Command): void {
    void invoke("dispatch", { command });
  }

  messages(conversation: string, from: number, count: number): Promise<MessagePage> {
    return invoke("messages", { conversationId: conversation, from, count });
  }

  search(text: string, conversation: string | null): Promise<SearchHit[]> {
    return invoke("search", { text, conversationId: conversation });
  }

  pickFiles(title: string): Promise<string[]> {
    return invoke("pick_files", { title });
  }

  pickFolder(title: string): Promise<string | null> {
    return invoke("pick_folder", { title });
  }

  showFolder(path: string): Promise<void> {
    return invoke("show_folder", { path });
  }

  openLink(address: string): Promise<void> {
    return invoke("open_link", { address });
  }

  watchDrops(listener: (drop: Drop) => void): () => void {
    const stop = getCurrentWebview().onDragDropEvent(({ payload }) => {
      if (payload.type === "drop") listener({ kind: "drop", paths: payload.paths });
      else listener({ kind: payload.type === "leave" ? "leave" : "over" });
    });
    return () => void stop.then((unlisten) => unlisten());
  }

  frames(stream: StreamKind): FrameSource {
    return new SocketSource(
      async () => (await invoke<{ url: string }>("frame_endpoint", { stream })).url,
      () => new ChannelSource(stream),
    );
  }

  showRinging(words: RingingWords): void {
    void invoke("show_ringing", { words });
  }

  hideRinging(forward: boolean): void {
    void invoke("hide_ringing", { forward });
  }

  async setFullScreen(on: boolean): Promise<void> {
    await getCurrentWindow().setFullscreen(on);
  }

  version(): Promise<string> {
    return getVersion();
  }
}
