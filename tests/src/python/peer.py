"""A peer made of aiortc that speaks the language of tests/src/outside.rs, one JSON message per line."""

import array
import asyncio
import base64
import fractions
import json
import math
import sys
import time
import traceback

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

RATE = 48000
WIDTH, HEIGHT = 640, 360
# Y, U, V of what is sent: far from grey, so that a swapped plane would show.
COLOUR = (90, 60, 190)


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tone(index):
    """The test tone of bedside_media::audio::tone_sample."""
    t = (index % RATE) / RATE
    phase = 250 * t + 2250 * t * t / 2
    return 0.4 * (0.5 - 0.5 * math.cos(2 * math.pi * 4 * t)) * math.sin(2 * math.pi * (phase % 1))


TONE = array.array("h", (round(32767 * tone(index)) for index in range(RATE)))


class Paced(MediaStreamTrack):
    """A track whose frames come when they are due."""

    def __init__(self, interval):
        super().__init__()
        self.interval = interval
        self.start = None
        self.number = -1

    async def due(self):
        if self.readyState != "live":
            raise MediaStreamError
        self.number += 1
        self.start = self.start or time.monotonic()
        await asyncio.sleep(max(0, self.start + self.number * self.interval - time.monotonic()))


class Tone(Paced):
    kind = "audio"

    def __init__(self):
        super().__init__(0.02)

    async def recv(self):
        await self.due()
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        first = self.number * 960 % RATE
        frame.planes[0].update(TONE[first : first + 960].tobytes())
        frame.sample_rate = RATE
        frame.pts = self.number * 960
        frame.time_base = fractions.Fraction(1, RATE)
        return frame


class Colour(Paced):
    kind = "video"

    def __init__(self):
        super().__init__(1 / 30)

    async def recv(self):
        await self.due()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, value in zip(frame.planes, COLOUR):
            samples = bytearray([value]) * plane.buffer_size
            # A line that moves, so that every picture differs from the one before.
            line = self.number % plane.height * plane.line_size
            samples[line : line + plane.line_size] = bytes([128]) * plane.line_size
            plane.update(bytes(samples))
        frame.pts = self.number * 3000
        frame.time_base = fractions.Fraction(1, 90000)
        return frame


class Peer:
    def __init__(self, settings):
        servers = [
            RTCIceServer(urls=one["urls"], username=one.get("username"), credential=one.get("credential"))
            for one in settings.get("ice_servers", [])
        ]
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self.frames = 0
        self.picture = None
        self.sound = array.array("f")
        self.readers = []
        self.channel = self.connection.createDataChannel("bedside", negotiated=True, id=0)
        self.channel.on("open", lambda: say(type="channel"))
        self.channel.on("message", lambda data: say(type="message", text=bytes(data).decode()))
        if self.channel.readyState == "open":
            say(type="channel")
        self.connection.on("track", lambda track: self.readers.append(asyncio.ensure_future(self.read(track))))
        self.tracks = [Tone(), Colour()]

    async def begin(self, settings):
        if settings["offerer"]:
            self.add_tracks()
            await self.connection.setLocalDescription(await self.connection.createOffer())
            say(type="offer", sdp=self.connection.localDescription.sdp)

    def add_tracks(self):
        for track in self.tracks:
            self.connection.addTrack(track)
        wanted = [
            codec
            for codec in RTCRtpReceiver.getCapabilities("video").codecs
            if codec.mimeType.lower() in ("video/h264", "video/rtx")
        ]
        for transceiver in self.connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences(wanted)

    async def offer(self, message):
        await self.connection.setRemoteDescription(RTCSessionDescription(message["sdp"], "offer"))
        if not any(sender.track for sender in self.connection.getSenders()):
            self.add_tracks()
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        say(type="answer", sdp=self.connection.localDescription.sdp)

    async def answer(self, message):
        await self.connection.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))

    async def candidate(self, message):
        init = message["candidate"]
        if not init["candidate"]:
            return
        candidate = candidate_from_sdp(init["candidate"].removeprefix("candidate:"))
        candidate.sdpMid = init.get("sdpMid")
        candidate.sdpMLineIndex = init.get("sdpMLineIndex")
        await self.connection.addIceCandidate(candidate)

    async def message(self, message):
        self.channel.send(message["text"].encode())

    async def read(self, track):
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        try:
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.frames += 1
                    self.picture = frame
                    continue
                for part in resampler.resample(frame):
                    self.sound.frombytes(bytes(part.planes[0])[: part.samples * 4])
                del self.sound[:-RATE]
        except MediaStreamError:
            pass

    async def ask_picture(self, _):
        frame = self.picture
        if frame is None:
            return say(type="picture")
        if frame.format.name != "yuv420p":
            frame = frame.reformat(format="yuv420p")
        planes = {}
        for name, plane in zip("yuv", frame.planes):
            data = bytes(plane)
            lines = (data[line * plane.line_size :][: plane.width] for line in range(plane.height))
            planes[name] = base64.b64encode(b"".join(lines)).decode()
        say(type="picture", width=frame.width, height=frame.height, **planes)

    async def ask_sound(self, _):
        say(type="sound", samples=base64.b64encode(self.sound.tobytes()).decode())

    async def ask_report(self, _):
        codecs = [
            codec.mimeType
            for transceiver in self.connection.getTransceivers()
            if transceiver.kind == "video"
            for codec in transceiver._codecs
            if not codec.mimeType.endswith("rtx")
        ]
        say(
            type="report",
            state=self.connection.connectionState,
            frames_decoded=self.frames,
            codec=codecs[0] if codecs else "",
        )

    async def close(self, _):
        await self.connection.close()


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = None
    while line := await reader.readline():
        message = json.loads(line)
        kind = message["type"]
        try:
            if kind == "begin":
                peer = Peer(message)
                await peer.begin(message)
            elif kind in ("picture", "sound", "report"):
                await getattr(peer, f"ask_{kind}")(message)
            else:
                await getattr(peer, kind)(message)
        except Exception:
            say(type="failure", what=f"{kind}: {traceback.format_exc()}")


asyncio.run(main())
