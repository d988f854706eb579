"""The report of a check of a Unity build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from common.findings import CheckError, Report
from mlagents_check.unity_build.listing import Listing
from mlagents_check.unity_build.protocol import DEFAULT, ProtocolVersion


class UnityBuildError(CheckError):
    """The folder has no build that can be trained; the message says why and what to do."""


def shown_size(size: int) -> str:
    """Write a number of bytes as kB or MB, such as ``"12.5 MB"``."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


@dataclass(frozen=True)
class UnityBuild:
    """A Unity player for Linux.

    Parameters
    ----------
    name
        The executable's file name without ``.x86_64``.
    executable
        The player that ``mlagents-learn --env`` starts.
    data
        Its ``<name>_Data`` folder.
    protocol
        ML-Agents protocol version that it speaks, e.g. ``API-11`` or ``1.5.0``; None if it could not be read.
    backend
        The scripting backend; ``sample`` is this project's own environment, which needs no Unity.
    unity_version
        E.g. ``2018.4.8f1``; None if it could not be read.
    headless
        Whether it is a server build; None if unknown.
    size
        Bytes of the build itself, without the other files of the folder.
    files
        Number of its files.
    brains
        Names of its brains; None if only starting the build can show them.
    parts
        The parts of its size: pairs of a kind of content and its bytes, largest first.
    package
        Version of its ``com.unity.ml-agents``, e.g. ``4.0.0``; empty before 0.14, or if it could not be read.
    """

    name: str
    executable: Path
    data: Path
    protocol: str | None
    backend: Literal["Mono", "IL2CPP", "sample"] | None
    unity_version: str | None
    headless: bool | None
    size: int
    files: int
    brains: tuple[str, ...] | None
    parts: tuple[tuple[str, int], ...]
    package: str = ""

    @property
    def trainer(self) -> str:
        """The trainer version that trains it: ``0.11.0`` or ``1.1.0``; 0.11.0 where its protocol does not tell."""
        return ProtocolVersion(self.protocol or "", self.package).trainer or DEFAULT

    @property
    def has_trainer(self) -> bool:
        """Whether a trainer speaks its protocol, or it does not tell which one it speaks."""
        version = ProtocolVersion(self.protocol or "", self.package)
        return bool(version.trainer or not (version.number or version.package))

    @property
    def is_sample(self) -> bool:
        """Whether this is the project's own sample environment."""
        return self.backend == "sample"


@dataclass(frozen=True)
class Other:
    """Another file or folder next to the build.

    Parameters
    ----------
    kind
        ``trainer config``, ``sampler``, ``curriculum``, ``demonstration``, ``model``, ``text`` or ``unknown``.
    path
        Relative to the folder; a curriculum is a folder of JSON files.
    """

    kind: str
    path: str


@dataclass(frozen=True)
class BuildReport(Report):
    """The result of a check of a folder.

    Parameters
    ----------
    folder
        The checked folder.
    build
        The build, or None if there is not exactly one.
    others
        Other content of the folder: trainer config, curricula, demonstrations, samplers, an earlier model.
    listing
        Every file with size and time of change, for comparison in a later check: ``check(folder, since=listing)``.
    """

    error_type: ClassVar[type[CheckError]] = UnityBuildError

    folder: Path
    build: UnityBuild | None
    others: tuple[Other, ...]
    listing: Listing

    @property
    def trainer(self) -> str:
        """The trainer version that trains the build; the default, 0.11.0, without one."""
        return self.build.trainer if self.build else DEFAULT

    @property
    def ready(self) -> str:
        """The verdict on a good build; it names the trainer unless that is the default."""
        if self.trainer == DEFAULT:
            return "The build is ready to train."
        package = f" (package {self.build.package})" if self.build.package else ""
        speaks = f"because it speaks protocol {self.build.protocol or '1.x'}{package}"
        return f"The build is ready to train with ML-Agents {self.trainer}, {speaks}."

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Facts about the build and the other files."""
        facts = []
        if build := self.build:
            origin = [f"Unity {build.unity_version}" if build.unity_version else "", build.backend or ""]
            if build.is_sample:
                origin = ["sample environment (no Unity inside)"]
            facts = [
                ("build", build.name),
                ("made with", ", ".join(filter(None, origin)) or "unknown"),
                (
                    "ML-Agents protocol",
                    (build.protocol or "unknown") + (f", package {build.package}" if build.package else ""),
                ),
                ("graphics", {True: "server build", False: "with graphics", None: "unknown"}[build.headless]),
                ("size", f"{shown_size(build.size)} in {build.files:,} file{'s' if build.files != 1 else ''}"),
            ]
            if build.brains:
                facts.append(("brains", ", ".join(build.brains)))
        by_kind: dict[str, list[str]] = {}
        for other in self.others:
            by_kind.setdefault(other.kind, []).append(other.path)
        for kind, paths in by_kind.items():
            more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
            facts.append((kind, ", ".join(paths[:5]) + more))
        return tuple(facts)
