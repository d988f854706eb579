"""Draw 3DBall: cubes that balance balls, in parallel projection from above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from policy_files.inference import Policy
from sample_env.player.ball3d import HALF_CUBE, Ball3D

ROWS, COLUMNS = 2, 4
SPACING = 11.0, 12.0
"""Distance of cubes, to the right and backwards, in metres."""
CAMERA = np.radians(28), np.radians(30)
"""Its angles: downwards and sideways."""
LIGHT = np.array([0.25, 0.9, -0.35])
CUBE, BALL, SHADOW, PAPER = (np.array(to_rgb(colour)) for colour in ("#5b8db8", "#e8833a", "#2d4a63", "#f4f1ea"))
FACES = [(axis, sign) for axis in range(3) for sign in (-1, 1)]


def draw(policies: Mapping[str, Policy], seed: int) -> tuple[Figure, Iterator[None]]:
    """Return a figure, and an iterator that advances it by one decision."""
    scene = Ball3D(ROWS * COLUMNS, seed)
    figure = plt.figure(figsize=(6.4, 3.6), dpi=100, facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(-5.5, 41.5), ylim=(-7.4, 19.04), aspect="equal")
    layers = [balls(ax, 1), PolyCollection([], zorder=2, linewidths=0.5), balls(ax, 4)]
    shadows = PolyCollection([], zorder=3, facecolor=SHADOW, alpha=0.45, linewidth=0)
    ax.add_collection(layers[1])
    ax.add_collection(shadows)
    return figure, play(scene, policies["3DBall"], layers, shadows)


def balls(ax: plt.Axes, order: int) -> EllipseCollection:
    """Add an empty layer for balls."""
    layer = EllipseCollection([], [], [], units="xy", offset_transform=ax.transData, zorder=order, linewidths=0)
    ax.add_collection(layer)
    return layer


def play(scene: Ball3D, policy: Policy, layers: list, shadows: PolyCollection) -> Iterator[None]:
    """Show the scene and advance it."""
    right, up, towards = camera()
    number = np.arange(scene.agents)
    # Farther rows come first; nearer ones are drawn over them.
    row, column = ROWS - 1 - number // COLUMNS, number % COLUMNS
    corners = np.stack([column * SPACING[0] + row * 3.0, row * SPACING[1] * np.sin(CAMERA[0]) * 1.9], axis=1)
    while True:
        rotation = scene.turn_cubes(np.zeros((scene.agents, 2)))[-1]
        polygons, colours = cubes(rotation, corners, right, up, towards)
        layers[1].set_verts(polygons)
        layers[1].set_facecolor(colours)
        layers[1].set_edgecolor(colours)
        flat = np.stack([right @ scene.position, up @ scene.position], axis=1) + corners
        local = np.einsum("can,cn->an", rotation, scene.position)
        above = local[1] > HALF_CUBE
        behind = ~above & (towards @ scene.position < 0)
        for layer, which in ((layers[0], behind), (layers[2], ~behind)):
            show_balls(layer, flat[which], scene.radius[which])
        on_top = above & (np.abs(local[0::2]) < HALF_CUBE).all(0)
        shadows.set_verts(
            shadow(rotation[:, :, on_top], local[:, on_top], corners[on_top], right, up, scene.radius[on_top])
        )
        yield
        scene.step(policy.decide(scene.observe()))


def camera() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions of the picture: right, up, and towards the camera."""
    down, aside = CAMERA
    right = np.array([np.cos(aside), 0, np.sin(aside)])
    towards = np.array([np.sin(aside) * np.cos(down), np.sin(down), -np.cos(aside) * np.cos(down)])
    return right, np.cross(right, towards), towards


def cubes(
    rotation: np.ndarray, corners: np.ndarray, right: np.ndarray, up: np.ndarray, towards: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the faces that the camera sees, as polygons with their colours."""
    polygons, colours = [], []
    for agent, corner in enumerate(corners):
        turn = rotation[:, :, agent]
        for axis, sign in FACES:
            normal = sign * turn[:, axis]
            if normal @ towards > 0:
                a, b = (turn[:, (axis + shift) % 3] for shift in (1, 2))
                points = HALF_CUBE * (normal + np.array([-a - b, a - b, a + b, b - a]))
                polygons.append(np.stack([points @ right, points @ up], axis=1) + corner)
                bright = 0.62 + 0.42 * max(normal @ LIGHT, -0.3) / np.linalg.norm(LIGHT)
                colours.append(np.minimum(CUBE * bright + 0.12 * max(bright - 0.8, 0), 1))
    return polygons, np.array(colours)


def shadow(
    rotation: np.ndarray, local: np.ndarray, corners: np.ndarray, right: np.ndarray, up: np.ndarray, radius: np.ndarray
) -> list[np.ndarray]:
    """Return the shadows of balls on the tops of their cubes."""
    angles = np.linspace(0, 2 * np.pi, 24)
    polygons = []
    for agent, corner in enumerate(corners):
        around = np.stack(
            [
                local[0, agent] + radius[agent] * np.cos(angles),
                np.full(24, HALF_CUBE),
                local[2, agent] + radius[agent] * np.sin(angles),
            ]
        )
        around[0::2] = np.clip(around[0::2], -HALF_CUBE, HALF_CUBE)
        points = rotation[:, :, agent] @ around
        polygons.append(np.stack([right @ points, up @ points], axis=1) + corner)
    return polygons


def show_balls(layer: EllipseCollection, places: np.ndarray, radius: np.ndarray) -> None:
    """Place balls, each made of rings that get brighter towards the light."""
    rings = np.linspace(0, 1, 6)
    size = np.outer(2 * radius, 1 - 0.8 * rings).ravel()
    moved = np.outer(radius, 0.42 * rings)
    offsets = (places[:, np.newaxis] + np.stack([-moved, moved], axis=2)).reshape(-1, 2)
    colours = np.minimum(BALL[np.newaxis] * (0.82 + 0.18 * rings[:, np.newaxis]) + 0.35 * rings[:, np.newaxis] ** 2, 1)
    layer.set_offsets(offsets)
    layer.set_widths(size)
    layer.set_heights(size)
    layer.set_angles(np.zeros(len(offsets)))
    layer.set_facecolor(np.tile(colours, (len(places), 1)))
