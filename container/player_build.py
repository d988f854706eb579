"""The Unity build: compared with what was uploaded, found in the channel, copied to where it can be run."""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Optional

from contract import CONTRACT
from refusal import RefusalError

HASH = CONTRACT["environment"]["volume_hash"]  # environment variable: content hash of what the job was launched with
SUMS = CONTRACT["list_of_hashes"]  # what that is the hash of: the list of all other files, as `sha256sum` writes it
MOST_NAMED = 3

SUFFIX = ".x86_64"
TRACES = (SUFFIX, ".x86", ".exe", ".app", "_Data", "UnityPlayer.so")  # ends of names that only a build has
REMOVED_BY_MLAGENTS = (".x86_64", ".x86", ".app", ".exe")  # wherever they stand in the path of --env

ELSEWHERE = (
    "Name another folder for temporary files in TMPDIR, or mount one with room (`docker run --tmpfs /tmp:exec`)."
)


def check(channel: str, wanted: str) -> int:
    """Compare all that is in the channel with what the job was launched with.

    It is read once, as fast as the disk and the cores allow: 1 GB takes one to two seconds where it is on this machine.

    Parameters
    ----------
    channel
        Folder of the channel `unity-volume`.
    wanted
        The content hash: the first 16 digits of the SHA-256 of the list `SHA256SUMS`.

    Returns
    -------
    int
        How many files were compared.

    Raises
    ------
    RefusalError
        Something was added, is missing, or was changed.
    """
    names = sorted(
        os.path.relpath(os.path.join(folder, name), channel)
        for folder, folders, files in os.walk(channel)
        for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]
    )
    if SUMS in names:
        names.remove(SUMS)
    with ThreadPoolExecutor() as pool:
        there = dict(zip(names, pool.map(lambda name: sha256(os.path.join(channel, name)), names)))
    lines = ["%s  %s\n" % (there[name], name) for name in names]
    if hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16] == wanted:
        return len(names)
    raise RefusalError(
        "The channel unity-volume does not hold what the job was launched with (content hash %s): %s. Upload the build "
        "again with notebook 2, launch the job again, and find out who else may write to the bucket."
        % (wanted, differences(there, os.path.join(channel, SUMS), wanted))
    )


def differences(there: Dict[str, str], sums: str, wanted: str) -> str:
    """Return what differs from the list, where the list itself can be trusted."""
    content = b""
    if os.path.isfile(sums) and not os.path.islink(sums):
        with open(sums, "rb") as file:
            content = file.read()
    if hashlib.sha256(content).hexdigest()[:16] != wanted:
        return "and which file differs cannot be told, for the list %s is %s as well" % (
            SUMS,
            "different" if content else "missing",
        )
    listed = dict(line.split("  ", 1)[::-1] for line in content.decode("utf-8", "surrogateescape").split("\n")[:-1])
    found = [
        ("added", sorted(set(there) - set(listed))),
        ("missing", sorted(set(listed) - set(there))),
        ("changed", sorted(name for name in listed if name in there and there[name] != listed[name])),
    ]
    return "; ".join(
        "%s: %s%s" % (what, ", ".join(names[:MOST_NAMED]), " and %d more" % more if more > 0 else "")
        for what, names in found
        for more in [len(names) - MOST_NAMED]
        if names
    )


def sha256(path: str) -> str:
    """Hash a file; what is no plain file has no hash."""
    if os.path.islink(path) or not os.path.isfile(path):
        return "no file"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def traces(channel: str) -> List[str]:
    """List what belongs to a build, whole or not, for this system or another."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), channel)
        for folder, folders, files in os.walk(channel)
        for name in folders + files
        if name.endswith(TRACES) and not name.startswith("._")  # which macOS leaves beside files
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
    there = traces(channel)
    found = [name for name in there if name.endswith(SUFFIX) and os.path.isfile(os.path.join(channel, name))]
    if named is None:
        if len(found) == 1:
            return os.path.join(channel, found[0])
        told = ", ".join(found) or " but ".join(["none", *there[:1]])
        raise RefusalError(
            "Expected one *.x86_64 in the channel unity-volume, found %s. Build for Linux x86_64 in Unity, or say "
            "which with the hyperparameter env." % told
        )
    wanted = os.path.normpath(named if named.endswith(SUFFIX) else named + SUFFIX)
    if wanted not in found:
        raise RefusalError(
            "Hyperparameter env names %s, which is not in the channel unity-volume; it holds %s."
            % (wanted, ", ".join(found) or "no *.x86_64")
        )
    return os.path.join(channel, wanted)


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
                "ML-Agents 0.11 removes %s wherever it stands in a path, and %s has it before its end. Rename the "
                "build, or set TMPDIR to a folder without it." % (suffix, target)
            )
    try:
        shutil.copytree(os.path.dirname(executable), folder)
    except (OSError, shutil.Error) as error:
        # Of several, one line of each is more than a reason can hold: the first tells.
        told = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise RefusalError("The build could not be copied to %s: %s. %s" % (folder, told, ELSEWHERE)) from None
    os.chmod(target, 0o700)
    if not os.access(target, os.X_OK):  # so it says of a file system that is mounted noexec, to root too
        raise RefusalError("No program may be started from %s, which is mounted noexec. %s" % (folder, ELSEWHERE))
    return target
