"""Why a player did not respond: causes derived from its log and exit code, and what to do."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any

from common import trainer_env
from common.contract import DEFAULT_TRAINER, TRAINERS
from common.findings import Finding

# Searched for in the player's log and output, the most reliable first. \1 is the pattern's group.
_IN_LOG = (
    (
        r"error while loading shared libraries: ([^\s:]+)",
        r"The player needs the system library \1, which is not installed.",
        "Install the package that holds it; a server build needs fewer.",
    ),
    (
        r"version `(GLIBC[\w.]+)' not found",
        r"The player needs \1, newer than this system's.",
        "Build with an earlier version of Unity (for ML-Agents 0.11: 2017.4 to 2019.4), or start it in the container.",
    ),
    (
        r"(?:DllNotFoundException|Unable to load|[Ee]rror loading native library)[^\n]*(grpc_csharp_ext)",
        r"The native library \1 could not be loaded.",
        "Check the build: libgrpc_csharp_ext.x64.so must lie whole below its Plugins folder.",
    ),
    (
        r"(DllNotFoundException: \S+)",
        r"A plugin could not be loaded (\1).",
        "Add it to the Unity project for Linux x86_64 and build again.",
    ),
    (
        r"((?:[Uu]nable to|[Cc]an't) open display|[Dd]esktop is 0 x 0|(?:[Ff]ailed|Unable) to initialize (?:GL|SDL))",
        r"The player found no display (\1).",
        "Start it with no-graphics, or make a server build; with visual observations it needs a display.",
    ),
    (
        r"(?:Unable to load|[Cc]ould not load|[Ff]ailed to load) (?:the )?([Mm]ono)",
        "The Mono runtime could not be loaded.",
        "Check the build: MonoBleedingEdge/ must be whole.",
    ),
    (
        r"(There should be '[^']+' folder|[Dd]ata folder not found|no data folder)",
        "The player did not find its data folder.",
        "Executable and _Data folder must have the same name and lie side by side.",
    ),
    (
        r"(Failed to load il2cpp|Unable to load GameAssembly)",
        "The game's code (GameAssembly.so) could not be loaded.",
        "Copy the build again, with GameAssembly.so beside the executable.",
    ),
    (
        r"(\w*OutOfMemory\w*|Could not allocate memory)",
        r"The player ran out of memory (\1).",
        "Start fewer players at once, or use a machine with more memory.",
    ),
)

_BY_ERROR = {
    "UnityWorkerInUseException": ("Another program took the port.", "Start it once more."),
    "PermissionError": (
        "The system refuses to start the player.",
        "Temporary files may be on a file system without execution (noexec): set TMPDIR to another folder.",
    ),
    "NoTrainer": ("The trainer environment can't be started.", "Make it with `{}`."),
    "AskerFailed": (
        "The trainer environment failed.",
        "Make it again with `{}`; the log has the details.",
    ),
    "ModuleNotFoundError": ("The trainer environment lacks ML-Agents.", "Make it again with `{}`."),
}


def explain(answer: Mapping[str, Any], log: str, timeout: float, trainer: str = DEFAULT_TRAINER) -> Finding:
    """Return the cause of a failed smoke start.

    Parameters
    ----------
    answer
        The answer of `ask_player`: ``error``, ``message`` and possibly ``exit_code``.
    log
        The player's log and output.
    timeout
        Seconds that it had to connect.
    trainer
        The version of ML-Agents that started it.
    """
    error, message = answer["error"], answer["message"]
    if versions := re.search(r"Python API ?: (\S+), Unity API ?: (\S+?)\.?\s", message):
        what = f"The player speaks {versions[2]}, the trainer {versions[1]}."
        todo = (
            "Put the ML-Agents SDK of release 0.11.0, or com.unity.ml-agents 2.0 or later, into the Unity project and "
        )
        todo += "build again."
        return Finding("error", what, todo)
    for pattern, what, todo in _IN_LOG:
        if found := re.search(pattern, log):
            return Finding("error", found.expand(what), todo)
    if error in _BY_ERROR:
        what, todo = _BY_ERROR[error]
        return Finding("error", f"{what} {message}".strip(), todo.format(trainer_env.SETUP[trainer]))
    if error == "PlayerEnded":
        return _ended(answer["exit_code"], log)
    if "Exec format error" in message:
        todo = "It is made for another system or processor. Build for Linux x86_64."
        return Finding("error", "This machine can't run the player.", todo)
    if error in ("TimedOut", "UnityTimeOutException"):
        what = f"The player ran, but did not connect within {timeout:g} s."
        if error == "TimedOut":
            what = "The player connected and then stopped responding."
        made_with = TRAINERS[trainer]["builds"]
        todo = (
            f"Is there an Academy in its first scene, and was it built with {made_with}? Its log shows how far it got."
        )
        return Finding("error", what, todo)
    return Finding("error", f"The start failed: {error}: {message}.", "The log says more.")


def _ended(code: int, log: str) -> Finding:
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "nothing")
    if code >= 0:
        what = f"The player ended with exit code {code} before it was asked to."
    else:
        names = {number.value: number.name for number in signal.Signals}
        what = f"The player crashed ({names.get(-code, f'signal {-code}')})."
    return Finding("error", what, f"Its log ends with: {last[:200]}")
