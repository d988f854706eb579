"""The trainer environments: the Pythons that run ML-Agents on this machine, outside Docker.

There is one for each version of ML-Agents, in three flavours. Each runs the unmodified `mlagents` wheel of its version.

exact
    ML-Agents 0.11.0, CPython 3.7 and TensorFlow 1.15, pinned by the same lock file as the Docker image. TensorFlow 1.15
    has no wheel for a later Python, so this needs a CPython 3.7 on Linux x86-64.
compat
    ML-Agents 0.11.0, CPython 3.9 to 3.11 and TensorFlow 2.15, seen by ML-Agents through `tensorflow.compat.v1`.
cpu
    ML-Agents 1.1.0, CPython 3.11 or 3.10 and PyTorch without CUDA, pinned by the same lock files as its Docker image.

``python -m common.trainer_env`` makes the environment of 0.11.0, exact where it can; ``--trainer 1.1.0`` that of 1.1.0.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uv

from common import ROOT, pip_settings
from common.contract import DEFAULT_TRAINER

CONTAINER = ROOT / "container"
LOCKS_1_1_0 = CONTAINER / "locks-1.1.0"
DEFAULT = DEFAULT_TRAINER
SETUP = {"0.11.0": "make setup", "1.1.0": "make setup TRAINER=1.1.0"}
"""The command that makes the environment of each version of the trainer."""


class TrainerEnvError(RuntimeError):
    """There is no usable trainer environment, or it cannot be made."""


@dataclass(frozen=True)
class Flavour:
    """What a flavour of the trainer environment is made of.

    Attributes
    ----------
    trainer : str
        The version of ML-Agents.
    libraries : str
        What it trains with.
    minors : tuple of str
        The versions of CPython that it runs on.
    python : str
        The one that is asked of uv, which finds or downloads it.
    locks : tuple of Path
        Its packages.
    older : tuple of Path
        Further packages, which claim not to run on this CPython.
    beside : dict of str to Path
        Packages that replace some of those while training, by the folder in the environment that they lie in.
    """

    trainer: str
    libraries: str
    minors: tuple[str, ...]
    python: str
    locks: tuple[Path, ...]
    older: tuple[Path, ...] = ()
    beside: Mapping[str, Path] = field(default_factory=dict)


FLAVOURS = {
    "exact": Flavour("0.11.0", "TensorFlow 1.15", ("3.7",), "3.7", (CONTAINER / "requirements.lock",)),
    "compat": Flavour(
        "0.11.0",
        "TensorFlow 2.15 through compat.v1",
        ("3.9", "3.10", "3.11"),
        ">=3.9,<3.12",
        (CONTAINER / "compat.lock",),
    ),
    "cpu": Flavour(
        "1.1.0",
        "PyTorch 2.13 without CUDA",
        ("3.10", "3.11"),
        "3.11",
        (LOCKS_1_1_0 / "requirements.lock", LOCKS_1_1_0 / "torch-cpu.lock"),
        (LOCKS_1_1_0 / "mlagents.lock",),
        {"compiled-protobuf": LOCKS_1_1_0 / "protobuf.lock"},
    ),
}


@dataclass(frozen=True)
class TrainerEnv:
    """A trainer environment.

    Attributes
    ----------
    python : Path
        Its interpreter.
    flavour : str
        One of `FLAVOURS`.
    version : str
        The interpreter's version, such as ``"3.7.16"``.
    """

    python: Path
    flavour: str
    version: str

    def __str__(self) -> str:
        flavour = FLAVOURS[self.flavour]
        return f"{self.flavour}: CPython {self.version}, {flavour.libraries}, ML-Agents {flavour.trainer}"


def home(trainer: str = DEFAULT) -> Path:
    """Return an environment's folder: ``TRAINER_HOME``, or `.trainer` in the project; other versions lie beside it."""
    default = Path(os.environ.get("TRAINER_HOME") or ROOT / ".trainer").absolute()
    return default if trainer == DEFAULT else default.with_name(f".trainer-{trainer}")


def find(trainer: str = DEFAULT, folder: Path | None = None) -> TrainerEnv:
    """Find the trainer environment that `make setup` made.

    Parameters
    ----------
    trainer : str, optional
        The version of ML-Agents that it runs.
    folder : Path, optional
        Its folder; by default `home`.

    Raises
    ------
    TrainerEnvError
        If there is none, or it is incomplete.
    """
    folder = folder or home(trainer)
    config = folder / "pyvenv.cfg"
    if not (folder / "stamp").is_file() or not config.is_file():
        raise TrainerEnvError(
            f"Expected an environment of the trainer {trainer} in {folder}, found none that is complete. "
            f"Run `{SETUP[trainer]}`."
        )
    settings = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
    version = settings["version_info"]
    return TrainerEnv(folder / "bin" / "python", flavours(trainer)[minor(version)], version)


def flavours(trainer: str) -> dict[str, str]:
    """Return the flavour for each version of CPython that a version of the trainer runs on."""
    return {minor: name for name, each in FLAVOURS.items() if each.trainer == trainer for minor in each.minors}


def minor(version: str) -> str:
    """Return the first two numbers of a version."""
    return ".".join(version.split(".")[:2])


def candidates() -> Iterator[Path]:
    """Yield the places where a CPython 3.7 may be: on PATH, in pyenv, in conda and in their usual folders."""
    if on_path := shutil.which("python3.7"):
        yield Path(on_path)
    user = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or user / ".pyenv")
    yield from sorted(pyenv.glob("versions/3.7*/bin/python3.7"))
    condas = [user / name for name in ("miniconda3", "anaconda3", "miniforge3", "mambaforge", ".conda")]
    condas += [Path("/opt/conda"), Path("/opt/miniconda3")]
    if conda := os.environ.get("CONDA_EXE"):
        condas.append(Path(conda).parent.parent)
    if active := os.environ.get("CONDA_PREFIX"):
        condas.append(Path(active))
    for base in condas:
        yield base / "bin" / "python3.7"
        yield from sorted(base.glob("envs/*/bin/python3.7"))
    yield Path("/usr/local/bin/python3.7")


def python_version(python: Path) -> str | None:
    """Run an interpreter and return its version, such as ``"3.7.16"``; None if it is not a 64-bit CPython that runs.

    Its name proves nothing: a pyenv shim called python3.7 may start nothing.
    """
    code = (
        "import platform,struct;"
        "print(platform.python_implementation(), struct.calcsize('P')*8, platform.python_version())"
    )
    try:
        result = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    name, bits, version = result.stdout.split()
    return version if (name, bits) == ("CPython", "64") else None


def exact_python() -> Path | None:
    """Return a CPython 3.7 that runs, or None. The locked wheels of TensorFlow 1.15 are for Linux x86-64."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    for python in candidates():
        if (python_version(python) or "").startswith("3.7."):
            return python
    return None


def choose(trainer: str = DEFAULT) -> tuple[str, str]:
    """Choose the flavour and the interpreter for a new environment.

    ``TRAINER_PYTHON`` names an interpreter; ``TRAINER_FLAVOUR`` insists on a flavour of 0.11.0.

    Returns
    -------
    flavour : str
        One of `FLAVOURS`.
    python : str
        A path, or a version range for uv to find or download.

    Raises
    ------
    TrainerEnvError
        If there is no interpreter as the two variables request.
    """
    possible = flavours(trainer)
    requested = (os.environ.get("TRAINER_FLAVOUR") or None) if trainer == DEFAULT else None
    if requested not in (None, *possible.values()):
        raise TrainerEnvError(f"Expected TRAINER_FLAVOUR to be exact or compat, found {requested!r}.")
    if named := os.environ.get("TRAINER_PYTHON"):
        return check_python(Path(named), requested, possible)
    if trainer != DEFAULT:
        (flavour,) = set(possible.values())
        return flavour, FLAVOURS[flavour].python
    found = None if requested == "compat" else exact_python()
    if found:
        return "exact", str(found)
    if requested == "exact":
        raise TrainerEnvError(
            "TRAINER_FLAVOUR=exact wants a 64-bit CPython 3.7 on Linux x86-64; found none on PATH, in pyenv "
            "or in conda. Install one (`pyenv install 3.7` or `conda create -n py37 python=3.7`), name it "
            "with TRAINER_PYTHON, or leave TRAINER_FLAVOUR unset to use compat."
        )
    return "compat", FLAVOURS["compat"].python


def check_python(python: Path, requested: str | None, possible: dict[str, str]) -> tuple[str, str]:
    """Check the interpreter that ``TRAINER_PYTHON`` names. Returns and raises as `choose` does."""
    version = python_version(python)
    flavour = possible.get(minor(version or ""))
    if flavour is None or requested not in (None, flavour):
        wanted = ", ".join(f"{number} ({name})" for number, name in possible.items())
        raise TrainerEnvError(
            f"TRAINER_PYTHON={python} should be a 64-bit CPython out of {wanted}"
            f"{f', and TRAINER_FLAVOUR={requested} asks for {requested}' if requested else ''}; "
            f"it is {version or 'nothing that runs'}. Name another, or unset it."
        )
    return flavour, str(python)


def make(trainer: str = DEFAULT, folder: Path | None = None) -> TrainerEnv:
    """Make a trainer environment, or keep an existing one that is up to date.

    The packages come from the flavour's lock files, each checked against its hash. The stamp is written last; without
    it, an interrupted set-up starts again. Takes what `find` does.

    Raises
    ------
    TrainerEnvError
        If there is no suitable Python, or the installation fails.
    """
    folder = folder or home(trainer)
    name, python = choose(trainer)
    flavour = FLAVOURS[name]
    content = b"".join(lock.read_bytes() for lock in (*flavour.locks, *flavour.older, *flavour.beside.values()))
    stamp = f"{name} {hashlib.sha256(content).hexdigest()}\n"
    stamp_file = folder / "stamp"
    if stamp_file.is_file() and stamp_file.read_text() == stamp:
        return find(trainer, folder)
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise TrainerEnvError(f"{folder} exists and is not a Python environment. Move it away, or set TRAINER_HOME.")
    run_uv("venv", "--quiet", "--clear", "--no-project", "--python", python, str(folder))
    checked = ("--quiet", "--compile-bytecode", "--require-hashes", "--python", str(folder))
    run_uv("pip", "sync", *checked, *wheels_of_torch(flavour), *map(str, flavour.locks))
    for lock in flavour.older:
        # uv then takes wheels for this Python, too; they hold no compiled code.
        run_uv("pip", "install", *checked, "--no-deps", "--python-version", "3.10.12", "--requirements", str(lock))
    for name, lock in flavour.beside.items():
        run_uv("pip", "install", *checked, "--no-deps", "--target", str(folder / name), "--requirements", str(lock))
    stamp_file.write_text(stamp)
    return find(trainer, folder)


def wheels_of_torch(flavour: Flavour) -> tuple[str, ...]:
    """Return uv's options for PyTorch without CUDA: the folder where pip finds a wheel, else PyTorch's own index."""
    if not any(lock.name == "torch-cpu.lock" for lock in flavour.locks):
        return ()
    for place in pip_settings.read().get("find-links", "").split():
        if any(Path(place).glob("torch-*+cpu-*.whl")):
            return ("--find-links", place)
    return ("--torch-backend", "cpu")


def run_uv(*arguments: str) -> None:
    """Run uv; raise a `TrainerEnvError` with its output if it fails."""
    result = subprocess.run([uv.find_uv_bin(), *arguments], capture_output=True, text=True)
    if result.returncode:
        raise TrainerEnvError(f"`uv {' '.join(arguments)}` failed:\n{result.stderr.strip()}")


def main() -> None:
    """Make a trainer environment and print which one it is."""
    parser = argparse.ArgumentParser(prog="python -m common.trainer_env", description=main.__doc__)
    parser.add_argument("--trainer", choices=SETUP, default=DEFAULT, help="the version of ML-Agents (%(default)s)")
    parser.add_argument("--home", type=Path, help=f"its folder (default: {home()}, or one beside it)")
    arguments = parser.parse_args()
    try:
        print(f"Trainer environment, {make(arguments.trainer, arguments.home)}")
    except TrainerEnvError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
