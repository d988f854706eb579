"""The ML-Agents protocol version that a build speaks, read from its code."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlagents_check.unity_build.listing import Listing

SUPPORTED = "API-11"

# Literals in Academy.cs: up to 0.14 the communicator's number such as API-14 (API-15-dev0 between releases), from 0.15
# on such as 0.15.0; from 0.14 on also the package's version, such as 0.15.1-preview, 1.0.8 or 2.3.0-exp.3.
_API = re.compile(r"API-[0-9]+(?:-dev[0-9]*)?")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[a-z]+(?:\.[0-9]+)?)?")
# The literals just before these two, and just after the number and the version.
_LABELS = ("communication_protocol_version", "com.unity.ml-agents_version")  # from 1.0.3 on
_ACADEMY = "AcademySingleton"  # from 0.14 on
# A literal in .NET code: its length in bytes, UTF-16, and a flag. The relevant ones have fewer than 64 characters.
_IN_DLL = re.compile(rb"(?:[ -~]\0){4,62}")
_METADATA_MAGIC = 0xFAB11BAF

# Assemblies that never contain ML-Agents, the majority of Managed/.
_FRAMEWORK = re.compile(
    r"(System|UnityEngine|Mono|Unity\.(?!ML))\b.*|mscorlib\.dll|netstandard\.dll|Google\..*|Grpc\..*"
)


@dataclass(frozen=True)
class ProtocolVersion:
    """The version of the ML-Agents in a build.

    Parameters
    ----------
    number
        The communicator's: ``API-11``, ``0.15.0``, ``1.5.0``; empty if it can't be found in the code.
    package
        Version of ``com.unity.ml-agents``, which exists from 0.14 on; else empty.
    """

    number: str = ""
    package: str = ""

    @property
    def release(self) -> str:
        """The ML-Agents release; API-3 to API-14 belong to 0.3 to 0.14, according to those releases' sources."""
        number, _, development = self.number.removeprefix("API-").partition("-")
        if self.package:
            return f"ML-Agents package {self.package}"
        if self.number.startswith("API-"):
            return f"{'a development version of ' if development else ''}ML-Agents 0.{number}"
        if self.number.startswith("0."):
            return f"ML-Agents {self.number.rpartition('.')[0]}"
        return "ML-Agents 1.0 or later" if self.number else "ML-Agents 0.14 or later"


def in_managed(listing: Listing, managed: str) -> ProtocolVersion | None:
    """Find the version in the .NET assemblies of a Mono build; None if there is none."""
    names = [path for path in listing.files if path.startswith(managed + "/") and path.endswith(".dll")]
    names = [path for path in names if path.count("/") == managed.count("/") + 1]
    package = f"{managed}/Unity.ML-Agents.dll"
    likely = [package, f"{managed}/MLAgents.dll", f"{managed}/Assembly-CSharp.dll"]
    rest = [path for path in names if path not in likely and not _FRAMEWORK.match(path.rpartition("/")[2])]
    for path in [*(path for path in likely if path in names), *rest]:
        if found := _choose(_literals(listing.read(path)), alone=path == package):
            return found
    return ProtocolVersion() if package in names else None


def _literals(code: bytes) -> list[str]:
    """Return the string literals of an assembly that may be relevant, in order."""
    return [
        found[0].decode("utf-16-le")
        for found in _IN_DLL.finditer(code)
        if code[found.start() - 1 : found.start()] == bytes([len(found[0]) + 1])
    ]


def _choose(literals: Sequence[str], *, alone: bool = False) -> ProtocolVersion | None:
    """Return the version from literals; `alone` if they are from ML-Agents' own assembly."""
    package = number = ""
    for label, text in pairwise(literals):
        if _VERSION.fullmatch(text) and label in _LABELS:
            number, package = (text, package) if label == _LABELS[0] else (number, text)
    versions = literals
    if _ACADEMY in literals and not alone:  # among the literals of a whole game
        versions = literals[max(0, literals.index(_ACADEMY) - 2) : literals.index(_ACADEMY)]
    versions = [text for text in versions if _VERSION.fullmatch(text)] if alone or _ACADEMY in literals else []
    if api := next((text for text in literals if _API.fullmatch(text)), ""):
        return ProtocolVersion(api, versions[0] if versions else "")
    number = number or (versions[0] if versions else "")
    package = package or (versions[1] if len(versions) > 1 else "")
    if "-" in number:  # one literal for both, or the number is elsewhere
        number, package = "", package or number
    return ProtocolVersion(number, package) if number or package else None


def in_metadata(metadata: bytes) -> ProtocolVersion | None:
    """Find the version among the string literals of an IL2CPP build's ``global-metadata.dat``.

    The literals are stored without separators, so ``API-1`` before a ``1`` would read as ``API-11``;
    the table of their lengths at the file's beginning separates them.

    Raises
    ------
    ValueError
        If it is not a complete metadata file.
    """
    try:
        magic, _, table, table_size, texts, texts_size = struct.unpack_from("<Ii4I", metadata)
    except struct.error:
        raise ValueError("truncated") from None
    if magic != _METADATA_MAGIC or max(table + table_size, texts + texts_size) > len(metadata):
        raise ValueError("truncated or damaged")
    block = metadata[texts : texts + texts_size]
    whole = metadata[table : table + table_size // 8 * 8]
    places = [(start, length) for length, start in struct.iter_unpack("<II", whole) if 4 <= length < 64]
    return _choose([block[start : start + length].decode("utf-8", "replace") for start, length in places])
