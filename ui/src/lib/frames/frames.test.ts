import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { toRgba } from "./canvas";
import { drawn, HEADER_BYTES, parsePicture, shownSize, writePicture } from "./protocol";
import { FrameStream, type FrameSource, type Painter } from "./stream";

class FakeSource implements FrameSource {
  sent: ArrayBuffer[] = [];
  deliver: (message: ArrayBuffer) => void = () => {};
  closed = false;
  open(onMessage: (message: ArrayBuffer) => void): void {
    this.deliver = onMessage;
  }
  send(message: ArrayBuffer): void {
    this.sent.push(message);
  }
  close(): void {
    this.closed = true;
  }
}

describe("a frame message", () => {
  it("gives back planes of the right size", () => {
    const [message] = writePicture(7, 64, 32);
    const picture = parsePicture(message)!;
    expect([picture.sequence, picture.width, picture.height]).toEqual([7, 64, 32]);
    expect([picture.y.length, picture.u.length, picture.v.length]).toEqual([2048, 512, 512]);
  });

  it("is refused when it is cut, odd, foreign or of another colour", () => {
    const [good] = writePicture(1, 16, 16);
    expect(parsePicture(good.slice(0, HEADER_BYTES - 1))).toBeUndefined();
    expect(parsePicture(good.slice(0, good.byteLength - 1))).toBeUndefined();
    const spoil = (at: number, value: number) => {
      const copy = good.slice(0);
      new DataView(copy).setUint8(at, value);
      return parsePicture(copy);
    };
    expect(spoil(0, 0)).toBeUndefined();
    expect(spoil(16, 15)).toBeUndefined();
    expect(spoil(20, 9)).toBeUndefined();
  });
});

describe("a stream", () => {
  let callbacks: (() => void)[] = [];
  const nextFrame = () => callbacks.splice(0).forEach((callback) => callback());
  beforeEach(() => {
    callbacks = [];
    vi.stubGlobal("requestAnimationFrame", (callback: () => void) => callbacks.push(callback));
  });
  afterEach(() => vi.unstubAllGlobals());

  const painted: number[] = [];
  const painter: Painter = { paint: (picture) => painted.push(picture.sequence), release: () => {} };

  it("acknowledges after drawing, not on arrival", () => {
    const source = new FakeSource();
    new FrameStream(source, painter);
    source.deliver(writePicture(1, 2, 2)[0]);
    expect(source.sent).toHaveLength(0);
    nextFrame();
    expect(source.sent).toEqual([drawn(1)]);
  });

  it("draws the newest of two that wait and acknowledges both", () => {
    painted.length = 0;
    const source = new FakeSource();
    new FrameStream(source, painter);
    source.deliver(writePicture(1, 2, 2)[0]);
    source.deliver(writePicture(2, 2, 2)[0]);
    nextFrame();
    expect(painted).toEqual([2]);
    expect(source.sent).toEqual([drawn(1), drawn(2)]);
  });

  it("tells a shown size once", () => {
    const source = new FakeSource();
    const stream = new FrameStream(source, painter);
    stream.resize(640, 360);
    stream.resize(640, 360);
    stream.resize(320, 180);
    expect(source.sent).toEqual([shownSize(640, 360), shownSize(320, 180)]);
  });

  it("draws nothing once closed", () => {
    painted.length = 0;
    const source = new FakeSource();
    const stream = new FrameStream(source, painter);
    source.deliver(writePicture(1, 2, 2)[0]);
    stream.close();
    nextFrame();
    expect(painted).toEqual([]);
    expect(source.closed).toBe(true);
  });
});

describe("conversion without a GPU", () => {
  const convert = (y: number, u: number, v: number) => {
    const [, picture] = writePicture(0, 2, 2);
    picture.y.fill(y);
    picture.u.fill(u);
    picture.v.fill(v);
    const out = new Uint8ClampedArray(16);
    toRgba(picture, out);
    return [...out.slice(0, 3)];
  };

  it("knows BT.601 black, white and red", () => {
    expect(convert(16, 128, 128)).toEqual([0, 0, 0]);
    convert(235, 128, 128).forEach((channel) => expect(channel).toBeGreaterThanOrEqual(254));
    const [r, g, b] = convert(81, 90, 240);
    expect(r).toBeGreaterThan(250);
    expect(g).toBeLessThan(4);
    expect(b).toBeLessThan(4);
  });
});
