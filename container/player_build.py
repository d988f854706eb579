"""The Unity build: verify it, find it in the channel, and copy it to where it can run."""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Optional

import trainers
from contract import CONTRACT
from refusal import RefusalError

HASH = CONTRACT["environment"][
    "volume_hash"
]  # environment variable with the content hash that the job was launched with
SUMS = CONTRACT["list_of_hashes"]  # the list of all other files, in the format of `sha256sum`, which is hashed
MAX_NAMED = 3

SUFFIX = ".x86_64"
TRACES = (SUFFIX, ".x86", ".exe", ".app", "_Data", "UnityPlayer.so")  # suffixes of names that only a build has
REMOVED_BY_MLAGENTS = (".x86_64", ".x86", ".app", ".exe")  # anywhere in the path of --env

ELSEWHERE = (
    "Name another folder for temporary files in TMPDIR, or mount one with room (`docker run --tmpfs /tmp:exec`)."
)


def check(channel: str, expected: str) -> int:
    """Compare the channel's content with the hash that the job was launched with.

    Files are read once, in parallel: 1 GB on a local disk takes one to two seconds.

    Parameters
    ----------
    channel
        Folder of the channel `unity-volume`.
    expected
        The content hash: the first 16 digits of the SHA-256 of the list `SHA256SUMS`.

    Returns
    -------
    int
        The number of compared files.

    Raises
    ------
    RefusalError
        A file was added, removed, or changed.
    """
    names = sorted(
        os.path.relpath(os.path.join(folder, name), channel)
        for folder, folders, files in os.walk(channel)
        for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]
    )
    if SUMS in names:
        names.remove(SUMS)
    with ThreadPoolExecutor() as pool:
        hashes = dict(zip(names, pool.map(lambda name: sha256(os.path.join(channel, name)), names)))
    lines = ["%s  %s\n" % (hashes[name], name) for name in names]
    if hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16] == expected:
        return len(names)
    raise RefusalError(
        "The channel unity-volume does not hold what the job was launched with (content hash %s): %s. Upload the build "
        "again with notebook 2, launch the job again, and find out who else may write to the bucket."
        % (expected, differences(hashes, os.path.join(channel, SUMS), expected))
    )


def differences(hashes: Dict[str, str], sums: str, expected: str) -> str:
    """Describe the differences from the list, if the list itself is unchanged."""
    content = b""
    if os.path.isfile(sums) and not os.path.islink(sums):
        with open(sums, "rb") as file:
            content = file.read()
    if hashlib.sha256(content).hexdigest()[:16] != expected:
        return "which file differs is unknown, because the list %s is %s as well" % (
            SUMS,
            "different" if content else "missing",
        )
    listed = dict(line.split("  ", 1)[::-1] for line in content.decode("utf-8", "surrogateescape").split("\n")[:-1])
    found = [
        ("added", sorted(set(hashes) - set(listed))),
        ("missing", sorted(set(listed) - set(hashes))),
        ("changed", sorted(name for name in listed if name in hashes and hashes[name] != listed[name])),
    ]
    return "; ".join(
        "%s: %s%s" % (kind, ", ".join(names[:MAX_NAMED]), " and %d more" % more if more > 0 else "")
        for kind, names in found
        for more in [len(names) - MAX_NAMED]
        if names
    )


def sha256(path: str) -> str:
    """Hash a file; return "no file" for anything but a plain file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return "no file"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def traces(channel: str) -> List[str]:
    """List files and folders that belong to a build, complete or not, for any system."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), channel)
        for folder, folders, files in os.walk(channel)
        for name in folders + files
        if name.endswith(TRACES) and not name.startswith("._")  # which macOS creates next to files
    )


def find(channel: str, named: Optional[str]) -> str:
    """Find the player's executable in the channel.

    Parameters
    ----------
    channel
        Folder of the channel `unity-volume`.
    named
        The hyperparameter `env`, relative to the channel, with or without `.x86_64`; None takes the only one.

    Raises
    ------
    RefusalError
        There is none, or more than one to choose from.
    """
    parts = traces(channel)
    found = [name for name in parts if name.endswith(SUFFIX) and os.path.isfile(os.path.join(channel, name))]
    if named is None:
        if len(found) == 1:
            return os.path.join(channel, found[0])
        listed = ", ".join(found) or " but ".join(["none", *parts[:1]])
        raise RefusalError(
            "Expected one *.x86_64 in the channel unity-volume, found %s. Build for Linux x86_64 in Unity, or say "
            "which with the hyperparameter env." % listed
        )
    expected = os.path.normpath(named if named.endswith(SUFFIX) else named + SUFFIX)
    if expected not in found:
        raise RefusalError(
            "Hyperparameter env names %s, which is not in the channel unity-volume; it holds %s."
            % (expected, ", ".join(found) or "no *.x86_64")
        )
    return os.path.join(channel, expected)


def copy(executable: str, folder: str) -> str:
    """Copy the build's folder to a writable place and make the player executable.

    The channel may be read-only, and S3 keeps no permission bits.

    Returns
    -------
    str
        The copied executable.

    Raises
    ------
    RefusalError
        ML-Agents would not find the copy again, there is no room for it, or it may not be started there.
    """
    target = os.path.join(folder, os.path.basename(executable))
    for suffix in REMOVED_BY_MLAGENTS:
        if suffix in target[: -len(SUFFIX)]:
            raise RefusalError(
                "%s removes %s wherever it stands in a path, and %s has it before its end. Rename the build, or set "
                "TMPDIR to a folder without it." % (trainers.chosen().ROW["name"], suffix, target)
            )
    try:
        shutil.copytree(os.path.dirname(executable), folder)
    except (OSError, shutil.Error) as error:
        # Of several errors, the first is enough for the reason.
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise RefusalError("The build could not be copied to %s: %s. %s" % (folder, reason, ELSEWHERE)) from None
    os.chmod(target, 0o700)
    if not os.access(target, os.X_OK):  # false on a file system that is mounted noexec, also for root
        raise RefusalError("No program may be started from %s, which is mounted noexec. %s" % (folder, ELSEWHERE))
    return target
