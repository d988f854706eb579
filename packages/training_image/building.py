"""Building the image with the Docker engine of this machine, always for linux/amd64."""

import ast
import io
import os
import re
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, ImageNotFound
from tqdm import tqdm

from common import bar
from common import docker_engine as engine
from common.aws_session import Connection
from common.errors import ImageError, UnavailableError
from training_image.name import CONTAINER, Image, base_image, content_hash, look_up, read_files, registry_address

PLATFORM = "linux/amd64"  # what SageMaker's instances are, whatever this machine is
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout")
CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
LAST_LINES = 15
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # the engine's mark of what a step writes to stderr


@dataclass(frozen=True)
class Build:
    """What a build did.

    Attributes
    ----------
    image : Image
    done : str
        ``"built"``, or ``"kept"`` because it was there already, or ``"nothing"`` because this machine cannot.
    reason : str
        Why nothing was built.
    seconds : float
    """

    image: Image
    done: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        if self.done == "nothing":
            return f"{self.image.local}: not built. {self.reason}"
        return f"{self.image.local}: {self.reason or self.done} ({self.seconds:.1f} s)"


def build(connection: Connection, folder: str | Path = CONTAINER, *, graphics: bool = False) -> Build:
    """Build the image of a folder, unless the registry or this machine's engine has it.

    On the embedded target a machine that cannot build is no error, for jobs run there without an image, too; the
    result then says what is missing.

    Parameters
    ----------
    connection : Connection
    folder : str or Path
    graphics : bool
        Add a virtual screen and OpenGL, for players with visual observations. About 380 MB more.

    Raises
    ------
    UnavailableError
        If there is no engine, it may not be used, or the base image cannot be pulled.
    ImageError
        If the build fails. Nothing is tagged then.
    """
    start = time.monotonic()
    files = read_files(Path(folder))  # once, for what is built must be what the tag is the hash of
    image = look_up(connection, Image(registry_address(connection), content_hash(files, graphics)))
    if image.digest:
        return Build(image, "kept", "the registry holds it already, nothing to build", time.monotonic() - start)
    try:
        client = engine.connect()
        if has_image(client, image.local):
            return Build(image, "kept", "built before from the same files", time.monotonic() - start)
        base = base_image(files)
        pull_base(client, base)
    except UnavailableError as error:
        if connection.target != "embedded":
            raise
        return Build(image, "nothing", str(error), time.monotonic() - start)
    arguments = {"BASE_IMAGE": base, "GRAPHICS": str(int(graphics)), **proxies()}
    run_build(client, context(files), arguments, image.local)
    if not has_image(client, image.local):
        raise ImageError(f"Expected the build to leave {image.local} for {PLATFORM}, found another platform or none.")
    return Build(image, "built", "", time.monotonic() - start)


def has_image(client: docker.DockerClient, name: str) -> bool:
    """Tell whether the engine holds an image of this name and of the platform."""
    try:
        found = client.images.get(name).attrs
    except ImageNotFound:
        return False
    except engine.FAILURES as error:
        raise engine.explain(error, f"Looking for {name}") from error
    return f"{found['Os']}/{found['Architecture']}" == PLATFORM


def pull_base(client: docker.DockerClient, base: str) -> None:
    """Make sure that the engine holds the base image.

    Raises
    ------
    UnavailableError
        If it can't be pulled.
    ImageError
        If the disk is full, or what came is for another platform.
    """
    if has_image(client, base):
        return
    try:
        with bar.make(desc=f"pull {base}", bar_format="{desc} {elapsed} {postfix}") as shown:
            for event in engine.events(client.api.pull(base, platform=PLATFORM, stream=True, decode=True)):
                shown.set_postfix_str(f"{event.get('id', '')} {event.get('status', '')}")
    except engine.FAILURES as error:
        problem = engine.explain(error, f"Pulling the base image {base}")
        if str(problem).endswith((engine.FULL, engine.LOST)):
            raise problem from error
        raise UnavailableError(
            f"{problem}. Check the network, and that the registry is reachable (`docker pull {base}`). Another image "
            "with Python 3.7 can be named in TRAINING_BASE_IMAGE."
        ) from error
    if not has_image(client, base):
        raise ImageError(f"Expected the base image {base} for {PLATFORM}, found one of another platform. Name another.")


def context(files: Mapping[str, bytes]) -> io.BytesIO:
    """Pack what the build gets: the image's files, with the same modes and times whatever the disk says.

    Settings of this machine's pip go along for the packages' stage, of which nothing but the packages is kept.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in {**files, **pip_files(pip_settings(), os.environ)}.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o755 if name == "train" else 0o644
            archive.addfile(about, io.BytesIO(content))
    packed.seek(0)
    return packed


def pip_settings() -> dict[str, str]:
    """Read how this machine's pip reaches its index: configuration files first, then PIP_… variables over them."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True)
    lines = [line.split("=", 1) for line in told.stdout.splitlines() if "=" in line]
    settings = {}
    for name, value in sorted(lines, key=lambda line: line[0].startswith(":env:")):
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def pip_files(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, bytes]:
    """Make `pip.conf` and `ca.pem` for the build; neither where pip needs no settings.

    Indexes that are folders of this machine are left out: the build can't see them.
    """
    kept = {}
    for name in PIP_SETTINGS:
        values = settings.get(name, "").split()
        if name.endswith("index-url"):
            values = [value for value in values if urlsplit(value).scheme in ("http", "https")]
        if values:
            kept[name] = " ".join(values)
    files = {}
    bundles = [settings.get("cert"), *(environment.get(name) for name in CA_VARIABLES)]
    if bundle := next((Path(name) for name in bundles if name and Path(name).is_file()), None):
        files["ca.pem"] = bundle.read_bytes()
        kept["cert"] = "/packages/ca.pem"
    if kept:
        lines = ["[global]", *(f"{name} = {value}" for name, value in kept.items()), ""]
        files["pip.conf"] = "\n".join(lines).encode()
    return files


def proxies() -> dict[str, str]:
    """Return this machine's proxies as build arguments, which Docker keeps out of the image by their names."""
    found = {}
    for name in PROXY_VARIABLES:
        value = os.environ.get(name) or os.environ.get(name.lower())
        # The build has a loopback address of its own.
        if value and urlsplit(value).hostname not in ("localhost", "127.0.0.1", "::1"):
            found[name] = value
    return found


def run_build(client: docker.DockerClient, packed: io.BytesIO, arguments: Mapping[str, str], name: str) -> None:
    """Have the engine build, showing each step and what it says. Raises as `build` does."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    with bar.make(desc="build", bar_format="{desc} |{bar:20}| {elapsed} {postfix}") as shown:
        try:
            stream = client.api.build(
                fileobj=packed,
                custom_context=True,
                buildargs=dict(arguments),
                platform=PLATFORM,
                tag=name,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in engine.events(stream):
                for line in COLOUR.sub("", event.get("stream", "")).splitlines():
                    show_line(shown, line)
                    last.append(line)
            shown.update((shown.total or 0) - shown.n)
        except engine.FAILURES as error:
            raise build_error(error, last) from error


def show_line(shown: tqdm, line: str) -> None:
    """Show a line of the build: a step moves the bar, anything else stands beside it."""
    if step := re.match(r"Step (\d+)/(\d+) : (.*)", line):
        shown.total, shown.n = int(step[2]), int(step[1]) - 1
        shown.set_description_str(f"{step[1]}/{step[2]} {step[3][:40]:40}")
    elif line.strip():
        shown.set_postfix_str(line.strip()[:60])


def build_error(error: Exception, last: deque[str]) -> ImageError:
    """Return the build's failure with its last lines, and what to do where that is known."""
    problem = str(engine.explain(error, "The build"))
    lines = "\n".join(line for line in last if line.strip())
    if isinstance(error, APIError) and re.search(r"DO NOT MATCH THE HASHES|--require-hashes", lines):
        problem += ". A package is not the one in requirements.lock: ask for another index, or run `make lock`."
    elif "no space left" in lines.lower() and engine.FULL not in problem:
        problem += f". {engine.FULL}"
    elif problem.endswith(engine.LOST):
        problem += " It goes on after the last step that ended."
    elif "exec format error" in lines.lower():
        problem += (
            f". This machine cannot run {PLATFORM} programs. With Docker Desktop, switch on Rosetta in its settings; "
            "on Linux, `docker run --privileged --rm tonistiigi/binfmt --install amd64`, or build on another machine."
        )
    elif re.search(r"Max retries exceeded|Temporary failure in name resolution|CERTIFICATE_VERIFY_FAILED", lines):
        problem += (
            ". The build could not reach pip's index. It was given this machine's pip settings, CA bundle and "
            "proxies; check that containers may use the network."
        )
    return ImageError(f"{problem}\n{lines}" if lines else problem)
