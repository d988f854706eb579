"""The commands of a buildspec, as far as the Docker engine of this machine can carry them out.

CodeBuild runs a buildspec's commands in the shell of a machine of its own. Here ``docker build`` and ``docker push`` go
to the engine, ``docker login`` is made by the push itself, and ``chmod`` sets the mode that a file has in the build.
Any other command is refused.
"""

from __future__ import annotations

import argparse
import io
import re
import shlex
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from botocore.client import BaseClient

PHASES = ("install", "pre_build", "build", "post_build")
VARIABLE = re.compile(r"\$(?:\{(\w+)(%%/\*)?\}|(\w+))")


class BuildError(Exception):
    """A command failed, or cannot be run here."""


@dataclass
class Build:
    """What the commands of a build share.

    Parameters
    ----------
    engine
        `common.docker_engine`, which loads Docker's client and so is handed in.
    client
        docker-py's client of the engine.
    source
        A zip archive with the source.
    variables
        Environment variables.
    ecr
        boto3's client of ECR.
    write
        Takes each line of the log; raises what is to end the build.
    """

    engine: Any
    client: Any
    source: bytes
    variables: dict[str, str]
    ecr: BaseClient
    write: Callable[[str], None]
    modes: dict[str, int] = field(default_factory=dict)

    def run(self, command: str) -> None:
        """Run a command. Raises `BuildError`."""
        self.write(f"Running command {command}")
        words = [VARIABLE.sub(self._expand, word) for word in shlex.split(command)]
        while "|" in words:
            words = words[words.index("|") + 1 :]
        known = {"docker build": self._build, "docker push": self._push, "docker login": lambda _: None}
        if words[:1] == ["chmod"]:
            self.modes |= dict.fromkeys(words[2:], int(words[1], 8))
        elif (name := " ".join(words[:2])) in known:
            try:
                known[name](words[2:])
            except self.engine.FAILURES as error:
                raise BuildError(str(self.engine.explain(error, f"`{name}`"))) from error
        else:
            raise BuildError(
                f"The embedded AWS has no shell for builds: it runs {', '.join(known)} and chmod, not {words[0]!r}."
            )

    def _expand(self, found: re.Match[str]) -> str:
        value = self.variables.get(found[1] or found[3], "")
        return value.partition("/")[0] if found[2] else value

    def _build(self, words: list[str]) -> None:
        parser = argparse.ArgumentParser(exit_on_error=False)
        parser.add_argument("--platform")
        parser.add_argument("--build-arg", action="append", default=[])
        parser.add_argument("--tag", required=True)
        parser.add_argument("path", choices=["."])
        try:
            given, unknown = parser.parse_known_args(words)
        except (argparse.ArgumentError, SystemExit) as error:
            raise BuildError(f"The embedded AWS cannot read the arguments of docker build: {error}") from None
        if unknown:
            raise BuildError(f"The embedded AWS does not know {' '.join(unknown)} of docker build.")
        buildargs = {**self.engine.proxies(), **dict(each.split("=", 1) for each in given.build_arg)}
        for line in self.engine.build(self.client, self._pack(), buildargs, given.platform, given.tag):
            self.write(line)

    def _pack(self) -> io.BytesIO:
        """Return the source as the engine takes it."""
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self.source)) as source, tarfile.open(fileobj=packed, mode="w") as archive:
            for name in source.namelist():
                content, about = source.read(name), tarfile.TarInfo(name)
                about.size, about.mode = len(content), self.modes.get(name, 0o644)
                archive.addfile(about, io.BytesIO(content))
        packed.seek(0)
        return packed

    def _push(self, words: list[str]) -> None:
        (name,) = words
        repository, _, tag = name.rpartition(":")
        login = self.engine.log_in(self.ecr)
        seen: set[tuple[str, str]] = set()
        for event in self.engine.events(
            self.client.api.push(repository, tag=tag, stream=True, decode=True, auth_config=login)
        ):
            said = (event.get("id", ""), event.get("status", ""))
            if said[1] and said not in seen:  # not each step of each layer
                seen.add(said)
                self.write(": ".join(filter(None, said)))


def read(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return a buildspec's variables, and its commands by CodeBuild's names of the phases. Raises `BuildError`."""
    try:
        spec = yaml.safe_load(text)
        variables = {name: str(value) for name, value in spec.get("env", {}).get("variables", {}).items()}
        commands = {phase.upper(): list(spec["phases"].get(phase, {}).get("commands", ())) for phase in PHASES}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise BuildError(f"YAML_FILE_ERROR: {error}") from error
    return variables, commands


def split_location(location: str) -> tuple[str, str]:
    """Return bucket and key of a source in S3: ``<bucket>/<key>``, or its ARN."""
    bucket, _, key = re.sub(r"^arn:[a-z-]+:s3:::", "", location).partition("/")
    return bucket, key
