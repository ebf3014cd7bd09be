/** Frames over a loopback WebSocket; where it cannot open, another source takes over. */
import type { FrameSource } from "./stream";

const RETRY_MS = 500;

export class SocketSource implements FrameSource {
  #endpoint: () => Promise<string>;
  #fallback: () => FrameSource;
  #socket: WebSocket | undefined;
  #other: FrameSource | undefined;
  #closed = false;
  #opened = false;
  /** The last thing said about size, said again on every new connection. */
  #size: ArrayBuffer | undefined;

  /** `endpoint` gives a fresh address with its one-time token; `fallback` makes the other way. */
  constructor(endpoint: () => Promise<string>, fallback: () => FrameSource) {
    this.#endpoint = endpoint;
    this.#fallback = fallback;
  }

  open(onMessage: (message: ArrayBuffer) => void): void {
    void this.#connect(onMessage);
  }

  send(message: ArrayBuffer): void {
    if (new DataView(message).getUint8(0) === 2) this.#size = message;
    if (this.#other) this.#other.send(message);
    else if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(message);
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
    this.#other?.close();
  }

  async #connect(onMessage: (message: ArrayBuffer) => void): Promise<void> {
    let socket: WebSocket;
    try {
      const url = await this.#endpoint();
      if (this.#closed) return;
      socket = new WebSocket(url);
    } catch {
      this.#fallBack(onMessage);
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#opened = true;
      if (this.#closed) socket.close();
      else if (this.#size) socket.send(this.#size);
    };
    socket.onmessage = (event) => onMessage(event.data as ArrayBuffer);
    socket.onclose = () => {
      if (this.#closed) return;
      // One that has worked is tried again; one that never opened is not permitted here.
      if (this.#opened) setTimeout(() => !this.#closed && void this.#connect(onMessage), RETRY_MS);
      else this.#fallBack(onMessage);
    };
  }

  #fallBack(onMessage: (message: ArrayBuffer) => void): void {
    if (this.#closed || this.#other) return;
    this.#other = this.#fallback();
    this.#other.open(onMessage);
    if (this.#size) this.#other.send(this.#size);
  }
}
