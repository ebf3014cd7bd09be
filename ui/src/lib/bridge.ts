/**
 * The one way between the window and the engine.
 *
 * Two implementations: the app's (`bridge/tauri.ts`) and one that plays scripted situations for a browser
 * and for tests (`bridge/mock.ts`). Components never know which of them they talk to.
 */
import type { Command, MessagePage, SearchHit, Update } from "$lib/contract";
import type { FrameSource } from "$lib/frames/stream";
import type { Beneath } from "$lib/frames/underlay";

/** Whose picture. */
export type StreamKind = "remote" | "self_view";

/** Which of the app's windows this is. */
export type WindowKind = "main" | "incoming";

export interface RingingWords {
  title: string;
  body: string;
}

/** Files are held over the window, let go over it, or carried away again. */
export type Drop = { kind: "over" } | { kind: "drop"; paths: string[] } | { kind: "leave" };

export interface Bridge {
  readonly window: WindowKind;
  /** Every update from now on, beginning with a whole snapshot. */
  subscribe(listener: (update: Update) => void): void;
  /** Asks the engine for something; its effect shows in a later snapshot. */
  dispatch(command: Command): void;
  /** A stretch of a conversation, oldest first: `count` messages from the place `from` on. */
  messages(conversation: string, from: number, count: number): Promise<MessagePage>;
  /** Messages that hold `text`, in one conversation or in all. */
  search(text: string, conversation: string | null): Promise<SearchHit[]>;
  /** Lets the person choose files to send; none when they think better of it. */
  pickFiles(title: string): Promise<string[]>;
  /** Lets the person choose a folder to save into. */
  pickFolder(title: string): Promise<string | null>;
  /** Shows the folder a file is in; the file itself is never opened. */
  showFolder(path: string): Promise<void>;
  /** Opens a web address in the system's browser. */
  openLink(address: string): Promise<void>;
  /** Tells of files dragged over the window; returns how to stop. */
  watchDrops(listener: (drop: Drop) => void): () => void;
  /** Live pictures, from the moment the returned source is opened until it is closed. */
  frames(stream: StreamKind): FrameSource;
  /** Live pictures painted under the page, where the app does that; `onsize` gets the size of the first and of each
   * of another size. */
  readonly beneath:
    ((stream: StreamKind, onsize: (width: number, height: number) => void) => Beneath) | undefined;
  /** Says outside the window that somebody calls, in these words. */
  showRinging(words: RingingWords): void;
  /** Nothing outside the main window says any more that it rings; `forward` brings that one to the front. */
  hideRinging(forward: boolean): void;
  /** Fills the screen with the window, or stops doing so. */
  setFullScreen(on: boolean): Promise<void>;
  /** Whether there is no GPU to draw with. */
  readonly drawsInSoftware: boolean;
  /** A server address given on the command line. */
  readonly server: string | undefined;
  /** The app's version, for the settings page. */
  version(): Promise<string>;
}
