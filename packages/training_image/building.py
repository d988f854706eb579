"""Building the image with the Docker engine of this machine, always for linux/amd64."""

import contextlib
import io
import os
import re
import tarfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.models.images
from docker.errors import APIError, ImageNotFound
from tqdm import tqdm

from common import bar, pip_settings
from common import docker_engine as engine
from common.aws_session import Connection
from common.errors import ImageError, UnavailableError
from training_image.name import CONTAINER, Image, build_inputs

PLATFORM = "linux/amd64"  # what SageMaker's instances are, whatever this machine is
PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "default-timeout", "timeout")
CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
WITHOUT_ENGINE = 'set build_with = "codebuild" in notebook 3, for 0.005 USD a minute'
"""What to do on a machine that has no engine, with the price of CodeBuild's BUILD_GENERAL1_SMALL in us-east-1."""
LAST_LINES = 15
STEP = re.compile(r"(?:Step |#\d+ \[(?:[\w.-]+ +)?)(\d+)/(\d+)(?: : |\] )(.*)")  # of the engine; of BuildKit


@contextlib.contextmanager
def find_engine(connection: Connection) -> Iterator[dict[str, str]]:
    """Look for the Docker engine of this machine inside a ``with``: ``docker.from_env(environment=…)``.

    Yields
    ------
    dict
        The environment, with ``DOCKER_HOST`` where Docker Desktop or a rootless engine listens at a place of its own.

    Raises
    ------
    UnavailableError
        If there is no engine, or it may not be used. On the embedded target, where jobs also run without an image, the
        same is printed instead. Nothing else says so again.
    """
    try:
        yield engine.environment()
    except engine.FAILURES as error:
        problem = f"{engine.explain_missing(error)} Or let AWS CodeBuild build the image: {WITHOUT_ENGINE}."
        if connection.target != "embedded":
            raise UnavailableError(problem) from error
        print(f"{problem}\nThe embedded AWS trains without an image, so you can continue.")


def build(
    client: docker.DockerClient | None,
    image: Image,
    *,
    path: str | Path = CONTAINER,
    tag: str = "",
    platform: str = PLATFORM,
    buildargs: Mapping[str, str] | None = None,
) -> docker.models.images.Image | None:
    """Build an image as ``client.images.build`` does, unless it is there, and show the steps as they come.

    The context is packed from the files that the tag is the hash of. The base image is pulled for the platform, and the
    settings of this machine's pip and its proxies are passed on.

    Parameters
    ----------
    client : docker.DockerClient or None
        Without one, nothing is built, and nothing is said: `find_engine` has said why.
    image : Image
        As `read` names it. If the registry holds it, nothing is built.
    path, tag, platform, buildargs
        As for ``client.images.build``. ``tag`` is by default the image's name in the engine.

    Returns
    -------
    docker.models.images.Image or None
        None where the engine does not hold it, and need not.

    Raises
    ------
    UnavailableError
        If the base image cannot be pulled. Where the image is optional, this is printed instead.
    ImageError
        If the folder is not the one that was named, or the build fails. Nothing is tagged then.
    """
    start, name = time.monotonic(), tag or image.local
    if client is None:
        return None
    engine.require_linux(client)
    files, arguments = build_inputs(image, Path(path), buildargs or {})
    if has_image(client, name, platform):
        print(f"{name}: built before from the same files.")
        return client.images.get(name)
    if image.digest:
        print(f"{name}: the registry holds it already, nothing to build.")
        return None
    try:
        pull_base(client, arguments["BASE_IMAGE"], platform)
    except UnavailableError as error:
        if not image.optional:
            raise
        print(f"{name}: not built. {error}")
        return None
    run_build(client, context(files), {**engine.proxies(), **arguments}, name, platform)
    if not has_image(client, name, platform):
        raise ImageError(f"Expected the build to leave {name} for {platform}, found another platform or none.")
    print(f"{name}: built in {time.monotonic() - start:.1f} s.")
    return client.images.get(name)


def has_image(client: docker.DockerClient, name: str, platform: str = PLATFORM) -> bool:
    """Return whether the engine holds an image of this name for the platform."""
    try:
        found = client.images.get(name).attrs
    except ImageNotFound:
        return False
    except engine.FAILURES as error:
        raise engine.explain(error, f"Looking for {name}") from error
    return f"{found['Os']}/{found['Architecture']}" == platform


def pull_base(client: docker.DockerClient, base: str, platform: str = PLATFORM) -> None:
    """Pull the base image, unless the engine holds it.

    Raises
    ------
    UnavailableError
        If it can't be pulled.
    ImageError
        If the disk is full, or the image is for another platform.
    """
    if has_image(client, base, platform):
        return
    try:
        with bar.make(desc=f"pull {base}", bar_format="{desc} {elapsed} {postfix}") as shown:
            for event in engine.events(client.api.pull(base, platform=platform, stream=True, decode=True)):
                shown.set_postfix_str(f"{event.get('id', '')} {event.get('status', '')}")
    except engine.FAILURES as error:
        problem = engine.explain(error, f"Pulling the base image {base}")
        if str(problem).endswith((engine.FULL, engine.LOST)):
            raise problem from error
        raise UnavailableError(
            f"{problem}. Check the network, and that the registry is reachable (`docker pull {base}`). Another image "
            "with the same Python can be named in TRAINING_BASE_IMAGE."
        ) from error
    if not has_image(client, base, platform):
        raise ImageError(f"Expected the base image {base} for {platform}, found one of another platform. Name another.")


def context(files: Mapping[str, bytes]) -> io.BytesIO:
    """Pack the image's files for the build, with the same modes and times whatever the disk says.

    The settings of this machine's pip are for the Dockerfile's first stage, of which only the packages are kept.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in {**files, **pip_files(pip_settings.read(), os.environ)}.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), 0o755 if name == "train" else 0o644
            archive.addfile(about, io.BytesIO(content))
    packed.seek(0)
    return packed


def pip_files(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return `pip.conf` and `ca.pem` for the build, or neither where pip needs no settings.

    Indexes and wheels in folders of this machine are left out, because the build can't see them.
    """
    kept = {}
    for name in PIP_SETTINGS:
        values = settings.get(name, "").split()
        if name.endswith(("index-url", "find-links")):
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


def run_build(
    client: docker.DockerClient,
    packed: io.BytesIO,
    arguments: Mapping[str, str],
    name: str,
    platform: str = PLATFORM,
) -> None:
    """Build in the engine, showing each step and its output. Raises as `build` does."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    with bar.make(desc="build", bar_format="{desc} |{bar:20}| {elapsed} {postfix}") as shown:
        try:
            for line in engine.build(client, packed, arguments, platform, name):
                show_line(shown, line)
                last.append(line)
            shown.update((shown.total or 0) - shown.n)
        except engine.FAILURES as error:
            raise build_error(error, last) from error


def show_line(shown: tqdm, line: str) -> None:
    """Show a line of the build: a step moves the bar, any other line appears beside it."""
    if step := STEP.match(line):
        shown.total, shown.n = int(step[2]), int(step[1]) - 1
        shown.set_description_str(f"{step[1]}/{step[2]} {step[3][:40]:40}")
    elif line.strip():
        shown.set_postfix_str(line.strip()[:60])


def build_error(error: Exception, last: deque[str]) -> ImageError:
    """Return an error with the build's last lines, and advice for the known causes."""
    problem = str(engine.explain(error, "The build"))
    lines = "\n".join(line for line in last if line.strip())
    if isinstance(error, APIError) and re.search(r"DO NOT MATCH THE HASHES|--require-hashes", lines):
        problem += ". A package is not the one in the lock: ask for another index, or run `make lock`."
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
