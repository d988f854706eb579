"""Models at work in the sample's scenes, as a moving picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import animation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from helpers import model, unity_build
from helpers.evaluation import balls, floors
from helpers.evaluation.score import IN_UNITY, EvaluationError
from helpers.findings import Report
from helpers.inference import Policy
from helpers.model import Model
from helpers.sample_env.player.scenes import SCENES

FRAMES_PER_SECOND = 10
COLOURS = 64
"""In a GIF: the pictures have few, and fewer make smaller files."""
PICTURES: dict[str, Callable] = {"3DBall": balls.draw, "Warehouse": floors.draw}
"""How each scene is drawn: `draw(policies, seed)` gives a figure, and an iterator that goes on by a picture."""


@dataclass(frozen=True)
class Film:
    """A moving picture. In a notebook it is shown with buttons.

    Attributes
    ----------
    pictures : tuple of Image
    """

    pictures: tuple[Image.Image, ...]

    def save(self, path: str | Path) -> None:
        """Write it as a GIF that goes round and round."""
        first, *rest = [picture.quantize(COLOURS, dither=Image.Dither.NONE) for picture in self.pictures]
        duration = round(1000 / FRAMES_PER_SECOND)
        first.save(path, save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)

    def animate(self) -> animation.FuncAnimation:
        """Give it as an animation of matplotlib."""
        width, height = self.pictures[0].size
        figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
        plt.close(figure)
        shown = figure.figimage(np.asarray(self.pictures[0]))

        def show(number: int) -> list:
            shown.set_data(np.asarray(self.pictures[number]))
            return [shown]

        return animation.FuncAnimation(
            figure, show, frames=len(self.pictures), interval=1000 / FRAMES_PER_SECOND, blit=True
        )

    def _repr_html_(self) -> str:
        return self.animate().to_jshtml(default_mode="loop")


def film(
    models: Iterable[str | Path | Model], unity_volume: str | Path, *, seconds: float = 10, seed: int = 0
) -> Film | Report:
    """Show models at work in the sample environment.

    Parameters
    ----------
    models
        One for each brain of the scene.
    unity_volume
        The folder that holds the build.
    seconds
        How long it lasts.
    seed
        The same seed gives the same picture.

    Returns
    -------
    Film or Report
        For a Unity build a report, which says that the picture is in Unity.

    Raises
    ------
    ModelError
        When a file is no whole model, or none for this scene.
    EvaluationError
        When a brain of the scene has no model.
    """
    report = unity_build.check(unity_volume)
    report.raise_for_errors()
    if not report.build.is_sample:
        return Report(f"Picture of {report.build.name}", (IN_UNITY,))
    scene = report.build.name
    read = [found if isinstance(found, Model) else model.read(found) for found in models]
    policies = {found.brain: Policy(found, seed) for found in read}
    brains = [kind.behaviour.name for kind in SCENES[scene]]
    if set(policies) != set(brains):
        raise EvaluationError(
            f"Expected models for {', '.join(brains)}, the brains of {scene}; found models for "
            f"{', '.join(sorted(policies)) or 'none'}. Is it the build that was trained?"
        )
    figure, steps = PICTURES[scene](policies, seed)
    plt.close(figure)
    return Film(tuple(shoot(figure, steps, round(seconds * FRAMES_PER_SECOND))))


def shoot(figure: Figure, steps: Iterator[None], count: int) -> Iterator[Image.Image]:
    """Take a picture after each step."""
    canvas = FigureCanvasAgg(figure)
    for _ in range(count):
        next(steps)
        canvas.draw()
        yield Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])
