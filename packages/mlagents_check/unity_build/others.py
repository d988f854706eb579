"""Other files in a build's folder: trainer config, samplers, curricula, demonstrations, an earlier model."""

from __future__ import annotations

import re

from mlagents_check.unity_build.listing import Listing
from mlagents_check.unity_build.locate import Player
from mlagents_check.unity_build.report import Other

_SAMPLER = re.compile(rb"^resampling-interval[ \t]*:", re.MULTILINE)
_CONFIG = re.compile(rb"^['\"]?[A-Za-z0-9_-]+(?: [A-Za-z0-9_-]+)*['\"]?[ \t]*:[ \t]*(#.*)?\r?$", re.MULTILINE)
_MODEL = re.compile(r"(.*\.(nn|onnx)|checkpoint|model-\d+\.cptk\..*|(raw|frozen)_graph_def\.pb)$")


def others(listing: Listing, player: Player | None) -> tuple[Other, ...]:
    """Return every file that is uploaded with the build but is not part of it, with its kind."""
    found: dict[Other, None] = {}
    for path, entry in listing.files.items():
        if player and player.owns(path):
            continue
        folder, _, name = path.rpartition("/")
        suffix = name.lower().rpartition(".")[2]
        if suffix in ("yaml", "yml"):
            head = listing.read(path, 65536)
            kind = "sampler" if _SAMPLER.search(head) else "trainer config" if _CONFIG.search(head) else "unknown"
            found[Other(kind, path)] = None
        elif suffix == "json" and b'"thresholds"' in listing.read(path, 65536):
            found[Other("curriculum", folder or ".")] = None
        elif suffix == "demo":
            found[Other("demonstration", path)] = None
        elif _MODEL.match(name):
            found[Other("model", path)] = None
        elif suffix in ("txt", "md", "rst"):
            found[Other("text", path)] = None
        elif entry.size or not player:
            found[Other("unknown", path)] = None
    return tuple(sorted(found, key=lambda other: (other.kind, other.path)))
