"""Pushing the image to the registry: repository, login, layers, and the digest that the registry then holds."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import docker
from botocore.exceptions import ClientError
from tqdm import tqdm

from common import docker_engine as engine
from common.aws_session import PROJECT_TAG, Connection, code, explain_silence, explained
from common.bar import make as make_bar
from common.errors import ImageError, UnavailableError
from training_image import manifest
from training_image.building import PLATFORM, has_image
from training_image.name import KEPT, MANIFEST, Image, look_up

KEEP = 10
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": f"keep the last {KEEP} images",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEEP},
            "action": {"type": "expire"},
        }
    ]
}
EXPIRED = re.compile(r"token has expired|no basic auth credentials|authentication required", re.IGNORECASE)
TAKEN = re.compile(r"cannot be overwritten because|ImageTagAlreadyExists", re.IGNORECASE)
FAILED = re.compile(r"unexpected HTTP status: 5\d\d")


def push(connection: Connection, client: docker.DockerClient | None, image: Image) -> Image:
    """Push an image, unless the registry holds it, and check there that it arrived.

    Logs in with ``get_authorization_token``, makes the repository with ``create_repository``, and pushes as
    ``client.images.push`` does. Where the engine pushes an OCI manifest, or an index with attestations, the image is
    given Docker's manifest. A push that was cut off continues where it was, because the registry keeps the layers that
    arrived. ECR's token stays in this process; one that expires during the push is renewed once.

    Parameters
    ----------
    connection : Connection
    client : docker.DockerClient or None
        The engine that holds the image. Without one, nothing is pushed, and nothing is said.
    image : Image
        As `read` names it.

    Returns
    -------
    Image
        With its digest and size, unless nothing could be pushed. What was done is printed.

    Raises
    ------
    UnavailableError
        If there is no registry. Where the image is optional, this is printed instead.
    ImageError
        If the registry refuses, or holds another image than the pushed one. Nothing counts as pushed then.
    """
    start = time.monotonic()
    image = look_up(connection, image)
    if image.digest:
        image = settle(connection, image)
        print(f"{image.local}: the registry holds this very content already, nothing pushed.")
        return image
    if client is None or (image.optional and not has_image(client, image.local)):
        return image
    try:
        with explained(connection, ImageError, KEPT):
            image = replace(image, registry=make_repository(connection, image.repository))
            sent, kept, digest = push_once_more(connection, client, image)
    except UnavailableError as error:
        if not image.optional:
            raise
        print(f"{image.local}: nothing pushed. {error}")
        return image
    held = look_up(connection, image)
    if not held.digest or (digest and held.digest != digest):
        raise ImageError(
            f"Expected {image.uri} {f'to be {digest} ' if digest else ''}in the registry after the push, found "
            f"{held.digest or 'nothing'}. Run this again; somebody else may have pushed at the same time."
        )
    held = settle(connection, held)
    print(
        f"{image.local}: {sent} layers sent, {kept} there already, in {time.monotonic() - start:.1f} s; the registry "
        f"keeps {held.size / 1e6:.0f} MB."
    )
    return held


def settle(connection: Connection, image: Image) -> Image:
    """Return an image that the registry holds, once its manifest is one that SageMaker takes.

    The manifest is read from the registry. An OCI manifest, or an index of one image and its attestations, is replaced.

    Raises
    ------
    ImageError
        If the manifest has no such form, or ECR refuses. The tag is then as it was, or free.
    """
    ecr, name = connection.client("ecr"), {"repositoryName": image.repository}
    try:
        with explained(connection, ImageError, KEPT):
            kind, text = read_manifest(ecr, image, image.digest)
            if kind in manifest.INDEXES:
                kind, text = read_manifest(ecr, image, manifest.choose(text, PLATFORM))
            written = manifest.convert(text)
            if json.loads(text) == json.loads(written):
                written = text
                if image.kind == MANIFEST:
                    return image
            digest = "sha256:" + hashlib.sha256(written.encode()).hexdigest()
            put = {**name, "imageManifest": written, "imageManifestMediaType": MANIFEST, "imageDigest": digest}
            # Without a tag first, so that the layers always belong to an image; a tag can't be moved.
            put_image(ecr, **put)
            ecr.batch_delete_image(**name, imageIds=[{"imageTag": image.tag}])
            put_image(ecr, **put, imageTag=image.tag)
    except ClientError as error:
        raise refused(connection, error, f"write the manifest of {image.uri} as SageMaker takes it") from error
    except ImageError as error:
        raise type(error)(
            f"{error} To remove what {image.registry} holds now: `aws ecr batch-delete-image --repository-name "
            f"{image.repository} --image-ids imageTag={image.tag}`."
        ) from error
    held = look_up(connection, image)
    if (held.digest, held.kind) != (digest, MANIFEST):
        raise ImageError(
            f"Expected {image.registry}/{image.repository}:{image.tag} to be {digest} ({MANIFEST}), found "
            f"{held.digest or 'nothing'} ({held.kind}). Run this again; somebody else may have pushed at the same time."
        )
    return held


def read_manifest(ecr: Any, image: Image, digest: str) -> tuple[str, str]:
    """Return kind and text of a manifest in the image's repository, checked against its digest."""
    response = ecr.batch_get_image(
        repositoryName=image.repository,
        imageIds=[{"imageDigest": digest}],
        acceptedMediaTypes=[*manifest.KINDS, *manifest.INDEXES],
    )
    found = response.get("images") or [{}]
    text = found[0].get("imageManifest", "")
    if "sha256:" + hashlib.sha256(text.encode()).hexdigest() != digest:
        reason = (response.get("failures") or [{}])[0].get("failureReason", "another one")
        raise ImageError(f"Expected the manifest {digest} of {image.uri} in ECR, found {reason}. Run this again.")
    return found[0].get("imageManifestMediaType") or json.loads(text).get("mediaType", ""), text


def put_image(ecr: Any, **image: str) -> None:
    """Put a manifest, unless it is there with this tag."""
    try:
        ecr.put_image(**image)
    except ClientError as error:
        if code(error) != "ImageAlreadyExistsException":
            raise


def make_repository(connection: Connection, name: str) -> str:
    """Make the ECR repository as it should be, unless it is there; return the registry's address.

    Tags can't be moved, images are scanned on push, and the last ten are kept.

    Raises
    ------
    ImageError
        If ECR refuses.
    """
    ecr = connection.client("ecr")
    try:
        try:
            repository = ecr.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                tags=[PROJECT_TAG],
            )["repository"]
        except ClientError as error:
            if code(error) != "RepositoryAlreadyExistsException":
                raise
            repository = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        try:
            ecr.get_lifecycle_policy(repositoryName=name)  # one that is there may be the reader's own
        except ClientError as error:
            if code(error) != "LifecyclePolicyNotFoundException":
                raise
            ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps(LIFECYCLE))
    except ClientError as error:
        raise refused(connection, error, f"make the repository {name}") from error
    return repository["repositoryUri"].rpartition("/")[0]


def refused(connection: Connection, error: ClientError, wanted: str) -> ImageError:
    """Return an error that says what ECR's refusal means. An error that is no refusal is raised as it is."""
    if explain_silence(connection, error):
        raise error
    details = error.response["Error"]
    if details["Code"] == "RegistryUnavailableException":  # the embedded AWS's own
        return UnavailableError(details["Message"])
    return ImageError(
        f"Expected to {wanted}, found that ECR refuses: {error} Ask for the policy "
        "AmazonEC2ContainerRegistryPowerUser with ecr:BatchDeleteImage, ecr:CreateRepository, ecr:TagResource and "
        "ecr:PutLifecyclePolicy."
    )


def log_in(connection: Connection) -> dict[str, str]:
    """Return ECR's token as the engine takes it. Raises an `ImageError` if ECR refuses."""
    try:
        return engine.log_in(connection.client("ecr"))
    except ClientError as error:
        raise refused(connection, error, "log in") from error


def push_once_more(connection: Connection, client: docker.DockerClient, image: Image) -> tuple[int, int, str]:
    """Push, and once more with a new token if the first expired. Returns and raises as `send` does."""
    if not has_image(client, image.local):
        raise ImageError(
            f"Expected {image.local} for {PLATFORM} in the Docker engine, found none. Run the cell that builds it."
        )
    name = f"{image.registry}/{image.repository}"
    try:
        login = log_in(connection)  # first, so that one that fails leaves no tag in the engine
        client.images.get(image.local).tag(name, image.tag)
        try:
            return send(client, name, image.tag, login)
        except engine.FAILURES as error:
            if not EXPIRED.search(str(error)):
                raise
            return send(client, name, image.tag, log_in(connection))
    except engine.FAILURES as error:
        if TAKEN.search(str(error)):  # somebody else was quicker; what the registry holds is looked up next
            return 0, 0, ""
        problem = engine.explain(error, f"Pushing to {image.registry}")
        if connection.target == "embedded" and FAILED.search(str(error)):
            problem = type(problem)(f"{problem}. {ask_the_registry()}")
        raise type(problem)(
            f"{str(problem).rstrip('.')}. Nothing counts as pushed. Layers that arrived stay there, so running this "
            "again goes on."
        ) from error


def ask_the_registry() -> str:
    """Say where the embedded AWS's registry logs its failures."""
    from sagemaker_local.home import home_folder  # here, because AWS needs nothing of it

    home = home_folder()
    return f"The cause is in {home / 'server.log'}; most often its disk is full (`df {home}`)."


def send(client: docker.DockerClient, name: str, tag: str, login: Mapping[str, str]) -> tuple[int, int, str]:
    """Send the layers, with a bar for each that is sent.

    Returns
    -------
    sent, kept : int
        Numbers of layers.
    digest : str
        Of the manifest, as the engine computed it.

    Raises
    ------
    docker.errors.APIError
        With the registry's words if it refuses.
    """
    stream = client.api.push(name, tag=tag, stream=True, decode=True, auth_config=dict(login))
    bars = LayerBars()
    try:
        return bars.follow(engine.events(stream))
    finally:
        bars.close()


class LayerBars:
    """A progress bar in bytes for each layer of a push."""

    def __init__(self):
        self.bars: dict[str, tqdm] = {}
        self.sent: set[str] = set()
        self.kept: set[str] = set()

    def follow(self, events: Iterable[Mapping[str, Any]]) -> tuple[int, int, str]:
        """Show the engine's events; return as `send` does."""
        digest = ""
        for event in events:
            layer, status = event.get("id", ""), event.get("status", "")
            if status == "Pushing":
                self.move(layer, event.get("progressDetail", {}))
            elif status == "Pushed":
                self.sent.add(layer)
                self.finish(layer)
            elif status == "Layer already exists" or status.startswith("Mounted from"):
                self.kept.add(layer)
            digest = event.get("aux", {}).get("Digest", digest)
        return len(self.sent), len(self.kept), digest

    def move(self, layer: str, progress: Mapping[str, int]) -> None:
        """Move a layer's bar, made when it first moves."""
        if layer not in self.bars:
            self.bars[layer] = make_bar(desc=f"layer {layer}", unit="B", unit_scale=True)
        bar = self.bars[layer]
        current = progress.get("current", 0)
        bar.total = max(progress.get("total", 0), current)
        bar.update(current - bar.n)

    def finish(self, layer: str) -> None:
        """Fill a layer's bar and end it."""
        if layer in self.bars:
            bar = self.bars.pop(layer)
            bar.update(bar.total - bar.n)
            bar.close()

    def close(self) -> None:
        """End the bars of layers that did not arrive."""
        for bar in self.bars.values():
            bar.close()
