"""The complete check of a build's folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from common.findings import Finding, ordered
from mlagents_check.unity_build.contents import Contents, examine
from mlagents_check.unity_build.listing import Listing, walk
from mlagents_check.unity_build.locate import Player, locate
from mlagents_check.unity_build.others import others
from mlagents_check.unity_build.report import BuildReport, UnityBuild
from mlagents_check.unity_build.traps import is_lfs_pointer, lfs_pointers, traps


def check(folder: str | Path, since: Listing | None = None) -> BuildReport:
    """Check whether a folder holds a Unity build that ML-Agents 0.11.0 or 1.1.0 can train.

    Reads headers, code and names, a few MB whatever the build's size. Writes and starts nothing.

    Parameters
    ----------
    folder
        The folder of the build, `unity-volume` in the notebooks.
    since
        The listing of an earlier report (`BuildReport.listing`): files that have changed since become a finding.

    Returns
    -------
    BuildReport
        With all findings, even if there is no build; use `BuildReport.raise_for_errors` to stop on errors.
        `BuildReport.trainer` is the trainer version that the build speaks.
    """
    folder = Path(folder)
    subject = f"Unity build in {folder}/"
    if not folder.is_dir():
        what = f"{folder} is not a folder." if folder.exists() else f"There is no folder {folder}."
        finding = Finding("error", what, "Create it and put your Unity build there, or run make_sample_build.")
        return BuildReport(subject, (finding,), folder, None, (), Listing(folder, (), ()))

    listing = walk(folder)
    player, findings = locate(listing)
    findings += traps(listing)
    build = None
    if player:
        contents = examine(player, listing)
        findings += contents.findings
        build = _describe(player, contents, listing)
    pointers = {path for path in listing.files if is_lfs_pointer(listing, path)}
    findings = [finding for finding in findings if finding.path not in pointers]
    findings += lfs_pointers(listing, pointers, player)
    if since is not None:
        findings += _changes(since, listing)
    return BuildReport(subject, ordered(findings), folder, build, others(listing, player), listing)


def _describe(player: Player, contents: Contents, listing: Listing) -> UnityBuild:
    own = [entry for path, entry in listing.files.items() if player.owns(path)]
    parts: Counter[str] = Counter()
    for entry in own:
        parts[_part(entry.path, player)] += entry.size
    return UnityBuild(
        name=player.name,
        executable=listing.root / player.executable,
        data=listing.root / player.data,
        protocol=(contents.protocol and contents.protocol.number) or None,
        package=contents.protocol.package if contents.protocol else "",
        backend=contents.backend,
        unity_version=contents.unity_version,
        headless=contents.headless,
        size=sum(entry.size for entry in own),
        files=len(own),
        brains=contents.brains,
        parts=tuple(parts.most_common()),
    )


def _part(path: str, player: Player) -> str:
    inside = path.removeprefix(player.data + "/")
    top = inside.split("/")[0]
    if inside == path:
        return "engine"
    if top in ("Managed", "il2cpp_data"):
        return "code"
    if top in ("MonoBleedingEdge", "Mono"):
        return "Mono runtime"
    if top == "Plugins":
        return "plugins"
    if top == "StreamingAssets":
        return "streaming assets"
    return "scenes and assets"


def _changes(before: Listing, now: Listing) -> list[Finding]:
    old, new = before.files, now.files
    changed = [path for path in new if path in old and new[path] != old[path]]
    groups = {"new": sorted(new.keys() - old.keys()), "changed": changed, "gone": sorted(old.keys() - new.keys())}
    parts = [f"{len(paths)} {how} ({paths[0]}{', …' if paths[1:] else ''})" for how, paths in groups.items() if paths]
    if not parts:
        return []
    todo = "Earlier checks, starts and uploads are out of date: repeat them before you train."
    return [Finding("note", f"Since the last check: {', '.join(parts)}.", todo)]
