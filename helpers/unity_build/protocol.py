"""Which ML-Agents protocol version a build speaks, read from its code."""

from __future__ import annotations

import re
import struct

from helpers.unity_build.listing import Listing

WANTED = "API-11"

# Text in .NET code is UTF-16; development versions had a tail, as in API-15-dev0.
_IN_DLL = re.compile(rb"A\0P\0I\0-\0((?:[0-9]\0)+(?:-\0d\0e\0v\0(?:[0-9]\0)*)?)")
_IN_METADATA = re.compile(r"API-[0-9]+(?:-dev[0-9]*)?")
_METADATA_MAGIC = 0xFAB11BAF

# Never hold ML-Agents, and are most of Managed/.
_FRAMEWORK = re.compile(
    r"(System|UnityEngine|Mono|Unity\.(?!ML))\b.*|mscorlib\.dll|netstandard\.dll|Google\..*|Grpc\..*"
)


def in_managed(listing: Listing, managed: str) -> str | None:
    """Find the version in the .NET assemblies of a Mono build.

    Returns
    -------
    str or None
        E.g. ``API-11``; ``1.x`` for the later packages, whose assembly is ``Unity.ML-Agents.dll`` and whose versions
        read otherwise; None if there is none.
    """
    names = [path for path in listing.files if path.startswith(managed + "/") and path.endswith(".dll")]
    names = [path for path in names if path.count("/") == managed.count("/") + 1]
    likely = [f"{managed}/{name}.dll" for name in ("Assembly-CSharp", "Unity.ML-Agents", "MLAgents")]
    rest = [path for path in names if path not in likely and not _FRAMEWORK.match(path.rpartition("/")[2])]
    for path in [*(path for path in likely if path in names), *rest]:
        if found := _IN_DLL.search(listing.read(path)):
            return "API-" + found[1].decode("utf-16-le")
    return "1.x" if f"{managed}/Unity.ML-Agents.dll" in names else None


def in_metadata(metadata: bytes) -> str | None:
    """Find the version among the string literals of an IL2CPP build's ``global-metadata.dat``.

    The literals lie end to end without a sign between them, so ``API-1`` before a ``1`` would read as ``API-11``:
    the table of their lengths at the file's beginning tells them apart.

    Raises
    ------
    ValueError
        If it is no whole metadata file.
    """
    try:
        magic, _, table, table_size, texts, texts_size = struct.unpack_from("<Ii4I", metadata)
    except struct.error:
        raise ValueError("cut short") from None
    if magic != _METADATA_MAGIC or max(table + table_size, texts + texts_size) > len(metadata):
        raise ValueError("cut short or damaged")
    block = metadata[texts : texts + texts_size]
    # Only literals at places where the word occurs are looked at: a game has some 100,000.
    places = {found.start() for found in re.finditer(b"API-", block)}
    if places:
        whole = metadata[table : table + table_size // 8 * 8]
        for length, start in struct.iter_unpack("<II", whole):
            if start in places and length < 32:
                text = block[start : start + length].decode("utf-8", "replace")
                if _IN_METADATA.fullmatch(text):
                    return text
    return None


def release_of(protocol: str) -> str:
    """Name the ML-Agents release that speaks a protocol version.

    API-3 to API-15 came with the releases 0.3 to 0.15, as the sources of those releases say.
    """
    if protocol == "1.x":
        return "ML-Agents 0.16, 1.0 or later"
    number, _, development = protocol.removeprefix("API-").partition("-")
    return f"{'a development version of ' if development else ''}ML-Agents 0.{number}"
