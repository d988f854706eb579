"""Where the build is in a folder, or what lies there in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.findings import Finding
from helpers.unity_build.listing import Listing, walk

IN_UNITY = "File > Build Settings, target platform Linux, architecture x86_64, then Build"

# Removed by mlagents-learn 0.11.0 from anywhere in --env, in this order, before it looks for NAME.x86_64.
_STRIPPED = (".app", ".exe", ".x86_64", ".x86")

# Matched by mlagents-learn 0.11.0 with glob, so a file of such a name is not found.
_WILD = set("*?[")


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
        """Whether a file belongs to the build."""
        beside = (self.executable, "UnityPlayer.so", "GameAssembly.so", "UnityPlayer_s.debug", "LinuxPlayer_s.debug")
        return path in beside or path.startswith(self.data + "/")


def locate(listing: Listing) -> tuple[Player | None, list[Finding]]:
    """Find the one player at the top of a folder; say what is wrong where there is none, or several."""
    top = [path for path in listing.files if "/" not in path and not path.startswith("._")]
    players = [path for path in top if path.endswith(".x86_64")]
    if len(players) == 1:
        name = players[0].removesuffix(".x86_64")
        player = Player(name, players[0], name + "_Data")
        return player, [*_wrong_name(player), *_wrong_data(player, listing), *_strangers(player, top, listing)]
    if players:
        return None, [
            Finding(
                "error",
                f"Expected one build, found {len(players)}: {', '.join(players)}.",
                "Nobody can tell which one to train. Keep one build with its _Data folder and move the rest elsewhere.",
            )
        ]
    return None, [_instead(top, listing)]


def _instead(top: list[str], listing: Listing) -> Finding:
    wanted = f"Expected one *.x86_64 in {listing.root.name or listing.root}/"
    rebuild = f"Build again in Unity: {IN_UNITY}."
    deeper = [path for path in listing.files if path.count("/") == 1 and path.endswith(".x86_64")]
    deeper = [path for path in deeper if "/._" not in path and not path.startswith("__MACOSX/")]
    if deeper:
        folder = deeper[0].split("/")[0]
        return Finding(
            "error",
            f"{wanted}, found {deeper[0]}.",
            f"The build lies one folder too deep. Move what is in {folder}/ one level up.",
            deeper[0],
        )
    for path in top:
        if path.endswith(".x86"):
            return Finding(
                "error", f"{wanted}, found the 32-bit {path}.", f"The trainer needs 64 bits. {rebuild}", path
            )
    for path in top:
        if path.lower().endswith(".exe"):
            return Finding(
                "error", f"{wanted}, found the Windows build {path}.", f"Training runs on Linux. {rebuild}", path
            )
    for path in listing.folders:
        if "/" not in path and path.lower().endswith(".app"):
            return Finding(
                "error", f"{wanted}, found the macOS build {path}.", f"Training runs on Linux. {rebuild}", path
            )
    for path in top:
        stem = path[: -len(".x86_64")] if path.lower().endswith(".x86_64") else path
        if stem + "_Data" in listing.folders and listing.read(path, 4) == b"\x7fELF":
            return Finding(
                "error",
                f"{wanted}, found {path}.",
                f"mlagents-learn looks for a name that ends in .x86_64. Rename it to {stem}.x86_64.",
                path,
            )
    return Finding(
        "error",
        f"{wanted}, found none.",
        f"Build for Linux x86_64 in Unity ({IN_UNITY}), or run make_sample_build('{listing.root}').",
    )


def _wrong_name(player: Player) -> Iterator[Finding]:
    stripped = player.name.strip()
    for part in _STRIPPED:
        stripped = stripped.replace(part, "")
    rename = "Give the build another name in Unity, or rename executable and _Data folder alike"
    rename += " (letters, digits, _ and -)."
    if stripped != player.name:
        what = f"mlagents-learn would look for {stripped + '.x86_64'!r}, not {player.executable!r}."
        yield Finding(
            "error", what, f"It cuts .app, .exe, .x86 and outer spaces out of names. {rename}", player.executable
        )
    if not player.name:
        yield Finding("error", "The build's name is empty.", rename, player.executable)
    elif _WILD & set(player.name):
        what = f"The name {player.name!r} holds a wildcard, so mlagents-learn can't find it."
        yield Finding("error", what, rename, player.executable)
    elif (
        not all(sign.isascii() and (sign.isalnum() or sign in "_-.") for sign in player.name) or player.name[0] in "-."
    ):
        what = f"The name {player.name!r} holds signs that shells and paths treat in their own way."
        yield Finding(
            "warning", what, f"It trains, but breaks commands that are typed without care. {rename}", player.executable
        )


def _wrong_data(player: Player, listing: Listing) -> Iterator[Finding]:
    if player.data in listing.folders:
        return
    others = [path for path in listing.folders if "/" not in path and path.endswith("_Data")]
    found = f"found {others[0]}/" if others else "found none"
    todo = (
        f"Executable and data folder belong together. Rename one of them: {player.executable} and {player.data}."
        if others
        else f"The executable alone is no build. Copy {player.data}/ from where Unity built it too."
    )
    yield Finding("error", f"Expected {player.data}/ beside {player.executable}, {found}.", todo, player.data)


def _strangers(player: Player, top: list[str], listing: Listing) -> Iterator[Finding]:
    todo = "It looks like a part of a second build in the same folder. Move it elsewhere; it would be uploaded too."
    folders = [path for path in listing.folders if "/" not in path]
    data = [path for path in folders if path.endswith("_Data") and path != player.data]
    data = [path for path in data if player.data in folders]
    apps = [path for path in folders if path.lower().endswith(".app")]
    programs = [path for path in top if path.lower().endswith((".exe", ".x86")) or path == "UnityPlayer.dll"]
    for path in [*data, *apps, *programs]:
        yield Finding("warning", f"{path} does not belong to {player.executable}.", todo, path)


def has_build(folder: str | Path) -> bool:
    """Whether a folder holds a build, be it a wrong one or a part of one: a sample must not be put beside it."""
    listing = walk(Path(folder)) if Path(folder).is_dir() else None
    if listing is None:
        return False
    signs = (".x86_64", ".x86", ".exe", ".app", "_Data")
    names = [path.rpartition("/")[2] for path in (*listing.files, *listing.folders) if path.count("/") < 2]
    return any(name.endswith(signs) and not name.startswith("._") for name in names)
