"""ECR: moto keeps the records of repositories, a real registry keeps the images.

moto has no registry and keeps its records in memory. So the registry's address replaces the one that moto invents,
moto's records are updated from the registry before a call that reads them, and the requests that changed a repository
are kept in ``<home>/registry/requests.jsonl`` and sent to moto again when the next server starts.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
import time
import urllib.error
from collections.abc import Callable, Iterable
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from werkzeug.test import run_wsgi_app

from sagemaker_local.registry import Registry, RegistryError
from sagemaker_local.registry_proxy import RefusedError
from sagemaker_local.request_journal import RequestJournal, WsgiApp
from sagemaker_local.schema import AwsError

TARGET = "AmazonEC2ContainerRegistry_V20150921."
CHANGES = ("Create", "Delete", "Put", "Set", "Tag", "Untag")
MOTO_ADDRESS = re.compile(r"(?:https://)?\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
IMMUTABLE_TAG = (
    "The image tag '{}' already exists in the '{}' repository and cannot be overwritten because the repository is "
    "immutable."
)
TOKEN_SECONDS = 12 * 3600


class Ecr:
    """A WSGI application for ECR in front of moto's; images are pushed to `registry`."""

    def __init__(self, moto: WsgiApp, registry: Registry):
        self.moto, self.registry = moto, registry
        self.journal = RequestJournal("ecr", TARGET, registry.folder / "requests.jsonl", moto, CHANGES)
        self.sizes: dict[str, int] = {}  # by digest
        self.lock = threading.Lock()
        registry.admit = self.admit

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any], region: str) -> Iterable[bytes]:
        """Handle one request. Raise `AwsError` if it needs the registry and there is none."""
        call = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix(TARGET)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        request = json.loads(body or b"{}")
        with self.lock:
            self.journal.restore()
            before = self._prepare(call, request, region)
            if call == "PutImage" and "imageManifest" in request:
                digest = "sha256:" + hashlib.sha256(request["imageManifest"].encode()).hexdigest()
                self._refuse_moved_tag(request, region, digest)
                request.setdefault("imageDigest", digest)  # else moto invents one
                body = json.dumps(request).encode()
                environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
            response, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
            if status.startswith("200") and before is not None:
                if call == "PutImage":
                    self._put(request, region)
                elif call in ("BatchDeleteImage", "DeleteRepository"):
                    self._follow(request["repositoryName"], region, before)
        content = b"".join(response)
        if status.startswith("200"):
            content = self._rewrite(call, content)
            if call != "PutImage":
                self.journal.keep(call, request, region)
        headers["Content-Length"] = str(len(content))
        start_response(status, list(headers.items()))
        return [content]

    def _prepare(self, call: str, request: dict[str, Any], region: str) -> dict[str, list[str]] | None:
        """Start the registry if the call needs it, and update moto's records from it.

        Return the tags of each digest of the call's repository; None if the registry does not have it.
        """
        if call == "GetAuthorizationToken":
            try:
                self.registry.start()
            except RegistryError as error:
                raise AwsError("RegistryUnavailableException", str(error)) from error
        elif call == "CreateRepository" or (call == "DescribeRepositories" and self.registry.used):
            with contextlib.suppress(RegistryError):  # reported when somebody logs in
                self.registry.start()
        elif ("Image" in call or call == "DeleteRepository") and self.registry.used and "repositoryName" in request:
            with contextlib.suppress(RegistryError):
                self._sync(request["repositoryName"], region)
                found = _find(request["repositoryName"], region)
                return {image.image_digest: list(image.image_tags) for image in found.images} if found else None
        return None

    def _sync(self, repository: str, region: str) -> None:
        """Update moto's records of images from the registry, which clients push to."""
        from moto.ecr.models import Image  # here, so that the embedded AWS starts without it

        found = _find(repository, region)
        if found is None:
            return
        tags: dict[str, list[str]] = {}
        known = {image.image_digest: image for image in found.images}
        for tag, manifest in self.registry.manifests(repository):
            self.sizes[manifest.digest] = manifest.size
            tags.setdefault(manifest.digest, []).append(tag)
            if manifest.digest not in known:
                known[manifest.digest] = Image(
                    DEFAULT_ACCOUNT_ID, tag, manifest.text, repository, manifest.kind, manifest.digest
                )
        for digest, image in known.items():
            image.image_tags = tags.get(digest, [])
            image.image_tag = next(iter(image.image_tags), None)
        untagged = (digest for digest in known if digest not in tags)
        gone = {digest for digest in untagged if not self.registry.find_digest(repository, digest)}
        found.images[:] = [image for digest, image in known.items() if digest not in gone]

    def _follow(self, repository: str, region: str, before: dict[str, list[str]]) -> None:
        """Delete from the registry what moto has deleted; `before` has the tags that each digest had."""
        found = _find(repository, region)
        now = {image.image_digest: image for image in found.images} if found else {}
        for digest, tags in before.items():
            left = now[digest].image_tags if digest in now else []
            if digest in now and left == tags:
                continue
            self.registry.delete(repository, digest)
            for tag in left:  # the registry can't delete a single tag
                self.registry.put(repository, tag, now[digest].image_manifest, now[digest].image_manifest_media_type)

    def _refuse_moved_tag(self, request: dict[str, Any], region: str, digest: str) -> None:
        found, tag = _find(request.get("repositoryName", ""), region), request.get("imageTag")
        images = found.images if found and tag and found.image_tag_mutability == "IMMUTABLE" else []
        if any(tag in image.image_tags and image.image_digest != digest for image in images):
            raise AwsError("ImageTagAlreadyExistsException", IMMUTABLE_TAG.format(tag, found.name))

    def _put(self, request: dict[str, Any], region: str) -> None:
        """Store a manifest that moto accepted in the registry."""
        kind = request.get("imageManifestMediaType") or json.loads(request["imageManifest"])["mediaType"]
        repository, reference = request["repositoryName"], request.get("imageTag") or request["imageDigest"]
        try:
            self.registry.put(repository, reference, request["imageManifest"], kind)
        except urllib.error.HTTPError as error:
            self._sync(repository, region)
            message = f"Layers of the image are not in the registry: {error.read().decode(errors='replace')[:500]}"
            raise AwsError("LayersNotFoundException", message) from error

    def admit(self, repository: str, reference: str, digest: str) -> None:
        """Refuse a push to a missing repository, or of another image to an immutable tag.

        Raise `RefusedError` with the registry protocol's code and ECR's message.
        """
        with self.lock:
            self.journal.restore()
        found = _find(repository)
        if found is None:
            message = f"The repository with name '{repository}' does not exist in the registry with id"
            raise RefusedError(404, "NAME_UNKNOWN", f"{message} '{DEFAULT_ACCOUNT_ID}'")
        tagged = bool(reference) and not reference.startswith("sha256:")
        immutable = found.image_tag_mutability == "IMMUTABLE"
        if tagged and immutable and self.registry.find_digest(repository, reference) not in (None, digest):
            raise RefusedError(400, "TAG_INVALID", IMMUTABLE_TAG.format(reference, repository))

    def _rewrite(self, call: str, content: bytes) -> bytes:
        """Replace what moto invents: the registry's address, sizes of images, and the token with its expiry."""
        address = self.registry.address
        text = content.decode()
        if address is None:
            return content
        if call == "GetAuthorizationToken":
            response = json.loads(text)
            for entry in response["authorizationData"]:
                entry.update(
                    authorizationToken=self.registry.token,
                    proxyEndpoint=f"http://{address}",
                    expiresAt=time.time() + TOKEN_SECONDS,
                )
            return json.dumps(response).encode()
        if call == "DescribeImages":
            response = json.loads(text)
            for entry in response["imageDetails"]:
                entry["imageSizeInBytes"] = self.sizes.get(entry["imageDigest"], entry.get("imageSizeInBytes"))
            return json.dumps(response).encode()
        if call in ("CreateRepository", "DescribeRepositories", "DeleteRepository"):
            return MOTO_ADDRESS.sub(address, text).encode()
        return content


def _find(repository: str, region: str | None = None) -> Any:
    """Return moto's record of a repository in a region, by default in any; None if there is none."""
    from moto.ecr.models import ecr_backends  # here, so that the embedded AWS starts without it

    regions = ecr_backends[DEFAULT_ACCOUNT_ID]
    backends = [regions[region]] if region else list(regions.values())
    return next((backend.repositories[repository] for backend in backends if repository in backend.repositories), None)
