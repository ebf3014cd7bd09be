/**
 * What travels over a frame stream: pictures one way, acknowledgements and the shown size the other.
 *
 * The same layout as `src-tauri/src/frames/wire.rs`; all numbers little-endian.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | `BSF1` |
 * | 4 | 4 | sequence, grows by one per frame sent |
 * | 8 | 8 | capture time, microseconds on the sender's monotonic clock |
 * | 16 | 2 | width, even |
 * | 18 | 2 | height, even |
 * | 20 | 1 | colour: 1 = BT.601, limited range |
 * | 21 | 3 | zero |
 * | 24 | … | planes Y, U, V, tightly packed |
 */

export const HEADER_BYTES = 24;
const MAGIC = 0x31465342; // "BSF1"
const MAX_SIDE = 4096;

export interface Picture {
  sequence: number;
  width: number;
  height: number;
  y: Uint8Array;
  u: Uint8Array;
  v: Uint8Array;
  /** All three, one after the other. */
  planes: Uint8Array<ArrayBuffer>;
}

/** The picture in a message; undefined when the message is none. */
export function parsePicture(message: ArrayBuffer): Picture | undefined {
  if (message.byteLength < HEADER_BYTES) return undefined;
  const view = new DataView(message);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(20) !== 1) return undefined;
  const width = view.getUint16(16, true);
  const height = view.getUint16(18, true);
  if (!width || !height || width % 2 || height % 2 || width > MAX_SIDE || height > MAX_SIDE) return undefined;
  const luma = width * height;
  const chroma = luma / 4;
  if (message.byteLength !== HEADER_BYTES + luma + 2 * chroma) return undefined;
  return {
    sequence: view.getUint32(4, true),
    width,
    height,
    y: new Uint8Array(message, HEADER_BYTES, luma),
    u: new Uint8Array(message, HEADER_BYTES + luma, chroma),
    v: new Uint8Array(message, HEADER_BYTES + luma + chroma, chroma),
    planes: new Uint8Array(message, HEADER_BYTES),
  };
}

/** Lays a picture out as a message; the mock's and the tests' side of {@link parsePicture}. */
export function writePicture(sequence: number, width: number, height: number): [ArrayBuffer, Picture] {
  const message = new ArrayBuffer(HEADER_BYTES + (width * height * 3) / 2);
  const view = new DataView(message);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, sequence, true);
  view.setUint16(16, width, true);
  view.setUint16(18, height, true);
  view.setUint8(20, 1);
  return [message, parsePicture(message)!];
}

/** The frame was drawn (or skipped): the next one may come. */
export function drawn(sequence: number): ArrayBuffer {
  const message = new ArrayBuffer(5);
  const view = new DataView(message);
  view.setUint8(0, 1);
  view.setUint32(1, sequence, true);
  return message;
}

/** The picture is shown at this many device pixels: more need not be sent. */
export function shownSize(width: number, height: number): ArrayBuffer {
  const message = new ArrayBuffer(5);
  const view = new DataView(message);
  view.setUint8(0, 2);
  view.setUint16(1, Math.min(width, MAX_SIDE), true);
  view.setUint16(3, Math.min(height, MAX_SIDE), true);
  return message;
}
