"""The side channels of ML-Agents 1.x: environment parameters, engine settings and statistics.

They are bytes: the channel's id (16 bytes), the length of the message and the message, over and over. Numbers take 4
bytes, little-endian; a string is its length and its characters.
"""

from __future__ import annotations

import struct
import uuid

from .scene import Parameters, Sampler

ENVIRONMENT_PARAMETERS = uuid.UUID("534c891e-810f-11ea-a9d0-822485860400").bytes_le
ENGINE = uuid.UUID("e951342c-4f7e-11ea-b238-784f4387d1f7").bytes_le
STATISTICS = uuid.UUID("a1d8f7b7-cec8-50f9-b78b-d3e165a78520").bytes_le
FIXED = 0
SAMPLERS = ("uniform", "gaussian", "multirange_uniform")
"""By their numbers in a message."""
TIME_SCALE, TARGET_FRAME_RATE, CAPTURE_FRAME_RATE = 2, 3, 4
AVERAGE = 0


class Engine:
    """The engine's settings that make a difference without graphics, at first Unity's defaults.

    Attributes
    ----------
    time_scale : float
        Simulated seconds in a second.
    target_frame_rate : int
        Frames in a second, at most; none is below 0.
    capture_frame_rate : int
        Frames in a simulated second, times `time_scale`, whatever they take; 0 to follow the clock.
    """

    def __init__(self) -> None:
        self.time_scale, self.target_frame_rate, self.capture_frame_rate = 1.0, -1, 0

    def set(self, message: Reader) -> None:
        """Take a setting. Resolution and quality have no effect."""
        kind = message.int()
        if kind == TIME_SCALE:
            self.time_scale = message.float()
        elif kind == TARGET_FRAME_RATE:
            self.target_frame_rate = message.int()
        elif kind == CAPTURE_FRAME_RATE:
            self.capture_frame_rate = message.int()

    @property
    def pace(self) -> float:
        """Seconds that each simulated second takes at least."""
        scale = max(self.time_scale, 1e-3)  # Unity stands still at 0
        if self.capture_frame_rate <= 0:
            return 1 / scale
        return self.capture_frame_rate / self.target_frame_rate / scale if self.target_frame_rate > 0 else 0.0


class Reader:
    """Reads a message from its start to its end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        self.at += count
        if self.at > len(self.content):
            raise ValueError(f"Expected a side channel with {self.at} bytes or more, got {len(self.content)}.")
        return self.content[self.at - count : self.at]

    def int(self) -> int:
        """Return the next whole number."""
        return struct.unpack("<i", self.bytes(4))[0]

    def float(self) -> float:
        """Return the next number."""
        return struct.unpack("<f", self.bytes(4))[0]

    def text(self) -> str:
        """Return the next string."""
        return self.bytes(self.int()).decode("ascii")


def read(content: bytes, engine: Engine) -> Parameters:
    """Return the environment parameters that the trainer sets, and take its engine settings. Ignore other channels.

    Raises
    ------
    ValueError
        If a message is cut off or has an unknown kind of parameter.
    """
    parameters: Parameters = {}
    whole = Reader(content)
    while whole.at < len(content):
        channel = whole.bytes(16)
        message = Reader(whole.bytes(whole.int()))
        if channel == ENGINE:
            engine.set(message)
        elif channel == ENVIRONMENT_PARAMETERS:
            name = message.text()
            parameters[name] = message.float() if message.int() == FIXED else sampler(message)
    return parameters


def sampler(message: Reader) -> Sampler:
    """Read a distribution that values are drawn from."""
    seed, kind = message.int(), message.int()
    if not 0 <= kind < len(SAMPLERS):
        raise ValueError(f"Expected a sampler out of {', '.join(SAMPLERS)}, got number {kind}.")
    count = message.int() if SAMPLERS[kind] == "multirange_uniform" else 2
    return Sampler(SAMPLERS[kind], [message.float() for _ in range(count)], seed)


def statistic(name: str, value: float) -> bytes:
    """Return a message to the trainer's statistics, which average the values of a summary."""
    key = name.encode("ascii")
    content = struct.pack("<i", len(key)) + key + struct.pack("<fi", value, AVERAGE)
    return STATISTICS + struct.pack("<i", len(content)) + content
