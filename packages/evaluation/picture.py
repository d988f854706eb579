"""Show models at work in the sample's scenes, as a moving picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from common.findings import Report
from evaluation import balls, floors
from evaluation.score import IN_UNITY, AnyModel, EvaluationError, check_version, read_models
from mlagents_check import unity_build
from policy_files.inference import policy_of
from sample_env.player.scenes import SCENES

FRAMES_PER_SECOND = 10
COLOURS = 64
"""Colours of a GIF: the pictures have few, and fewer make smaller files."""
PICTURES: dict[str, Callable] = {"3DBall": balls.draw, "Warehouse": floors.draw}
"""How each scene is drawn: `draw(policies, seed)` returns a figure, and an iterator that draws the next picture."""


@dataclass(frozen=True)
class Film:
    """A moving picture, which a notebook plays.

    Attributes
    ----------
    pictures : tuple of Image
    """

    pictures: tuple[Image.Image, ...]

    def save(self, path: str | Path) -> None:
        """Write it as a GIF that repeats."""
        Path(path).write_bytes(self._encode())

    def _encode(self) -> bytes:
        rare = Image.Quantize.MAXCOVERAGE  # keeps the colours of small things
        first, *rest = [picture.quantize(COLOURS, rare, dither=Image.Dither.NONE) for picture in self.pictures]
        duration = round(1000 / FRAMES_PER_SECOND)
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        gif = base64.b64encode(self._encode()).decode()
        width, height = self.pictures[0].size
        return f'<img src="data:image/gif;base64,{gif}" width="{width}" height="{height}" alt="The agents at work">'


def film(
    models: str | Path | AnyModel | Iterable[str | Path | AnyModel],
    unity_volume: str | Path,
    *,
    seconds: float = 10,
    seed: int = 0,
    gif: str | Path | None = None,
) -> Film | Report:
    """Show models at work in the sample environment.

    Parameters
    ----------
    models
        A model for each brain of the scene.
    unity_volume
        The folder of the build.
    seconds
        The film's duration.
    seed
        The same seed makes the same picture.
    gif
        Also write it to this file.

    Returns
    -------
    Film or Report
        For a Unity build, a report with the advice to watch it in Unity.

    Raises
    ------
    ModelError
        If a file is not a complete model, or not for this scene.
    EvaluationError
        If a brain of the scene has no model, a model is of another version, or `seconds` is too small.
    """
    count = round(seconds * FRAMES_PER_SECOND)
    if count < 1:
        raise EvaluationError(f"Expected seconds to be {1 / FRAMES_PER_SECOND} or more, found {seconds!r}.")
    report = unity_build.check(unity_volume)
    report.raise_for_errors()
    if not report.build.is_sample:
        return Report(f"Picture of {report.build.name}", (IN_UNITY,))
    scene = report.build.name
    read = read_models(models)
    check_version(read, report.build)
    policies = {found.brain: policy_of(found, seed) for found in read}
    brains = [kind.behaviour.name for kind in SCENES[scene]]
    if set(policies) != set(brains):
        raise EvaluationError(
            f"Expected models for {', '.join(brains)}, the brains of {scene}; found models for "
            f"{', '.join(sorted(policies)) or 'none'}. Is it the build that was trained?"
        )
    figure, steps = PICTURES[scene](policies, seed)
    plt.close(figure)
    moving = Film(tuple(shoot(figure, steps, count)))
    if gif is not None:
        moving.save(gif)
    return moving


def shoot(figure: Figure, steps: Iterator[None], count: int) -> Iterator[Image.Image]:
    """Draw a picture after each step."""
    canvas = FigureCanvasAgg(figure)
    for _ in range(count):
        next(steps)
        canvas.draw()
        yield Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])
