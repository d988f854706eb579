"""What makes ML-Agents 0.11.0 train faster without a change to what is learned, one module for each speedup.

A speedup replaces functions of the installed package at run time; the package stays as it is. Each yields what
ML-Agents' own function yields, value for value, and leaves cases that it was not made for to that function. The
modules import ML-Agents and TensorFlow, so they are imported only where a speedup is applied; this one imports neither.
"""

import importlib
from typing import Iterable, Tuple

import contract
from refusal import RefusalError

VERSION = contract.CONTRACT["mlagents"]
NAMES = tuple(contract.CONTRACT["speedups"])

_applied = set()


def read_speedups(raw: str) -> Tuple[str, ...]:
    """Read `all`, `none` or names with commas between.

    Raises
    ------
    ValueError
        A name is not known; its message says what was wanted.
    """
    if raw in ("all", "none"):
        return NAMES if raw == "all" else ()
    names = [name.strip() for name in raw.split(",")]
    if not all(name in NAMES for name in names):
        raise ValueError("all, none or some of %s, separated by commas" % ", ".join(NAMES))
    return tuple(name for name in NAMES if name in names)


def apply(names: Iterable[str]) -> None:
    """Apply speedups to the ML-Agents of this process; those applied already stay.

    Raises
    ------
    RefusalError
        Another version of ML-Agents is installed.
    """
    missing = [name for name in names if name not in _applied]
    if not missing:
        return
    for package in ("mlagents", "mlagents_envs"):
        found = _version(package)
        if found != VERSION:
            raise RefusalError(
                "The speedups are made for %s %s, but %s is installed. Set the hyperparameter speedups to none, or "
                "install what the lock file names." % (package, VERSION, found)
            )
    for name in missing:
        importlib.import_module("speedups." + name).apply()
        _applied.add(name)


def _version(package: str) -> str:
    import pkg_resources  # takes a moment, and is not needed where no speedup is applied

    return pkg_resources.get_distribution(package).version
