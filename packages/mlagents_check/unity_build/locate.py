"""Find the build in a folder, or what is there instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.findings import Finding
from mlagents_check.unity_build.listing import Listing, walk

IN_UNITY = "File > Build Settings, target platform Linux, architecture x86_64, then Build"

# mlagents-learn 0.11.0 removes these anywhere in --env, in this order, before it looks for NAME.x86_64.
_STRIPPED = (".app", ".exe", ".x86_64", ".x86")

# mlagents-learn 0.11.0 uses glob, so it does not find a file with these characters in its name.
_WILD = set("*?[")

# Files next to the program, or in its data folder, in Unity's players for other systems.
_OF_WINDOWS = re.compile(
    r"(^|/)(UnityPlayer|GameAssembly|WinPixEventRuntime)\.dll$|_Data/(Mono|MonoBleedingEdge|Plugins)/.*\.dll$",
    re.IGNORECASE,
)
_OF_WEB_OR_PHONE = re.compile(r"\.(apk|aab|wasm|wasm\.(gz|br|unityweb)|unityweb)$", re.IGNORECASE)

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")


@dataclass(frozen=True)
class Player:
    """The paths of a build, relative to its folder.

    Parameters
    ----------
    name
        Executable's name without ``.x86_64``.
    executable
        The executable's file name.
    data
        Its data folder's name.
    """

    name: str
    executable: str
    data: str

    def owns(self, path: str) -> bool:
        """Return whether a file belongs to the build."""
        beside = {self.executable, self.name + ".x86", "UnityPlayer.so", "GameAssembly.so"}
        beside |= {"UnityPlayer_s.debug", "LinuxPlayer_s.debug"}
        return path in beside or path.startswith(self.data + "/")


def locate(listing: Listing) -> tuple[Player | None, list[Finding]]:
    """Find the one player at the top of a folder; return findings if there is none, or several."""
    top = [path for path in listing.files if "/" not in path]
    players = [path for path in top if path.endswith(".x86_64")]
    if len(players) == 1:
        name = players[0].removesuffix(".x86_64")
        player = Player(name, players[0], name + "_Data")
        return player, [*_wrong_name(player), *_wrong_data(player, listing), *_other_builds(player, top, listing)]
    if players:
        samples = [path for path in players if _is_sample(path, listing)]
        todo = "It is unclear which one to train. Keep one build with its _Data folder and move the rest elsewhere."
        if len(samples) == len(players) - 1:
            todo = (
                f"{' and '.join(samples)} is the sample environment. To keep your own build alone, run `make "
                "remove-sample`, or notebook 1 with remove_sample = True."
            )
        return None, [Finding("error", f"Expected one build, found {len(players)}: {', '.join(players)}.", todo)]
    if any(entry.kind != "file" and _is_player(entry.path) for entry in listing.entries):
        return None, []  # a link, or unreadable, which another check reports
    expected = f"Expected one *.x86_64 in {listing.root.name or listing.root}/"
    if instead := _instead(listing):
        found, todo, path = instead
        return None, [Finding("error", f"{expected}, found {found}.", todo, path)]
    todo = f"Build for Linux x86_64 in Unity ({IN_UNITY}), or run make_sample_build('{listing.root}')."
    return None, [Finding("error", f"{expected}, found none.", todo)]


def _instead(listing: Listing) -> tuple[str, str, str] | None:
    """Return what a folder has instead of a player at its top: what was found, what to do, and its path."""
    top = [path for path in listing.files if "/" not in path]
    return (
        _too_deep(listing)
        or _other_system(listing)
        or next((found for path in top if (found := _other_name(path, listing))), None)
        or next((_folder(path) for path in listing.folders if _is_player(path)), None)
        or next((_data_alone(path, listing) for path in listing.folders if _is_top(path, "_Data")), None)
        or next((_archive(path) for path in top if path.lower().endswith(_ARCHIVES)), None)
    )


def _is_player(path: str) -> bool:
    return _is_top(path, ".x86_64")


def _is_sample(path: str, listing: Listing) -> bool:
    """Return whether an executable is that of the sample environment: a script, with its mark beside it."""
    data = path.removesuffix(".x86_64") + "_Data"
    return f"{data}/sample_env.json" in listing.files and listing.read(path, 2) == b"#!"


def _is_top(path: str, ending: str) -> bool:
    return "/" not in path and path.endswith(ending)


def _too_deep(listing: Listing) -> tuple[str, str, str] | None:
    found = sorted((path for path in listing.files if path.endswith(".x86_64")), key=lambda path: path.count("/"))
    if not found:
        return None
    if len({path.rpartition("/")[0] for path in found}) > 1:
        todo = f"Keep one build, and move what is in its folder into {listing.root.name}/ itself."
        return f"{len(found)} deeper in it: {', '.join(found[:5])}", todo, found[0]
    folder, depth = found[0].rpartition("/")[0], found[0].count("/")
    deep = "one folder" if depth == 1 else f"{depth} folders"
    todo = f"The build lies {deep} too deep. Move what is in {folder}/ into {listing.root.name}/ itself."
    return found[0], todo, found[0]


def _other_system(listing: Listing) -> tuple[str, str, str] | None:
    rebuild = f"Build again in Unity: {IN_UNITY}."
    files = sorted(listing.files, key=lambda path: path.count("/"))
    folders = sorted(listing.folders, key=lambda path: path.count("/"))
    data = {path.removesuffix("_Data") for path in folders if path.endswith("_Data")}
    for path in files:
        if path.endswith(".x86") and ("/" not in path or path[:-4] in data):
            return f"the 32-bit {path}", f"The trainer needs 64 bits. {rebuild}", path
    windows = [path for path in files if path.lower().endswith(".exe")]
    # The player first; Unity puts a crash reporter next to it.
    windows = [path for path in windows if path[:-4] in data] or [path for path in windows if "/" not in path]
    if windows:
        return f"the Windows build {windows[0]}", f"Training runs on Linux. {rebuild}", windows[0]
    for path in folders:
        if path.lower().endswith(".app"):
            return f"the macOS build {path}", f"Training runs on Linux. {rebuild}", path
    if found := next((path for path in folders if f"/{path}".endswith("/Contents/MacOS")), None):
        return f"a macOS build without its .app folder, with {found}", f"Training runs on Linux. {rebuild}", found
    if found := next((path for path in files if _OF_WINDOWS.search(path)), None):
        todo = "Its .exe is missing, perhaps because git ignores it, but it would not help: training runs on Linux."
        return f"a Windows build without its .exe, with {found}", f"{todo} {rebuild}", found
    if found := next((path for path in files if _OF_WEB_OR_PHONE.search(path)), None):
        return f"a build for the web or a phone, {found}", f"Training runs on Linux. {rebuild}", found
    return None


def _other_name(path: str, listing: Listing) -> tuple[str, str, str] | None:
    stem = path[: -len(".x86_64")] if path.lower().endswith(".x86_64") else path
    if stem + "_Data" in listing.folders and listing.read(path, 4) == b"\x7fELF":
        todo = f"mlagents-learn looks for a name that ends in .x86_64. Rename it to {stem}.x86_64."
        return path, todo, path
    return None


def _data_alone(path: str, listing: Listing) -> tuple[str, str, str]:
    executable = path.removesuffix("_Data") + ".x86_64"
    todo = f"The data folder alone is not a build. Copy {executable} from where Unity built it too."
    if f"{path}/sample_env.json" in listing.files:
        todo = f"It belongs to the sample environment. Complete it: make_sample_build('{listing.root}')."
    return f"{path}/ alone", todo, path


def _folder(path: str) -> tuple[str, str, str]:
    todo = "The executable is a file. Delete the folder and copy the build again from where Unity made it."
    return f"{path}/, a folder", todo, path


def _archive(path: str) -> tuple[str, str, str]:
    return f"the archive {path}", "If the build is in it, unpack it there and delete the archive.", path


def _wrong_name(player: Player) -> Iterator[Finding]:
    stripped = player.name.strip()
    for part in _STRIPPED:
        stripped = stripped.replace(part, "")
    rename = "Give the build another name in Unity, or rename executable and _Data folder alike"
    rename += " (letters, digits, _ and -)."
    if stripped != player.name:
        what = f"mlagents-learn would look for {stripped + '.x86_64'!r}, not {player.executable!r}."
        yield Finding(
            "error", what, f"It removes .app, .exe, .x86 and surrounding spaces from names. {rename}", player.executable
        )
    if not player.name:
        yield Finding("error", "The build's name is empty.", rename, player.executable)
    elif _WILD & set(player.name):
        what = f"The name {player.name!r} holds a wildcard, so mlagents-learn can't find it."
        yield Finding("error", what, rename, player.executable)
    elif (
        not all(sign.isascii() and (sign.isalnum() or sign in "_-.") for sign in player.name) or player.name[0] in "-."
    ):
        what = f"The name {player.name!r} contains characters that are special in shells and paths."
        yield Finding(
            "warning", what, f"It trains, but unquoted commands with this name fail. {rename}", player.executable
        )


def _wrong_data(player: Player, listing: Listing) -> Iterator[Finding]:
    copy = f"Copy {player.data}/ from where Unity built it too."
    if any(entry.path == player.data for entry in listing.entries):
        return  # a link, which another check reports
    if player.data in listing.folders:
        if not any(entry.path.startswith(player.data + "/") for entry in listing.entries):
            yield Finding(
                "error", f"{player.data}/ is empty.", f"The executable alone is not a build. {copy}", player.data
            )
        return
    if listing.read(player.executable, 2) == b"#!":
        what = f"{player.executable} is a script, and no {player.data}/ lies beside it."
        todo = "A Unity build is a program with its _Data folder: put that here instead of the script. If the script is"
        todo += f" left of the sample, delete it and run make_sample_build('{listing.root}')."
        yield Finding("error", what, todo, player.executable)
        return
    others = [path for path in listing.folders if _is_top(path, "_Data")]
    others.sort(key=lambda path: path.casefold() != player.data.casefold())
    found, todo = "found none", f"The executable alone is not a build. {copy}"
    if others:
        name = others[0].removesuffix("_Data")
        todo = "Their names must match. "
        todo += f"Rename {others[0]}/ to {player.data}/, or {player.executable} to {name}.x86_64."
        found = f"found {others[0]}/"
    yield Finding("error", f"Expected {player.data}/ beside {player.executable}, {found}.", todo, player.data)


def _other_builds(player: Player, top: list[str], listing: Listing) -> Iterator[Finding]:
    todo = "It looks like a part of a second build in the same folder. Move it elsewhere; it would be uploaded too."
    folders = [path for path in listing.folders if "/" not in path]
    data = [path for path in folders if path.endswith("_Data") and path != player.data]
    data = [path for path in data if player.data in folders]
    apps = [path for path in folders if path.lower().endswith(".app")]
    programs = [path for path in top if path.lower().endswith((".exe", ".x86")) or path == "UnityPlayer.dll"]
    # Unity 2017 and 2018 build both for the architecture "x86 + x86_64"; mlagents-learn takes the x86_64 one.
    programs = [path for path in programs if path != player.name + ".x86"]
    for path in [*data, *apps, *programs]:
        yield Finding("warning", f"{path} does not belong to {player.executable}.", todo, path)


def has_build(folder: str | Path) -> bool:
    """Return whether a folder has a build, even an unusable or incomplete one, so that no sample is put next to it."""
    if not Path(folder).is_dir():
        return False
    listing = walk(Path(folder))
    return any(_is_player(entry.path) for entry in listing.entries) or _instead(listing) is not None
