"""Where the notebooks work: `target`, `role`, `bucket` and `region`, set in one place.

A notebook's parameter comes first, then an environment variable (`TRAINING_TARGET`, `TRAINING_ROLE`, `TRAINING_BUCKET`,
`TRAINING_REGION`), then `settings.toml` beside the notebooks, which lesson 0 writes. ``python -m helpers.settings``
prints what they say.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from common.aws_session import ConnectError
from helpers import LESSONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMES = ("target", "role", "bucket", "region")
TARGETS = ("embedded", "aws")
HEADER = "# Where the notebooks work, written by lesson 0. Environment variables such as TRAINING_TARGET come first.\n"


@dataclass(frozen=True)
class Settings:
    """Where to work, and what said so.

    Attributes
    ----------
    target : str
        ``"embedded"`` or ``"aws"``.
    role, bucket, region : str
        Empty where nothing sets them.
    origin : str
        What chose the target, such as ``"as settings.toml says"``.
    """

    target: str
    role: str
    bucket: str
    region: str
    origin: str

    def __str__(self) -> str:
        return f'Target "{self.target}", {self.origin}'


def settings_file() -> Path:
    """Return the file's path: the environment variable TRAINING_SETTINGS, or `settings.toml` beside the lessons.

    A relative path is one in the project's folder, because a notebook works in its own.
    """
    return LESSONS.parent / Path(os.environ.get("TRAINING_SETTINGS") or LESSONS / "settings.toml").expanduser()


def read(target: str = "", role: str = "", bucket: str = "", region: str = "") -> Settings:
    """Return where to work, by the parameters given, the environment, and the file, in this order.

    Role, bucket and region belong to a target: those that are set together with another target are left out.

    Raises
    ------
    ConnectError
        If a target is neither ``"embedded"`` nor ``"aws"``, or the file can't be read as settings.
    """
    file = settings_file()
    sources = {
        "as this notebook's parameters say": dict(zip(NAMES, (target, role, bucket, region), strict=True)),
        "as the environment variable TRAINING_TARGET says": {
            name: os.environ.get(f"TRAINING_{name.upper()}", "") for name in NAMES
        },
        f"as {file.name} says": read_file(file),
    }
    saying = {origin: source["target"] for origin, source in sources.items() if source.get("target")}
    for origin, said in saying.items():
        if said not in TARGETS:
            raise ConnectError(f'Expected target to be "embedded" or "aws", found {said!r}, {origin}.')
    origin, chosen = next(iter(saying.items()), ("because nothing else is set", "embedded"))
    others = [f'"{said}" {other}' for other, said in saying.items() if said != chosen]
    found = {
        name: next(
            (
                source[name]
                for source in sources.values()
                if source.get(name) and (source.get("target") or chosen) == chosen
            ),
            "",
        )
        for name in NAMES[1:]
    }
    return Settings(chosen, origin=f"{origin} (not {', '.join(others)})" if others else origin, **found)


def read_file(file: Path) -> dict[str, str]:
    """Return what the file sets; nothing where there is none. Raises `ConnectError` as `read` does."""
    lines = ", ".join(f'{name} = "…"' for name in NAMES)
    try:
        found = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConnectError(
            f"Expected settings in {file}, such as {lines}, found a file that can't be read: {error}. Correct it, or "
            "delete it and run lesson 0."
        ) from error
    if wrong := [f"{name} = {value!r}" for name, value in found.items() if name not in NAMES or type(value) is not str]:
        raise ConnectError(f"Expected {lines} in {file}, each of them text, found {', '.join(wrong)}. Correct it.")
    return found


def write(target: str, role: str, bucket: str, region: str) -> Path:
    """Write the file, unless it says the same already, and return its path. Raises `ConnectError` where it can't be."""
    file = settings_file()
    values = zip(NAMES, (target, role, bucket, region), strict=True)
    text = HEADER + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values)
    try:
        # A device such as /dev/null is not replaced; a reader of the file never finds half of it.
        if not file.exists() or (file.is_file() and file.read_text() != text):
            new = file.with_name(f"{file.name}.new")
            new.write_text(text)
            new.replace(file)
    except OSError as error:
        raise ConnectError(
            f"Expected to write the settings to {file}, found that it can't be written ({error.strerror}). Set "
            "TRAINING_SETTINGS to a file of your own, or the environment variables TRAINING_TARGET and so on."
        ) from error
    return file


if __name__ == "__main__":
    try:
        print(f"{read()}.")
    except ConnectError as error:
        sys.exit(str(error))
