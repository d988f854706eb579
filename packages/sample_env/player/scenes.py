"""The scenes, and the versions of their player's protocol."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .ball3d import Ball3D
from .scene import Group
from .warehouse import Carrier, Seeker

PROTOCOLS = {"0.11.0": "API-11", "1.1.0": "1.5.0"}
"""By the version of ML-Agents, which refuses a player of another protocol."""
MODULES = {"API-11": "api_11", "1.5.0": "api_1_5"}
"""The module that speaks each of them; it needs the `mlagents_envs` of that version."""

SCENES: dict[str, tuple[type[Group], ...]] = {"3DBall": (Ball3D,), "Warehouse": (Seeker, Carrier)}
"""The groups of agents of each scene, one for each brain."""


def protocol_module(protocol: str) -> ModuleType:
    """Import the module that speaks a version of the protocol."""
    return import_module(f"{__package__}.{MODULES[protocol]}")
