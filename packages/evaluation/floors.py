"""Draw Warehouse: floors from above, seekers in the upper row and carriers in the lower one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from policy_files.inference import Policy
from sample_env.player.warehouse import SIZE, Carrier, Robots, Seeker

COLUMNS = 4
GAP = 1.6
"""Distance of floors, in cells."""
PICTURES_A_DECISION = 3
"""More than one makes robots glide."""
TASKS = {Seeker: "drives to the lit cell", Carrier: "takes the parcel to the gate"}
PAPER, FLOOR, LINE = "#f4f1ea", "#ffffff", "#e3ddd0"
LIT, GATE, PARCEL, SEEKER, CARRIER, INK = "#f5c542", "#3a9d6e", "#e0b27a", "#2f6fb0", "#b5493a", "#4a4a4a"


def draw(policies: Mapping[str, Policy], seed: int) -> tuple[Figure, Iterator[None]]:
    """Return a figure, and an iterator that advances it by a third of a decision."""
    width, height = COLUMNS * (SIZE + GAP) + GAP, 2 * (SIZE + GAP) + GAP
    figure = plt.figure(figsize=(6.4, 6.4 * height / width), dpi=100, facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(0, height))
    rows = []
    for number, kind in enumerate((Carrier, Seeker)):
        corners = np.array(
            [[GAP + column * (SIZE + GAP), GAP / 2 + number * (SIZE + GAP)] for column in range(COLUMNS)]
        )
        name = kind.behaviour.name
        title = ax.text(GAP, corners[0, 1] + SIZE + 0.45, f"{name}: ", color=INK, fontsize=10, weight="bold")
        ax.annotate(TASKS[kind], (1, 0), xycoords=title, va="bottom", color=INK, fontsize=10)
        floors(ax, corners)
        rows.append((kind(COLUMNS, seed + number), policies[name], Row(ax, corners, kind)))
    return figure, play(rows)


def floors(ax: Axes, corners: np.ndarray) -> None:
    """Draw empty floors."""
    ax.add_collection(
        PatchCollection([Rectangle(c, SIZE, SIZE) for c in corners], facecolor=FLOOR, edgecolor=LINE, linewidth=1)
    )
    for x, y in corners:
        ax.hlines(y + np.arange(1, SIZE), x, x + SIZE, color=LINE, linewidth=0.6)
        ax.vlines(x + np.arange(1, SIZE), y, y + SIZE, color=LINE, linewidth=0.6)


def play(rows: list[tuple[Robots, Policy, Row]]) -> Iterator[None]:
    """Show the groups and advance them."""
    while True:
        before = [Places(group) for group, _, _ in rows]
        for group, policy, _ in rows:
            group.step(policy.decide(group.observe()))
        after = [old.advance(group) for old, (group, _, _) in zip(before, rows, strict=True)]
        for number in range(1, PICTURES_A_DECISION + 1):
            for old, new, (_, _, row) in zip(before, after, rows, strict=True):
                row.show(new, old.robots + (new.robots - old.robots) * number / PICTURES_A_DECISION)
            yield


class Places:
    """Where everything is on the floors of a group, each of shape (2, agents)."""

    def __init__(self, group: Robots) -> None:
        self.robots = group.place
        # The scene changes these two in place.
        self.cells = (group.goal if isinstance(group, Seeker) else group.gate).copy()
        self.parcels = group.parcel.copy() if isinstance(group, Carrier) else None
        self.carries = group.carries if isinstance(group, Carrier) else np.zeros(group.agents, dtype=bool)

    def advance(self, group: Robots) -> Places:
        """Return the places after a decision; where an episode ended, those at its end."""
        new = Places(group)
        new.robots = np.where(group.done, self.robots, new.robots)
        new.robots = np.where(group.done & ~group.max_step_reached, self.cells, new.robots)
        new.cells = np.where(group.done, self.cells, new.cells)
        new.carries = np.where(group.done, self.carries, new.carries & self.carries)
        if self.parcels is not None:
            new.parcels = np.where(group.done, self.parcels, new.parcels)
        return new


class Row:
    """The floors of one kind of robots, and what is on them."""

    def __init__(self, ax: Axes, corners: np.ndarray, kind: type[Robots]) -> None:
        self.corners = corners
        carrier = kind is Carrier
        self.cells = self.add(ax, GATE if carrier else LIT, 1.0, 2)
        self.robots = self.add(ax, CARRIER if carrier else SEEKER, 0.8, 4)
        self.parcels = self.add(ax, PARCEL, 0.46, 5) if carrier else []

    def add(self, ax: Axes, colour: str, size: float, order: int) -> list[FancyBboxPatch]:
        """Add a box to each floor."""
        boxes = []
        for _ in self.corners:
            rounding = 0 if size == 1 else 0.16 * size
            style = f"round,pad=0,rounding_size={rounding}"
            box = FancyBboxPatch((0, 0), size, size, boxstyle=style, facecolor=colour, edgecolor="white", linewidth=0.8)
            boxes.append(ax.add_patch(box))
            box.set_zorder(order)
        return boxes

    def show(self, places: Places, robots: np.ndarray) -> None:
        """Move everything to its place, and the robots to these places."""
        self.put(self.robots, robots)
        self.put(self.cells, places.cells)
        if places.parcels is not None:
            self.put(self.parcels, np.where(places.carries, robots, places.parcels))

    def put(self, boxes: list[FancyBboxPatch], places: np.ndarray) -> None:
        """Centre boxes in cells."""
        for box, corner, place in zip(boxes, self.corners, places.T, strict=True):
            box.set_bounds(*(corner + place + (1 - box.get_width()) / 2), box.get_width(), box.get_height())
