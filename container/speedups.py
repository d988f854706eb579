"""Speedups of ML-Agents that do not change what is learned, one module of a trainer version for each.

A speedup replaces functions of the installed package at run time; the package itself is not changed. Each replacement
returns exactly the same values as ML-Agents' own function, and leaves unsupported cases to it. The modules import
ML-Agents and TensorFlow, so they are imported only when a speedup is applied; this one imports neither.
"""

import importlib
from typing import Iterable, Tuple

import trainers
from refusal import RefusalError

NAMES = tuple(trainers.chosen().ROW["speedups"])

_applied = set()


def read_speedups(raw: str) -> Tuple[str, ...]:
    """Read `all`, `none` or names with commas between.

    Raises
    ------
    ValueError
        A name is unknown; the message lists the known ones.
    """
    if raw in ("all", "none"):
        return NAMES if raw == "all" else ()
    names = [name.strip() for name in raw.split(",")]
    if not all(name in NAMES for name in names):
        raise ValueError("all, none or some of %s, separated by commas" % ", ".join(NAMES))
    return tuple(name for name in NAMES if name in names)


def apply(names: Iterable[str]) -> None:
    """Apply speedups to the ML-Agents of this process, unless they are already applied.

    Raises
    ------
    RefusalError
        Another version of ML-Agents is installed.
    """
    missing = [name for name in names if name not in _applied]
    if not missing:
        return
    wanted = trainers.chosen().VERSION
    for package in ("mlagents", "mlagents_envs"):
        found = _version(package)
        if found != wanted:
            raise RefusalError(
                "The speedups are made for %s %s, but %s is installed. Set the hyperparameter speedups to none, or "
                "install what the lock file names." % (package, wanted, found)
            )
    for name in missing:
        importlib.import_module("%s.speedups.%s" % (trainers.chosen().__name__, name)).apply()
        _applied.add(name)


def _version(package: str) -> str:
    import pkg_resources  # slow, and not needed without speedups

    return pkg_resources.get_distribution(package).version
