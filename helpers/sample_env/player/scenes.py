"""The scenes there are, and the protocol in which their player speaks of them."""

from __future__ import annotations

from .ball3d import Ball3D
from .scene import Scene

API_VERSION = "API-11"
"""ML-Agents 0.11.0 refuses a player that names another."""

SCENES: dict[str, type[Scene]] = {scene.behaviour.name: scene for scene in (Ball3D,)}
"""By name, which is that of the brain as well."""
