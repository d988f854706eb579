"""A figure of the sizes of an image's layers, or of a recorded image if there is none."""

import json
import re
from pathlib import Path

import docker.models.images
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from common.findings import as_label

FIRST_OF_OURS = "ARG GRAPHICS"  # the instruction that follows the base image in the Dockerfile
RECORDED = Path(__file__).with_name("recorded.json")
MEANINGS = (
    (r"apt-get install", "graphics"),
    (r"in /usr/local|/usr/local # buildkit", "ML-Agents, its packages"),
    (r"/opt/mlagents/trainers", "trainer versions"),
    (r"/opt/mlagents", "train"),
)


def list_layers(image: docker.models.images.Image) -> list[tuple[str, int]]:
    """Return content and uncompressed bytes of each layer, lowest first; the base image counts as one layer."""
    history = image.history()[::-1]
    first = next((i for i, step in enumerate(history) if FIRST_OF_OURS in step["CreatedBy"]), 0)
    layers = [("base: Debian, Python", sum(step["Size"] for step in history[:first]))]
    return layers + [(name_layer(step["CreatedBy"]), step["Size"]) for step in history[first:] if step["Size"]]


def name_layer(instruction: str) -> str:
    """Return a short description of the layer of an instruction."""
    known = (content for pattern, content in MEANINGS if re.search(pattern, instruction))
    return next(known, instruction.removeprefix("/bin/sh -c #(nop) ").strip()[:40])


def plot(image: docker.models.images.Image | None) -> Figure:
    """Draw the layers' sizes as bars, the lowest layer at the bottom.

    Parameters
    ----------
    image : docker.models.images.Image or None
        As `build` returns it. Without one, an image is drawn that was built before, with its digest.
    """
    recorded = {} if image else json.loads(RECORDED.read_text())
    layers = list_layers(image) if image else recorded["layers"]
    figure, ax = plt.subplots(figsize=(8, 0.6 + 0.5 * len(layers)), dpi=120, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure a second time
    megabytes = [size / 1e6 for _, size in layers]
    bars = ax.barh([as_label(content) for content, _ in layers], megabytes, color="#4477aa")
    ax.bar_label(bars, [f"{size:,.0f} MB" if size >= 1 else f"{size * 1000:,.0f} kB" for size in megabytes], padding=4)
    ax.set_xlabel(f"size by layer, MB (together {sum(megabytes):,.0f} MB uncompressed)")
    if recorded:
        about = f"recorded on {recorded['date']} over {recorded['base']}; {recorded['megabytes']} MB in the registry"
        ax.set_title(f"{about}\n{recorded['digest']}", fontsize="small")
    ax.margins(x=0.15)
    ax.spines[["top", "right"]].set_visible(False)
    return figure
