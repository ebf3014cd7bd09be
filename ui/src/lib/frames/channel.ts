/** Frames over Tauri's own channel: slower, and permitted everywhere. */
import { Channel, invoke } from "@tauri-apps/api/core";
import type { StreamKind } from "$lib/bridge";
import type { FrameSource } from "./stream";

export class ChannelSource implements FrameSource {
  #stream: StreamKind;
  #id: Promise<number> | undefined;

  constructor(stream: StreamKind) {
    this.#stream = stream;
  }

  open(onMessage: (message: ArrayBuffer) => void): void {
    const frames = new Channel<ArrayBuffer>();
    frames.onmessage = onMessage;
    this.#id = invoke<number>("frame_channel", { stream: this.#stream, frames });
  }

  send(message: ArrayBuffer): void {
    const bytes = [...new Uint8Array(message)];
    void this.#id?.then((id) => invoke("frame_feedback", { id, bytes }));
  }

  close(): void {
    void this.#id?.then((id) => invoke("frame_channel_close", { id }));
  }
}
