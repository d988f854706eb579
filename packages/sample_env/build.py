"""Write the sample environment as a build."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import trainer_env

from .player.scenes import PROTOCOLS, SCENES

PLAYER = Path(__file__).parent / "player"
EXTRA_FILES = Path(__file__).parent / "extra_files"
"""Files that are written next to a scene's build, by version of the trainer and scene: its config and curriculum."""
MARKER = "sample_env.json"
"""File in `<scene>_Data/` that marks a build as a sample."""
LAUNCHER = "launch.py"
"""File of `player/` that becomes the executable."""
SHEBANG = b"#!/usr/bin/env python3\n"


class SampleEnvError(Exception):
    """The sample build cannot be made."""


def make_sample_build(folder: Path | str, scene: str = "3DBall", trainer: str = trainer_env.DEFAULT) -> Path:
    """Write a sample build into a folder, as Unity would: `<scene>.x86_64` and `<scene>_Data/`.

    The files are always the same, byte for byte. If they exist already, nothing is written; an older version of
    the same sample, or one for another trainer, is replaced. The executable is written last, so an interrupted call
    leaves no build.

    Warehouse comes with a `trainer_config.yaml`, and for 0.11.0 a `curriculum/`. Existing files of these names are not
    replaced, because they may be yours, unless they are those of the other trainer, unchanged.

    Parameters
    ----------
    folder
        Created if it does not exist. Other files in it stay.
    scene
        One of `SCENES`.
    trainer
        The version of ML-Agents whose protocol the build speaks: ``"0.11.0"`` or ``"1.1.0"``. The scenes are the same.

    Returns
    -------
    Path
        The executable.

    Raises
    ------
    SampleEnvError
        If the scene or the trainer is unknown, or the folder is a file or holds another build.
    """
    folder = Path(folder)
    for kind, known, given in (("scene", SCENES, scene), ("trainer", PROTOCOLS, trainer)):
        if given not in known:
            raise SampleEnvError(f"Expected a {kind} out of {', '.join(known)}, got {given!r}. Choose one of them.")
    if folder.exists() and not folder.is_dir():
        raise SampleEnvError(f"Expected a folder, found the file {folder}. Give a folder for the build.")
    refuse_other_build(folder, scene)
    executable, data = folder / f"{scene}.x86_64", folder / f"{scene}_Data"
    folder.mkdir(parents=True, exist_ok=True)
    for other in PROTOCOLS.keys() - {trainer}:
        remove_extra_files(folder, scene, other)
    write_extra_files(folder, scene, trainer)
    with tempfile.TemporaryDirectory(prefix=".sample_env-", dir=folder) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        write_build(new, scene, trainer)
        if contents(new, scene) == contents(folder, scene):
            return executable
        executable.unlink(missing_ok=True)
        if data.exists():
            data.rename(old)
        (new / data.name).rename(data)
        (new / executable.name).rename(executable)
    return executable


def remove_sample_build(folder: Path | str) -> list[Path]:
    """Remove a sample build; return the removed files and folders.

    Files beside it, such as `trainer_config.yaml`, are kept if they were changed. So is your own build, even with the
    sample's name.
    """
    folder, removed = Path(folder), []
    for scene in SCENES:
        executable, data = folder / f"{scene}.x86_64", folder / f"{scene}_Data"
        if not executable.is_file() or not is_part_of_sample(executable, scene):
            continue
        executable.unlink()
        shutil.rmtree(data)
        removed += [executable, data]
        for trainer in PROTOCOLS:
            removed += remove_extra_files(folder, scene, trainer)
    return removed


def record_demonstrations(folder: Path | str, python: Path | str | None = None, *, steps: int = 3000) -> list[Path]:
    """Record demonstrations of the sample build's hand-written controllers, as Unity's recorder does.

    Parameters
    ----------
    folder
        The folder of the sample build. `<brain>.demo` is written there for each brain, replacing an older one.
    python
        The trainer's Python, which runs the player; by default that of this project's trainer environment.
    steps
        Number of steps of each demonstration.

    Raises
    ------
    SampleEnvError
        If the folder has no sample build, or the recording fails.
    """
    folder = Path(folder)
    executables = [path for path in folder.glob("*.x86_64") if is_part_of_sample(path, path.stem)]
    if not executables:
        raise SampleEnvError(
            f"Expected a sample build in {folder}, found none. Record a build of your own in the Unity Editor, with a "
            "Demonstration Recorder on the agent."
        )
    (marker,) = executables[0].parent.glob(f"{executables[0].stem}_Data/{MARKER}")
    trainer = json.loads(marker.read_text()).get("trainer", trainer_env.DEFAULT)
    python = Path(python or trainer_env.find(trainer).python)
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [executables[0].absolute(), "--record", folder.absolute(), "--steps", str(steps)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise SampleEnvError(f"{executables[0].name} could not record a demonstration: {reason}")
    return [folder / Path(line).name for line in done.stdout.splitlines()]


def refuse_other_build(folder: Path, scene: str) -> None:
    """Raise SampleEnvError if the folder holds another build than this sample."""
    for found in sorted(path for pattern in ("*.x86_64", "*.x86", "*_Data") for path in folder.glob(pattern)):
        if not is_part_of_sample(found, scene):
            raise SampleEnvError(
                f"Expected {folder} without a build or with the sample {scene}, found {found.name} of another build. "
                "Use that build, choose another folder, or move the build out of this one."
            )


def is_part_of_sample(path: Path, scene: str) -> bool:
    """Return whether a file or folder belongs to the sample build of this scene."""
    if path.name == f"{scene}.x86_64":
        # The marker stays if Unity builds into the same folder.
        with path.open("rb") as file:
            return file.read(len(SHEBANG)) == SHEBANG and is_part_of_sample(path.with_name(f"{scene}_Data"), scene)
    return path.name == f"{scene}_Data" and (path / MARKER).is_file()


def write_build(folder: Path, scene: str, trainer: str) -> None:
    """Write the files of a sample build."""
    data = folder / f"{scene}_Data"
    player = data / PLAYER.name
    player.mkdir(parents=True)
    for source in PLAYER.glob("*.py"):
        if source.name != LAUNCHER:
            write(player / source.name, source.read_bytes())
    brains = [kind.behaviour.name for kind in SCENES[scene]]
    description = {"scene": scene, "trainer": trainer, "protocol": PROTOCOLS[trainer], "brains": brains}
    write(data / MARKER, (json.dumps(description, indent=2) + "\n").encode())
    write(folder / f"{scene}.x86_64", (PLAYER / LAUNCHER).read_bytes(), mode=0o755)


def write_extra_files(folder: Path, scene: str, trainer: str) -> None:
    """Write the extra files next to a scene's build, unless they exist already."""
    for target, content in extra_files(folder, scene, trainer):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target, content)


def remove_extra_files(folder: Path, scene: str, trainer: str) -> list[Path]:
    """Remove the extra files that nobody has changed, and return them."""
    removed = []
    for target, content in extra_files(folder, scene, trainer):
        if target.is_file() and target.read_bytes() == content:
            target.unlink()
            removed.append(target)
            if target.parent != folder and not any(target.parent.iterdir()):
                target.parent.rmdir()
    return removed


def extra_files(folder: Path, scene: str, trainer: str) -> list[tuple[Path, bytes]]:
    """Return the extra files of a scene: where each belongs, and its content."""
    source = EXTRA_FILES / trainer / scene
    files = sorted(path for path in source.rglob("*") if path.is_file())
    return [(folder / path.relative_to(source), path.read_bytes()) for path in files]


def write(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file with these permissions, regardless of the umask."""
    file.write_bytes(content)
    file.chmod(mode)


def contents(folder: Path, scene: str) -> dict[Path, tuple[int, bytes]]:
    """Return permissions and content of every file of a build, by path relative to the folder."""
    files = [folder / f"{scene}.x86_64", *(folder / f"{scene}_Data").rglob("*")]
    return {
        file.relative_to(folder): (file.stat().st_mode & 0o777, file.read_bytes()) for file in files if file.is_file()
    }
