"""The trainer environment: the Python that runs ML-Agents 0.11.0 on this machine, outside Docker.

There are two flavours. Both run the unmodified `mlagents` 0.11.0 wheel.

exact
    CPython 3.7 and TensorFlow 1.15, pinned by the same lock file as the Docker image. TensorFlow 1.15 has no
    wheel for a later Python, so this needs a CPython 3.7 on Linux x86-64.
compat
    CPython 3.9 to 3.11 and TensorFlow 2.15, seen by ML-Agents through `tensorflow.compat.v1`.

``python -m common.trainer_env`` makes the environment, exact where it can.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uv

from common import ROOT

CONTAINER = ROOT / "container"
LOCKS = {"exact": CONTAINER / "requirements.lock", "compat": CONTAINER / "compat.lock"}
PYTHONS = {"exact": "3.7", "compat": ">=3.9,<3.12"}


class TrainerEnvError(RuntimeError):
    """There is no usable trainer environment, or it cannot be made."""


@dataclass(frozen=True)
class TrainerEnv:
    """A trainer environment.

    Attributes
    ----------
    python : Path
        Its interpreter.
    flavour : str
        ``"exact"`` or ``"compat"``.
    version : str
        The interpreter's version, such as ``"3.7.16"``.
    """

    python: Path
    flavour: str
    version: str

    def __str__(self) -> str:
        tensorflow = {"exact": "1.15", "compat": "2.15 through compat.v1"}[self.flavour]
        return f"{self.flavour}: CPython {self.version}, TensorFlow {tensorflow}, ML-Agents 0.11.0"


def home() -> Path:
    """Return the environment's folder: ``TRAINER_HOME``, or `.trainer` in the project."""
    return Path(os.environ.get("TRAINER_HOME") or ROOT / ".trainer").absolute()


def find(folder: Path | None = None) -> TrainerEnv:
    """Find the trainer environment that `make setup` made.

    Parameters
    ----------
    folder : Path, optional
        Its folder; by default `home`.

    Raises
    ------
    TrainerEnvError
        If there is none, or it is incomplete.
    """
    folder = folder or home()
    config = folder / "pyvenv.cfg"
    if not (folder / "stamp").is_file() or not config.is_file():
        raise TrainerEnvError(
            f"Expected a trainer environment in {folder}, found none that is complete. Run `make setup`."
        )
    settings = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
    version = settings["version_info"]
    flavour = "exact" if version.startswith("3.7.") else "compat"
    return TrainerEnv(folder / "bin" / "python", flavour, version)


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


def choose() -> tuple[str, str]:
    """Choose the flavour and the interpreter for a new environment.

    ``TRAINER_PYTHON`` names an interpreter; ``TRAINER_FLAVOUR`` insists on a flavour.

    Returns
    -------
    flavour : str
        ``"exact"`` or ``"compat"``.
    python : str
        A path, or a version range for uv to find or download.

    Raises
    ------
    TrainerEnvError
        If there is no interpreter as the two variables request.
    """
    requested = os.environ.get("TRAINER_FLAVOUR") or None
    if requested not in (None, "exact", "compat"):
        raise TrainerEnvError(f"Expected TRAINER_FLAVOUR to be exact or compat, found {requested!r}.")
    if named := os.environ.get("TRAINER_PYTHON"):
        return check_python(Path(named), requested)
    found = None if requested == "compat" else exact_python()
    if found:
        return "exact", str(found)
    if requested == "exact":
        raise TrainerEnvError(
            "TRAINER_FLAVOUR=exact wants a 64-bit CPython 3.7 on Linux x86-64; found none on PATH, in pyenv "
            "or in conda. Install one (`pyenv install 3.7` or `conda create -n py37 python=3.7`), name it "
            "with TRAINER_PYTHON, or leave TRAINER_FLAVOUR unset to use compat."
        )
    return "compat", PYTHONS["compat"]


def check_python(python: Path, requested: str | None) -> tuple[str, str]:
    """Check the interpreter that ``TRAINER_PYTHON`` names. Returns and raises as `choose` does."""
    version = python_version(python)
    minor = ".".join(version.split(".")[:2]) if version else None
    flavour = {"3.7": "exact", "3.9": "compat", "3.10": "compat", "3.11": "compat"}.get(minor or "")
    if flavour is None or requested not in (None, flavour):
        raise TrainerEnvError(
            f"TRAINER_PYTHON={python} should be a 64-bit CPython 3.7 (exact) or 3.9 to 3.11 (compat)"
            f"{f', and TRAINER_FLAVOUR={requested} asks for {requested}' if requested else ''}; "
            f"it is {version or 'nothing that runs'}. Name another, or unset it."
        )
    return flavour, str(python)


def make(folder: Path | None = None) -> TrainerEnv:
    """Make the trainer environment, or keep an existing one that is up to date.

    The packages come from the flavour's lock file, each checked against its hash. The stamp is written last; without
    it, an interrupted set-up starts again.

    Raises
    ------
    TrainerEnvError
        If there is no suitable Python, or the installation fails.
    """
    folder = folder or home()
    flavour, python = choose()
    stamp = f"{flavour} {hashlib.sha256(LOCKS[flavour].read_bytes()).hexdigest()}\n"
    stamp_file = folder / "stamp"
    if stamp_file.is_file() and stamp_file.read_text() == stamp:
        return find(folder)
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise TrainerEnvError(f"{folder} exists and is not a Python environment. Move it away, or set TRAINER_HOME.")
    run_uv("venv", "--quiet", "--clear", "--no-project", "--python", python, str(folder))
    run_uv(
        "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", "--python", str(folder), str(LOCKS[flavour])
    )
    stamp_file.write_text(stamp)
    return find(folder)


def run_uv(*arguments: str) -> None:
    """Run uv; raise a `TrainerEnvError` with its output if it fails."""
    result = subprocess.run([uv.find_uv_bin(), *arguments], capture_output=True, text=True)
    if result.returncode:
        raise TrainerEnvError(f"`uv {' '.join(arguments)}` failed:\n{result.stderr.strip()}")


def main() -> None:
    """Make the trainer environment and print which one it is."""
    parser = argparse.ArgumentParser(prog="python -m common.trainer_env", description=main.__doc__)
    parser.add_argument("--home", type=Path, default=home(), help="its folder (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        print(f"Trainer environment, {make(arguments.home)}")
    except TrainerEnvError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
