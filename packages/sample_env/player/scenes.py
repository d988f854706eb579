"""The scenes there are, and the protocol in which their player speaks of them."""

from __future__ import annotations

from .ball3d import Ball3D
from .scene import Group
from .warehouse import Carrier, Seeker

API_VERSION = "API-11"
"""ML-Agents 0.11.0 refuses a player that names another."""

SCENES: dict[str, tuple[type[Group], ...]] = {"3DBall": (Ball3D,), "Warehouse": (Seeker, Carrier)}
"""By name: the groups of agents in a scene, one for each brain."""
