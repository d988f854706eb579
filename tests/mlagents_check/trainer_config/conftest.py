"""Trainer configs small enough to learn from in seconds, and the parts of a demonstration."""

import copy
import io
import struct

import pytest
import yaml
from PIL import Image

from tests.conftest import find_trainer

PPO = {
    "trainer": "ppo",
    "batch_size": 16,
    "beta": 0.005,
    "buffer_size": 64,
    "epsilon": 0.2,
    "hidden_units": 8,
    "lambd": 0.95,
    "learning_rate": 0.0003,
    "max_steps": 1000,
    "memory_size": 16,
    "normalize": False,
    "num_epoch": 1,
    "num_layers": 1,
    "time_horizon": 5,
    "sequence_length": 4,
    "summary_freq": 10,
    "use_recurrent": False,
    "reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.99}},
}
SAC = {key: value for key, value in PPO.items() if key not in ("beta", "epsilon", "lambd", "num_epoch")} | {
    "trainer": "sac",
    "buffer_init_steps": 0,
    "init_entcoef": 0.5,
    "num_update": 1,
    "tau": 0.005,
    "vis_encode_type": "simple",
}
BC = {
    key: PPO[key]
    for key in [
        "batch_size",
        "summary_freq",
        "max_steps",
        "use_recurrent",
        "hidden_units",
        "learning_rate",
        "num_layers",
    ]
} | {
    "trainer": "offline_bc",
    "sequence_length": 4,
    "memory_size": 16,
    "batches_per_epoch": 2,
    "demo_path": "Ball.demo",
}
BASES = {"ppo": PPO, "sac": SAC, "offline_bc": BC}
GONE = object()


def changed(trainer, *changes):
    """Return the settings of a trainer with changes: pairs of a dotted key and its value, GONE to delete it."""
    settings = copy.deepcopy(BASES[trainer])
    for path, value in changes:
        *above, last = path.split(".")
        inner = settings
        for key in above:
            inner = inner[key]
        if value is GONE:
            del inner[last]
        else:
            inner[last] = value
    return settings


def varint(number):
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def demo(
    steps=30, brain="Ball", observations=4, actions=(2,), promised=None, stacked=1, continuous=True, cameras=(), **more
):
    """Bytes of a demonstration as Unity's recorder writes it; cameras are height, width and channels.

    More: `closed` (False: the recording was never ended), `trailer`, `later` (as 0.12 and later do), `header_bytes` (20
    until 0.6), `nan` (step -> how many of its observations are NaN).
    """

    def message(data):
        return varint(len(data)) + data

    header = b"\x08\x01" + b"\x12" + message(b"Ball") + b"\x18" + varint(steps if promised is None else promised)
    header += b"\x20\x03\x2d" + struct.pack("<f", 0.9)
    closed = more.get("closed", True)
    data = message(header if closed else header[:8]).ljust(more.get("header_bytes", 32) + 1, b"\0")
    width = actions[0] if continuous else len(actions)
    brain_parameters = b"\x08" + varint(observations) + b"\x10" + varint(stacked) + b"\x1a" + message(bytes(actions))
    brain_parameters += (b"\x2a" + message(b"")) * width + bytes([0x30, continuous]) + b"\x3a" + message(brain.encode())
    data += message(brain_parameters)
    images = b""
    for camera in cameras:
        pixels = io.BytesIO()
        Image.new("RGB", (camera[1], camera[0]), (9, 5, 200)).save(pixels, "PNG")
        images += b"\x6a" + message(b"\x0a" + message(bytes(camera)) + b"\x10\x01\x1a" + message(pixels.getvalue()))
    for step in range(steps):
        spoilt = more.get("nan", {}).get(step, 0)
        seen = [float("nan")] * spoilt + [0.1 * step] * (observations * stacked - spoilt)
        floats = struct.pack(f"<{observations * stacked}f", *seen)
        taken = struct.pack(f"<{width}f", *[0.5 if continuous else 1] * width)
        info = b"\x0a" + message(floats) + b"\x22" + message(taken)
        info += b"\x3d" + struct.pack("<f", 0.1) + b"\x40" + (b"\x01" if step % 10 == 9 else b"\x00") + images
        if more.get("later"):
            info = b"\x0a" + message(info) + b"\x12" + message(b"\x0a" + message(taken))
        data += message(info)
    return data + header if closed and more.get("trailer", True) else data


def demo_v1(steps=30, observations=(4,), actions=(2,), promised=None, branches=(), spec=True, nan=(), episode=10):
    """Bytes of a demonstration as the recorder of com.unity.ml-agents writes it; `spec`: as communicators from 1.3 on."""

    def field(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data

    def floats(values):
        return struct.pack(f"<{len(values)}f", *values)

    def sized(data):
        return varint(len(data)) + data

    head = b"\x08\x01" + field(2, b"Ball") + b"\x18" + varint(steps if promised is None else promised)
    width = sum(actions)
    if spec:
        described = b"\x08" + varint(width) + b"\x10" + varint(len(branches)) + field(3, bytes(branches))
        brain = field(7, b"Ball") + field(9, described)
    else:
        brain = field(3, bytes(actions or branches)) + b"\x30" + bytes([bool(actions)]) + field(7, b"Ball")
    data = sized(head).ljust(33, b"\0") + sized(brain)
    for step in range(steps):
        seen = b"".join(
            field(
                13, field(1, bytes([size])) + field(4, field(1, floats([float("nan") if step in nan else 0.1] * size)))
            )
            for size in observations
        )
        info = b"\x3d" + floats([0.1]) + b"\x40" + bytes([step % episode == episode - 1]) + seen
        taken = field(6, floats([0.5] * width)) + field(7, bytes(len(branches)))
        data += sized(field(1, info) + field(2, taken if spec else field(1, floats([0.5] * (width or len(branches))))))
    return data


@pytest.fixture
def write(tmp_path):
    """Write a config and give its path."""

    def make(content, name="trainer_config.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return make


class Parts:
    """What test modules can't import from a conftest."""

    PPO, SAC, BC, GONE = PPO, SAC, BC, GONE
    changed, demo, demo_v1 = staticmethod(changed), staticmethod(demo), staticmethod(demo_v1)


@pytest.fixture(scope="session")
def parts():
    return Parts


@pytest.fixture(scope="session")
def trainer():
    return find_trainer("0.11.0")


@pytest.fixture(scope="session")
def trainer_v1(v1_trainer):
    return v1_trainer
