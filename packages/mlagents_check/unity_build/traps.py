"""Problems that copying, zipping and version control cause in a folder, and files that can't be uploaded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator

from common.findings import Finding
from mlagents_check.unity_build.contents import is_optional
from mlagents_check.unity_build.listing import Listing
from mlagents_check.unity_build.locate import Player

_KEY_LIMIT = 1024  # bytes in an S3 key


def traps(listing: Listing) -> Iterator[Finding]:
    """Find files that can't or should not be uploaded."""
    yield from _apple_files(listing)
    yield from _links_and_others(listing)
    yield from _names(listing)


def is_lfs_pointer(listing: Listing, path: str) -> bool:
    """Return whether a file is a Git LFS pointer: a placeholder for a large file that was not downloaded."""
    return 40 < listing.files[path].size < 1024 and listing.read(path, 24) == b"version https://git-lfs."


def lfs_pointers(listing: Listing, pointers: Collection[str], player: Player | None) -> list[Finding]:
    """Report once that files are Git LFS pointers: an error if the build needs one of them."""
    if not pointers:
        return []
    names = [listing.files[path].name for path in sorted(pointers)]
    what = f"{names[0]} is a Git LFS pointer, not the file itself."
    if len(names) > 1:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        what = f"{len(names)} files are Git LFS pointers, not the files themselves: {', '.join(names[:3])}{more}."
    needed = any(not player or (player.owns(path) and not is_optional(path)) for path in pointers)
    todo = "Their content was never downloaded. Run `git lfs pull` in the repository they come from, and copy again."
    return [Finding("error" if needed else "warning", what, todo, min(pointers))]


def _apple_files(listing: Listing) -> Iterator[Finding]:
    found = [path for path in listing.left_out if path.rpartition("/")[2].startswith(("._", "__MACOSX"))]
    if found:
        what = f"macOS added files of its own ({', '.join(found[:3])}{', …' if found[3:] else ''})."
        yield Finding(
            "warning",
            what,
            "They are left out of the upload. Zip with `zip -X` or `ditto --norsrc` to avoid them.",
            found[0],
        )


def _links_and_others(listing: Listing) -> Iterator[Finding]:
    for entry in listing.entries:
        if entry.kind == "link":
            real, root = os.path.realpath(listing.root / entry.path), os.path.realpath(listing.root)
            if not (listing.root / entry.path).exists():
                yield Finding(
                    "error",
                    f"The link {entry.path} -> {entry.target} leads nowhere.",
                    "Put the file itself there, or delete the link.",
                    entry.path,
                )
            elif os.path.commonpath([real, root]) != root:
                yield Finding(
                    "error",
                    f"The link {entry.path} -> {entry.target} leads out of the folder.",
                    "It would lead nowhere in the training job. Put the file itself there.",
                    entry.path,
                )
            else:
                yield Finding(
                    "error",
                    f"{entry.path} is a link to {entry.target}.",
                    "S3 keeps no links, so the folder can't be uploaded. Put the file itself there.",
                    entry.path,
                )
        elif entry.kind == "special":
            yield Finding(
                "error",
                f"{entry.path} is a pipe, socket or device, not a file.",
                "It can't be uploaded. Delete it.",
                entry.path,
            )
        elif entry.kind == "unreadable":
            yield Finding(
                "error",
                f"{entry.path or 'The folder'} can't be read.",
                "Make it readable: chmod -R u+rX.",
                entry.path,
            )


def _names(listing: Listing) -> Iterator[Finding]:
    same: dict[str, list[str]] = defaultdict(list)
    for entry in listing.entries:
        same[entry.path.casefold()].append(entry.path)
        try:
            size = len(entry.path.encode())
        except UnicodeEncodeError:
            yield Finding(
                "error",
                f"The name {entry.path!r} is not UTF-8.",
                "S3 can't store it. Rename the file.",
                entry.path.encode("utf-8", "replace").decode(),
            )
            continue
        if size > _KEY_LIMIT - 200:
            yield Finding(
                "error",
                f"A path is {size} bytes long.",
                f"S3 holds {_KEY_LIMIT}, including the prefix. Shorten it.",
                entry.path,
            )
        elif any(ord(sign) < 32 or ord(sign) == 127 for sign in entry.path):
            yield Finding(
                "error", f"The name {entry.path!r} contains a control character.", "Rename the file.", entry.path
            )
    for paths in same.values():
        if len(paths) > 1:
            yield Finding(
                "warning",
                f"{' and '.join(paths)} differ only in upper and lower case.",
                "On Windows and macOS one overwrites the other. Rename one, or delete the extra one.",
                paths[0],
            )
