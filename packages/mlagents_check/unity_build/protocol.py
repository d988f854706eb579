"""The ML-Agents protocol version that a build speaks, read from its code, and the trainer that speaks it too."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from common import contract
from mlagents_check.unity_build.listing import Listing

COMMUNICATORS: Mapping[str, str] = {trainer: row["communicator"] for trainer, row in contract.TRAINERS.items()}
"""The communicator's number of each trainer version."""
DEFAULT = contract.DEFAULT_TRAINER
"""The trainer version for a build that does not say which one it needs."""

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
# Versions of its format, as tools that read it name them (Il2CppDumper, pull request 903): from 35 on a literal has no
# length, from 38 on each table of the header has a count besides its start and size.
_WITHOUT_LENGTHS, _WITH_COUNTS = 35, 38

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
    def trainer(self) -> str | None:
        """The trainer version that speaks it; None if there is none.

        The trainers of 0.16 to 1.1.0 accept every communicator of their own major version
        (`UnityEnvironment._check_communication_compatibility`), so 1.1.0 takes 1.0.0 to 1.5.0, which are those of the
        packages 1.0 to 4.1.
        """
        major = self.number.split(".")[0] or ("1" if self.package.split(".")[0] in ("1", "2", "3", "4") else "")
        return next((trainer for trainer, number in COMMUNICATORS.items() if number.split(".")[0] == major), None)

    @property
    def is_package(self) -> bool:
        """Whether it is that of the package ``com.unity.ml-agents``, not of a folder in the project's assets."""
        return bool(self.package or _VERSION.fullmatch(self.number))

    @property
    def runs_models(self) -> bool:
        """Whether its package can run what the trainer exports.

        Release 2.0.0-exp.1 renamed the inputs of an `.onnx` (its changelog); 1.9 speaks communicator 1.5.0 too.
        """
        if not self.is_package:
            return True
        return int(self.package.split(".")[0]) >= 2 if self.package else self.number >= "1.5"

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
    the table of their places at the file's beginning separates them.

    Raises
    ------
    ValueError
        If it is not a complete metadata file.
    """
    try:
        magic, version = struct.unpack_from("<Ii", metadata)
        fields = struct.unpack_from("<6I" if version >= _WITH_COUNTS else "<4I", metadata, 8)
    except struct.error:
        raise ValueError("truncated") from None
    (table, table_size), (texts, texts_size) = fields[:2], fields[len(fields) // 2 :][:2]
    if magic != _METADATA_MAGIC or max(table + table_size, texts + texts_size) > len(metadata):
        raise ValueError("truncated or damaged")
    block = metadata[texts : texts + texts_size]
    if version >= _WITHOUT_LENGTHS:
        starts = [start for (start,) in struct.iter_unpack("<I", metadata[table : table + table_size // 4 * 4])]
        places = [(start, end - start) for start, end in pairwise([*starts, texts_size])]
    else:
        whole = metadata[table : table + table_size // 8 * 8]
        places = [(start, length) for length, start in struct.iter_unpack("<II", whole)]
    relevant = [block[start : start + length] for start, length in places if 4 <= length < 64]
    return _choose([text.decode("utf-8", "replace") for text in relevant])
