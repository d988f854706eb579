"""The scenes, and the version of their player's protocol."""

from __future__ import annotations

from .ball3d import Ball3D
from .scene import Group
from .warehouse import Carrier, Seeker

API_VERSION = "API-11"
"""ML-Agents 0.11.0 refuses a player of another version."""

SCENES: dict[str, tuple[type[Group], ...]] = {"3DBall": (Ball3D,), "Warehouse": (Seeker, Carrier)}
"""The groups of agents of each scene, one for each brain."""
