"""What the image holds: its size by layer as a picture, and what it costs to keep."""

import re
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from common import docker_engine as engine
from common.errors import UnavailableError
from common.findings import as_label
from training_image.name import Image

USD_PER_GB_MONTH = 0.10
"""ECR's price of private storage, us-east-1, as published in March 2026: https://aws.amazon.com/ecr/pricing/.

It counts compressed layers. The first 500 MB a month are free in an account's first year.
"""
FIRST_OF_OURS = "ARG GRAPHICS"  # the instruction that follows the base image in the Dockerfile
MEANINGS = (
    (r"apt-get install", "graphics"),
    (r"in /usr/local|/usr/local # buildkit", "ML-Agents, TensorFlow"),
    (r"/opt/mlagents/speedups", "speedups"),
    (r"/opt/mlagents", "train"),
)


@dataclass(frozen=True)
class Layer:
    """A layer: what it holds, and its size in bytes, uncompressed."""

    holds: str
    size: int


def layers(image: Image) -> list[Layer]:
    """List the layers of an image, lowest first; the base image as one. Empty where no engine here holds the image."""
    try:
        history = engine.connect().images.get(image.local).history()[::-1]
    except (UnavailableError, *engine.FAILURES):
        return []
    first = next((i for i, step in enumerate(history) if FIRST_OF_OURS in step["CreatedBy"]), 0)
    found = [Layer("base: Debian, Python 3.7", sum(step["Size"] for step in history[:first]))]
    return found + [Layer(meaning(step["CreatedBy"]), step["Size"]) for step in history[first:] if step["Size"]]


def meaning(instruction: str) -> str:
    """Say what the layer of an instruction holds."""
    known = (holds for pattern, holds in MEANINGS if re.search(pattern, instruction))
    return next(known, instruction.removeprefix("/bin/sh -c #(nop) ").strip()[:40])


def plot(found: list[Layer]) -> Figure:
    """Draw the layers' sizes as bars, lowest layer at the bottom."""
    figure, ax = plt.subplots(figsize=(8, 0.6 + 0.5 * len(found)), dpi=120, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure a second time
    megabytes = [layer.size / 1e6 for layer in found]
    bars = ax.barh([as_label(layer.holds) for layer in found], megabytes, color="#4477aa")
    ax.bar_label(bars, [f"{size:,.0f} MB" if size >= 1 else f"{size * 1000:,.0f} kB" for size in megabytes], padding=4)
    ax.set_xlabel(f"size by layer, MB (together {sum(megabytes):,.0f} MB uncompressed)")
    ax.margins(x=0.15)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def monthly_cost(image: Image) -> float:
    """Return what ECR asks for keeping the image, USD a month; 0 for one that it does not hold."""
    return image.size / 1e9 * USD_PER_GB_MONTH
