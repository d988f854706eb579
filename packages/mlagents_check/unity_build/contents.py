"""Checks that a Unity build has all parts that training needs, undamaged."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from common.findings import Finding
from mlagents_check.unity_build import protocol
from mlagents_check.unity_build.elf import LOADER, BrokenElfError, read_elf
from mlagents_check.unity_build.listing import Listing
from mlagents_check.unity_build.locate import IN_UNITY, Player

REBUILD = f"Copy the build again from where Unity made it, or build it again ({IN_UNITY})."
GRPC = "libgrpc_csharp_ext.x64.so"

# Libraries that a player needs to start or to connect; for any other, a problem is at most a warning. A player also
# needs the executable and the first scene's data, with Mono the assemblies, and with IL2CPP its metadata.
_NEEDED = re.compile(
    r"UnityPlayer\.so|GameAssembly\.so|[^/]*_Data/.*/(libgrpc_csharp_ext\.x64|libmonobdwgc-2\.0|libmonosgen-2\.0|libmono)\.so"
)
_OTHER_PLUGINS = {
    "lib_burst_generated.so": "Its code runs as plain C#, slower. Burst on a Mac writes it in the Mac's format.",
    "ScreenSelector.so": "It draws the screen selection dialog, which training never opens.",
    "libMonoPosixHelper.so": "Some of Mono's own parts, such as files and zip, may fail without it.",
}
_MONO_LIBRARIES = ("libmonobdwgc-2.0.so", "libmonosgen-2.0.so", "libmono.so")
_MONO_DLLS = ("mscorlib", "UnityEngine", "UnityEngine.CoreModule")
# Assemblies with which a build speaks to a trainer, by trainer version: one of each group. com.unity.ml-agents has
# Google.Protobuf_Packed.dll from 3.0.0-exp.1 on (its repository's Plugins/, issues 6080 and 6310). Its releases have
# Grpc.Core.dll and the native library; a project may replace both by Grpc.Net.Client, which needs no library.
_MESSAGE_DLLS = {
    "0.11.0": (("Google.Protobuf",), ("Grpc.Core",)),
    "1.1.0": (("Google.Protobuf", "Google.Protobuf_Packed"), ("Grpc.Core", "Grpc.Net.Client")),
}
_OF_ANY = _MESSAGE_DLLS["1.1.0"]
_NO_LIBRARY = "Grpc.Net.Client"
_MONO_USEFUL = ("MonoBleedingEdge/x86_64/libMonoPosixHelper.so", "MonoBleedingEdge/etc/mono/config")
_LOOSE_USEFUL = ("globalgamemanagers.assets", "resources.assets", "sharedassets0.assets")
_VERSION = re.compile(rb"(?:20\d\d|6000|5)\.\d+\.\d+[abfp]\d+")


@dataclass(frozen=True)
class Contents:
    """What the files of a build show.

    Parameters
    ----------
    backend, unity_version, headless, brains
        As in `mlagents_check.unity_build.UnityBuild`.
    protocol
        The version that it speaks; None if it could not be read.
    findings
        Missing or damaged parts.
    """

    backend: Literal["Mono", "IL2CPP", "sample"] | None
    protocol: protocol.ProtocolVersion | None
    unity_version: str | None
    headless: bool | None
    brains: tuple[str, ...] | None
    findings: tuple[Finding, ...]


def examine(player: Player, listing: Listing) -> Contents:
    """Check executable, scripting backend, gRPC library, protocol version and scene data."""
    if f"{player.data}/sample_env.json" in listing.files:
        return _sample(player, listing)
    inside = {path.removeprefix(player.data + "/") for path in listing.files if path.startswith(player.data + "/")}
    if not inside and listing.read(player.executable, 2) == b"#!":
        return Contents(None, None, None, None, None, ())  # `locate` has reported it
    findings = list(_executable(player, listing))
    if not inside:
        return Contents(None, None, None, None, None, tuple(findings))

    backend = _backend(player, listing, inside)
    version, readable, needs_library = None, True, True
    if backend == "Mono":
        version = protocol.in_managed(listing, f"{player.data}/Managed")
        findings += _mono(player, listing, inside, _MESSAGE_DLLS.get((version and version.trainer) or "", _OF_ANY))
        damaged = {finding.path for finding in findings} & listing.files.keys()
        readable = not any(path.startswith(f"{player.data}/Managed/") for path in damaged)
        needs_library = "Managed/Grpc.Core.dll" in inside or f"Managed/{_NO_LIBRARY}.dll" not in inside
    elif backend == "IL2CPP":
        findings += _il2cpp(player, listing)
        metadata = listing.read(f"{player.data}/il2cpp_data/Metadata/global-metadata.dat")
        needs_library = _NO_LIBRARY.encode() not in metadata
        try:
            version = protocol.in_metadata(metadata)
        except ValueError as error:
            findings.append(_broken(f"{player.data}/il2cpp_data/Metadata/global-metadata.dat", str(error)))
            readable = False
    else:
        what = f"{player.data}/ holds neither Managed/ (Mono) nor il2cpp_data/ (IL2CPP)."
        findings.append(Finding("error", what, f"The game's code is missing. {REBUILD}", player.data))
    if needs_library:
        findings += _grpc(player, listing, version)
    if backend and readable:
        has_code = "Managed/Assembly-CSharp.dll" in inside or backend != "Mono"
        refused = list(_protocol(version, player, has_code))
        # Without a trainer that speaks its protocol, what else is missing only follows from that.
        findings = refused + findings if version or has_code else findings + refused
    findings += _scenes(player, listing, inside)
    findings += _other_libraries(player, listing)
    return Contents(
        backend, version, _unity_version(player, listing), _headless(player, listing), None, tuple(findings)
    )


def _sample(player: Player, listing: Listing) -> Contents:
    path = f"{player.data}/sample_env.json"
    remake = "Delete the sample's two parts and run make_sample_build again."
    try:
        marker = json.loads(listing.read(path))
        version = protocol.ProtocolVersion(str(marker["protocol"]))
        brains = tuple(map(str, marker.get("brains") or [marker["scene"]]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Contents("sample", None, None, True, None, (_broken(path, "not the marker of a sample", remake),))
    findings = []
    if not listing.read(player.executable, 2).startswith(b"#!"):
        findings.append(_broken(player.executable, "not the sample's script", remake))
    findings += _protocol(version, player)
    note = "It speaks the real protocol, but holds no Unity: use it to learn the steps, then put your own build here."
    findings.append(Finding("note", "This is the sample environment of this project.", note, player.executable))
    return Contents("sample", version, None, True, brains, tuple(findings))


def is_optional(path: str) -> bool:
    """Return whether a file of the build is a library that the player can start without."""
    return path.endswith(".so") and ("/x86/" in path or not _NEEDED.fullmatch(path))


def _broken(path: str, how: str, todo: str = REBUILD) -> Finding:
    return Finding("error", f"{path.rpartition('/')[2]} is {how}.", todo, path)


def _missing(path: str, meaning: str, level: Literal["error", "warning"] = "error") -> Finding:
    return Finding(level, f"{path.rpartition('/')[2]} is missing.", f"{meaning} {REBUILD}", path)


def _executable(player: Player, listing: Listing) -> Iterator[Finding]:
    try:
        program = read_elf(listing.root / player.executable)
    except BrokenElfError as error:
        yield _broken(player.executable, str(error))
        return
    if program.loader != LOADER:
        how = f"loaded by {program.loader}" if program.loader else "a library, not a program"
        yield _broken(player.executable, f"{how}; a Linux x86-64 program is loaded by {LOADER}")
    if "UnityPlayer.so" in program.needs:
        if "UnityPlayer.so" not in listing.files:
            yield _missing("UnityPlayer.so", "From Unity 2019.3 on, the engine is next to the executable.")
        elif "$ORIGIN" not in program.looks_in:
            what = f"{player.executable} doesn't look for UnityPlayer.so beside itself."
            yield Finding("warning", what, f"It may not find the engine. {REBUILD}", player.executable)
    if not (listing.root / player.executable).stat().st_mode & 0o100:
        note = "Zip, git, Windows and S3 lose the bit. The training job sets it again; here: chmod +x."
        yield Finding("note", "The executable bit is not set.", note, player.executable)


def _backend(player: Player, listing: Listing, inside: set[str]) -> Literal["Mono", "IL2CPP"] | None:
    if any(path.startswith("il2cpp_data/") for path in inside) or "GameAssembly.so" in listing.files:
        return "IL2CPP"
    return "Mono" if any(path.startswith("Managed/") for path in inside) else None


def _mono(
    player: Player, listing: Listing, inside: set[str], message_dlls: tuple[tuple[str, ...], ...]
) -> Iterator[Finding]:
    for names in (*((name,) for name in _MONO_DLLS), *message_dlls):
        if not any(f"Managed/{name}.dll" in inside for name in names):
            path = f"{player.data}/Managed/{names[0]}.dll"
            missing = _missing(path, "The player starts, but its code can't run without it.")
            others = "".join(f", and no {name}.dll lies there" for name in names[1:])
            yield replace(missing, what=f"{missing.what.removesuffix('.')}{others}.")
    for path in sorted(path for path in inside if re.fullmatch(r"Managed/[^/]*\.dll", path)):
        if how := _broken_dll(listing, f"{player.data}/{path}"):
            yield _broken(f"{player.data}/{path}", how)
    runtimes = [path for path in inside if path.rpartition("/")[2] in _MONO_LIBRARIES and "/x86/" not in path]
    if not runtimes:
        path = f"{player.data}/MonoBleedingEdge/x86_64/{_MONO_LIBRARIES[0]}"
        yield _missing(path, "Without the Mono runtime the player ends at once.")
    if any(path.startswith("MonoBleedingEdge/") for path in inside):
        for path in _MONO_USEFUL:
            if path not in inside:
                yield _missing(f"{player.data}/{path}", "Parts of Mono may fail without it.", "warning")


def _broken_dll(listing: Listing, path: str) -> str | None:
    """Return what is wrong with a .NET assembly, a PE file: its signature, or sections beyond the file's end."""
    head = listing.read(path, 4096)
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself"
    try:
        (start,) = struct.unpack_from("<I", head, 0x3C)
        signature, sections, optional = struct.unpack_from("<4s2xH12xH", head, start)
        if head[:2] != b"MZ" or signature != b"PE\0\0":
            return "not a .NET assembly"
        table = start + 24 + optional
        parts = [struct.unpack_from("<II", head, table + 40 * index + 16) for index in range(sections)]
    except struct.error:
        return "truncated or not a .NET assembly"
    end = max((size + offset for size, offset in parts), default=0)
    size = listing.files[path].size
    return f"truncated: {size:,} bytes are left of {end:,}" if end > size else None


def _il2cpp(player: Player, listing: Listing) -> Iterator[Finding]:
    for path in ("GameAssembly.so", f"{player.data}/il2cpp_data/Metadata/global-metadata.dat"):
        if path not in listing.files:
            yield _missing(path, "It contains the game's code; an IL2CPP build can't start without it.")


def _grpc(player: Player, listing: Listing, version: protocol.ProtocolVersion | None) -> Iterator[Finding]:
    inside = [path for path in listing.files if path.startswith(player.data + "/")]
    found = [path for path in inside if path.rpartition("/")[2] == GRPC]
    meaning = "The player would start and never connect to the trainer."
    plugins = "com.unity.ml-agents/Plugins" if version and version.is_package else "Assets/ML-Agents/Plugins"
    in_project = f"In the Unity project, {plugins} must hold it, enabled for Linux x86_64."
    if not any(path.startswith(f"{player.data}/Plugins/") for path in found):
        where = f"{found[0]}, where the player doesn't look" if found else "none"
        what = f"Expected {GRPC} below {player.data}/Plugins/, found {where}."
        yield Finding("error", what, f"{meaning} {in_project} Then build again.", f"{player.data}/Plugins")
    for path in found:
        try:
            if read_elf(listing.root / path).kind != "ET_DYN":
                yield _broken(path, "not a library", f"{meaning} {REBUILD}")
        except BrokenElfError as error:
            yield _broken(path, str(error), f"{meaning} {REBUILD}")


def _protocol(version: protocol.ProtocolVersion | None, player: Player, has_code: bool = True) -> Iterator[Finding]:
    if version is None and not has_code:
        yield _missing(f"{player.data}/Managed/Assembly-CSharp.dll", "It contains the game's code, with ML-Agents.")
    elif version is None:
        what = "No ML-Agents protocol version was found in the build's code."
        todo = "The build seems to hold no ML-Agents. Put its SDK of release 0.11.0 into the Unity project"
        todo += f" (Academy and Agent in the scene), which speaks {protocol.COMMUNICATORS[protocol.DEFAULT]}, or the"
        todo += " package com.unity.ml-agents."
        yield Finding("error", what, todo, player.data)
    elif version.trainer is None:
        what = f"The build speaks {version.number or 'another protocol'} ({version.release}); "
        what += " and ".join(
            f"the trainer {trainer} speaks {number}" for trainer, number in protocol.COMMUNICATORS.items()
        )
        todo = "They refuse to connect to each other. Put the SDK of release 0.11.0, or com.unity.ml-agents 2.0 or"
        todo += " later, into the Unity project and build again."
        yield Finding("error", f"{what}.", todo, player.data)
    elif not version.runs_models:
        what = f"The build is of {version.release}, with which Unity can't run the trained model."
        todo = f"Training with {version.trainer} works, but a package before 2.0 does not know the inputs of its .onnx."
        yield Finding("warning", what, f"{todo} Update com.unity.ml-agents in the Unity project.", player.data)


def _scenes(player: Player, listing: Listing, inside: set[str]) -> Iterator[Finding]:
    if "data.unity3d" in inside:
        path = f"{player.data}/data.unity3d"
        if not listing.read(path, 8).startswith(b"Unity"):
            yield _broken(path, "not Unity data")
    else:
        for name in ("globalgamemanagers", "level0"):
            if name not in inside:
                yield _missing(f"{player.data}/{name}", "Without it there is no scene to start.")
            elif not listing.files[f"{player.data}/{name}"].size:
                yield _broken(f"{player.data}/{name}", "empty")
        for name in _LOOSE_USEFUL:
            if name not in inside:
                yield _missing(f"{player.data}/{name}", "Unity builds normally have it.", "warning")
    for name in ("boot.config", "Resources/unity default resources"):
        if name not in inside:
            yield _missing(f"{player.data}/{name}", "Unity builds normally have it.", "warning")


def _other_libraries(player: Player, listing: Listing) -> Iterator[Finding]:
    for path in listing.files:
        if path.endswith(".so") and player.owns(path) and path.rpartition("/")[2] != GRPC:
            try:
                read_elf(listing.root / path)
            except BrokenElfError as error:
                name, what = path.rpartition("/")[2], f"{path.rpartition('/')[2]} is {error}."
                if not is_optional(path):
                    yield _broken(path, str(error))
                elif "another processor" in str(error):
                    yield Finding("note", what, "It is never loaded here.", path)
                else:
                    without = _OTHER_PLUGINS.get(name, "What your game does with this plugin fails.")
                    yield Finding("warning", what, f"The player starts without it. {without}", path)


def _unity_version(player: Player, listing: Listing) -> str | None:
    for name in ("globalgamemanagers", "data.unity3d", "globalgamemanagers.assets", "level0"):
        if found := _VERSION.search(listing.read(f"{player.data}/{name}", 4096)):
            return found[0].decode()
    return None


def _headless(player: Player, listing: Listing) -> bool | None:
    config = listing.read(f"{player.data}/boot.config", 65536).decode("utf-8", "replace")
    if re.search(r"^headless=(?!0\s*$)", config, re.MULTILINE):
        return True
    return None
