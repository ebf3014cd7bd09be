// Two Chromium browsers in one call, for the comparison in docs/benchmarks.md.
//
// Speaks to its caller in lines of JSON: {"event":"connected","processes":[caller, callee]} once the call runs, then
// {"event":"done","sides":[…]}. Settings come as one JSON argument:
// {chromium, film, speech, seconds, bitrate_bps, modules}.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const settings = JSON.parse(process.argv[2]);
const { chromium } = createRequire(settings.modules)("playwright-core");

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

// getUserMedia wants a secure origin; http://127.0.0.1 is one.
const site = createServer((_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><video id=remote autoplay playsinline style='width:1280px;height:720px'></video>");
});
await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
const address = `http://127.0.0.1:${site.address().port}/`;

async function side(speech) {
  const server = await chromium.launchServer({
    executablePath: settings.chromium,
    headless: true,
    args: [
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-video-capture=${settings.film}`,
      `--use-file-for-fake-audio-capture=${speech}`,
      "--autoplay-policy=no-user-gesture-required",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-gpu",
      "--disable-quic",
      "--disable-sync",
      "--no-first-run",
      "--no-sandbox",
    ],
  });
  const browser = await chromium.connect(server.wsEndpoint());
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  await page.goto(address);
  return { server, page, process: server.process().pid };
}

const [caller, callee] = await Promise.all(settings.speech.map(side));

// Runs in the page: camera, microphone, connection; frame times are kept from the start.
const prepare = async ({ bitrate }) => {
  const media = await navigator.mediaDevices.getUserMedia({
    video: { width: 1280, height: 720, frameRate: 30 },
    audio: true,
  });
  const connection = new RTCPeerConnection();
  const video = document.querySelector("#remote");
  const state = { connection, candidates: [], first: null, decoded: [], drawn: [] };
  window.call = state;
  connection.ontrack = (event) => {
    video.srcObject = event.streams[0];
  };
  connection.onicecandidate = ({ candidate }) => candidate && window.relay(candidate.toJSON());
  const frame = (now, facts) => {
    state.first ??= performance.timeOrigin + now;
    // `captureTime` is the sender's, brought to this clock by RTCP; the picture leaves the decoder and its buffer at
    // `presentationTime` and is expected on the screen at `expectedDisplayTime`.
    if (facts.captureTime) {
      state.decoded.push(facts.presentationTime - facts.captureTime);
      state.drawn.push(facts.expectedDisplayTime - facts.captureTime);
    }
    video.requestVideoFrameCallback(frame);
  };
  video.requestVideoFrameCallback(frame);
  // Tracks, not transceivers: only these are matched with the offer's on the side that answers.
  for (const track of media.getTracks()) connection.addTrack(track, media);
  state.prefer = () => {
    for (const transceiver of connection.getTransceivers()) {
      if (transceiver.sender.track?.kind !== "video") continue;
      const codecs = RTCRtpReceiver.getCapabilities("video").codecs;
      const h264 = codecs.filter(
        ({ mimeType, sdpFmtpLine = "" }) =>
          mimeType === "video/H264" &&
          sdpFmtpLine.includes("packetization-mode=1") &&
          sdpFmtpLine.includes("profile-level-id=42"),
      );
      transceiver.setCodecPreferences([...h264, ...codecs.filter((codec) => codec.mimeType === "video/rtx")]);
    }
  };
  state.limit = async () => {
    const sender = connection.getSenders().find((one) => one.track?.kind === "video");
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) {
      encoding.maxBitrate = bitrate;
      encoding.maxFramerate = 30;
    }
    await sender.setParameters(parameters);
  };
  // Candidates may come before the description they belong to.
  state.add = (candidate) =>
    connection.remoteDescription ? connection.addIceCandidate(candidate) : state.candidates.push(candidate);
  state.describe = async (remote) => {
    await connection.setRemoteDescription(remote);
    for (const candidate of state.candidates.splice(0)) await connection.addIceCandidate(candidate);
  };
};

for (const [from, to] of [
  [caller, callee],
  [callee, caller],
]) {
  await from.page.exposeFunction("relay", (candidate) =>
    to.page.evaluate((one) => void window.call.add(one), candidate),
  );
}
await Promise.all([caller, callee].map(({ page }) => page.evaluate(prepare, { bitrate: settings.bitrate_bps })));

// The callee has answered; from here to the first picture is what a person waits for.
const accepted = Date.now();
const offer = await caller.page.evaluate(async () => {
  const { connection, prefer } = window.call;
  prefer();
  await connection.setLocalDescription(await connection.createOffer());
  return connection.localDescription.toJSON();
});
const answer = await callee.page.evaluate(async (remote) => {
  const { connection, prefer, describe, limit } = window.call;
  await describe(remote);
  prefer();
  await connection.setLocalDescription(await connection.createAnswer());
  await limit();
  return connection.localDescription.toJSON();
}, offer);
await caller.page.evaluate(async (remote) => {
  await window.call.describe(remote);
  await window.call.limit();
}, answer);
await Promise.all(
  [caller, callee].map(({ page }) => page.waitForFunction(() => window.call.first !== null, null, { timeout: 30_000 })),
);
say({ event: "connected", processes: [caller.process, callee.process] });

const statistics = async ({ page }) =>
  page.evaluate(async () => {
    const all = [...(await window.call.connection.getStats()).values()];
    const of = (type, kind) => all.find((one) => one.type === type && one.kind === kind) ?? {};
    const video = of("inbound-rtp", "video");
    const audio = of("inbound-rtp", "audio");
    const pair = all.find((one) => one.type === "candidate-pair" && one.nominated) ?? {};
    return {
      now: performance.now(),
      first: window.call.first,
      to_decoded: window.call.decoded.splice(0),
      to_drawn: window.call.drawn.splice(0),
      width: video.frameWidth,
      height: video.frameHeight,
      decoded: video.framesDecoded,
      received_bytes: video.bytesReceived,
      freezes: video.freezeCount,
      freeze_s: video.totalFreezesDuration,
      codec: all.find((one) => one.id === video.codecId)?.mimeType,
      audio_delay_s: audio.jitterBufferDelay / audio.jitterBufferEmittedCount,
      rtt_s: pair.currentRoundTripTime,
    };
  });

// The second in which the full picture size is first decoded.
const full = [null, null];
const sides = [caller, callee];
const begin = await Promise.all(sides.map(statistics));
const toDecoded = [[], []];
const toDrawn = [[], []];
let last = begin;
const until = Date.now() + settings.seconds * 1000;
while (Date.now() < until) {
  await new Promise((next) => setTimeout(next, 1000));
  last = await Promise.all(sides.map(statistics));
  last.forEach((one, index) => {
    toDecoded[index].push(...one.to_decoded);
    toDrawn[index].push(...one.to_drawn);
    if (full[index] === null && one.width >= 1280) full[index] = Date.now() - accepted;
  });
}

const percentiles = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : null);
  return { p50: at(0.5), p95: at(0.95) };
};
say({
  event: "done",
  sides: last.map((end, index) => {
    const start = begin[index];
    const seconds = (end.now - start.now) / 1000;
    return {
      setup_ms: { accept_to_first_frame: end.first - accepted, accept_to_full_size: full[index] },
      video: {
        codec: end.codec,
        width: end.width,
        height: end.height,
        fps_decoded: (end.decoded - start.decoded) / seconds,
        freezes: end.freezes,
        freeze_ms: end.freeze_s * 1000,
        bitrate_bps: ((end.received_bytes - start.received_bytes) * 8) / seconds,
        latency_ms: percentiles(toDecoded[index]),
        drawn_ms: percentiles(toDrawn[index]),
      },
      audio: { playout_delay_ms: end.audio_delay_s * 1000 },
      network: { rtt_ms: end.rtt_s * 1000 },
    };
  }),
});
await Promise.all([caller, callee].map(({ server }) => server.close()));
site.close();
