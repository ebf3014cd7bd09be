#!/usr/bin/env python3
"""Synthesises the app's sounds: soft bell-like tones, made for Bedside. Run it in this folder."""

import math
import struct
import wave

RATE = 22_050


def bell(frequency: float, seconds: float, loudness: float) -> list[float]:
    """A struck tone: a fundamental with two quiet partials, a soft attack and an exponential tail."""
    out = []
    for n in range(int(seconds * RATE)):
        at = n / RATE
        attack = min(1.0, at / 0.012)
        tone = (
            math.sin(2 * math.pi * frequency * at)
            + 0.28 * math.sin(2 * math.pi * 2 * frequency * at) * math.exp(-6 * at)
            + 0.12 * math.sin(2 * math.pi * 3.01 * frequency * at) * math.exp(-11 * at)
        )
        release = min(1.0, (seconds - at) / 0.03)
        out.append(loudness * attack * release * tone * math.exp(-3.4 * at) / 1.4)
    return out


def mix(length: float, notes: list[tuple[float, float, float, float]]) -> list[float]:
    """Notes of (start s, frequency Hz, seconds, loudness) laid over silence."""
    out = [0.0] * int(length * RATE)
    for start, frequency, seconds, loudness in notes:
        offset = int(start * RATE)
        for n, sample in enumerate(bell(frequency, seconds, loudness)):
            if offset + n < len(out):
                out[offset + n] += sample
    return out


def save(name: str, samples: list[float]) -> None:
    with wave.open(name, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(
            b"".join(struct.pack("<h", int(max(-1.0, min(1.0, s)) * 32767)) for s in samples)
        )


G4, B4, C5, D5, E5, G5 = 392.0, 493.88, 523.25, 587.33, 659.26, 783.99

# Two calm rising calls, then a rest: loops every three seconds.
save(
    "ring.wav",
    mix(3.0, [(0.0, C5, 1.0, 0.42), (0.18, E5, 1.0, 0.42), (0.36, G5, 1.2, 0.42), (0.9, E5, 1.0, 0.3), (1.08, G5, 1.2, 0.34)]),
)
save("ringback.wav", mix(3.5, [(0.0, G4, 0.9, 0.22), (0.22, B4, 1.0, 0.2)]))
save("joined.wav", mix(0.9, [(0.0, D5, 0.7, 0.34), (0.12, G5, 0.75, 0.34)]))
save("left.wav", mix(0.9, [(0.0, G5, 0.7, 0.28), (0.12, D5, 0.75, 0.28)]))
