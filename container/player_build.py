"""The Unity build: found in the channel, copied to where it can be run."""

import os
import shutil
from typing import List, Optional

from refusal import RefusalError

SUFFIX = ".x86_64"
TRACES = (SUFFIX, ".x86", ".exe", ".app", "_Data", "UnityPlayer.so")  # ends of names that only a build has
REMOVED_BY_MLAGENTS = (".x86_64", ".x86", ".app", ".exe")  # wherever they stand in the path of --env

ELSEWHERE = (
    "Name another folder for temporary files in TMPDIR, or mount one with room (`docker run --tmpfs /tmp:exec`)."
)


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
