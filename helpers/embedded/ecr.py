"""ECR in front of moto's: moto keeps the repositories' records, a real registry the images.

moto knows no registry and holds its records in memory. So the registry's address takes the place of the one moto
makes up, images in the registry are told to moto before it is asked about them, and the requests that changed a
repository are kept in ``<home>/registry/requests.jsonl`` and sent to moto again when the next server starts.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.test import run_wsgi_app

from helpers.embedded.kept import Kept, WsgiApp
from helpers.embedded.registry import Manifest, Registry, RegistryError
from helpers.embedded.schema import AwsError

TARGET = "AmazonEC2ContainerRegistry_V20150921."
CHANGES = ("Create", "Delete", "Put", "Set", "Tag", "Untag")
MADE_UP = re.compile(r"(?:https://)?\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
TOKEN_SECONDS = 12 * 3600


class Ecr:
    """A WSGI application for ECR in front of moto's.

    Parameters
    ----------
    moto
        moto's application.
    registry
        Where images are pushed to.
    """

    def __init__(self, moto: WsgiApp, registry: Registry):
        self.moto, self.registry = moto, registry
        self.kept = Kept("ecr", TARGET, registry.folder / "requests.jsonl", moto, CHANGES)
        self.told: dict[tuple[str, str, str], Manifest] = {}
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any], region: str) -> Iterable[bytes]:
        """Answer one request.

        Raises
        ------
        AwsError
            If it needs the registry and there is none.
        """
        call = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix(TARGET)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        request = json.loads(body or b"{}")
        with self.lock:
            self.kept.restore()
            self._prepare(call, request, region)
        answer, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
        content = b"".join(answer)
        if status.startswith("200"):
            content = self._rewrite(call, content)
            if call != "PutImage":
                self.kept.keep(call, request, region)
        headers["Content-Length"] = str(len(content))
        start_response(status, list(headers.items()))
        return [content]

    def _prepare(self, call: str, request: dict[str, Any], region: str) -> None:
        """See to it that the registry runs where it is needed, and that moto knows what is in it."""
        if call == "GetAuthorizationToken":
            try:
                self.registry.start()
            except RegistryError as error:
                raise AwsError("RegistryUnavailableException", str(error)) from error
        elif call == "CreateRepository" or (call == "DescribeRepositories" and self.registry.used):
            with contextlib.suppress(RegistryError):  # it is missed when somebody logs in
                self.registry.start()
        elif "Image" in call and self.registry.used and "repositoryName" in request:
            with contextlib.suppress(RegistryError):
                self._tell(request["repositoryName"], region)
            if call == "BatchDeleteImage":
                self._delete(request)

    def _tell(self, repository: str, region: str) -> None:
        """Tell moto of the images in the registry that it does not know."""
        for tag, manifest in self.registry.manifests(repository):
            if (repository, tag, manifest.digest) in self.told:
                continue
            put = {
                "repositoryName": repository,
                "imageManifest": manifest.text,
                "imageManifestMediaType": manifest.kind,
                "imageTag": tag,
                "imageDigest": manifest.digest,
            }
            if self.kept.ask("PutImage", put, region):
                self.told[repository, tag, manifest.digest] = manifest

    def _delete(self, request: dict[str, Any]) -> None:
        """Delete from the registry what moto is asked to delete."""
        asked = [(image.get("imageTag"), image.get("imageDigest")) for image in request.get("imageIds", [])]
        for repository, tag, digest in list(self.told):
            if repository == request["repositoryName"] and ((tag, None) in asked or digest in {d for _, d in asked}):
                self.registry.delete(repository, digest)
                del self.told[repository, tag, digest]

    def _rewrite(self, call: str, content: bytes) -> bytes:
        """Put the registry's address, its images' sizes and an end of the token in place of what moto makes up."""
        address = self.registry.address
        text = content.decode()
        if address is None:
            return content
        if call == "GetAuthorizationToken":
            told = json.loads(text)
            for entry in told["authorizationData"]:
                entry.update(proxyEndpoint=f"http://{address}", expiresAt=time.time() + TOKEN_SECONDS)
            return json.dumps(told).encode()
        if call == "DescribeImages":
            told = json.loads(text)
            sizes = {manifest.digest: manifest.size for manifest in self.told.values()}
            for entry in told["imageDetails"]:
                entry["imageSizeInBytes"] = sizes.get(entry["imageDigest"], entry.get("imageSizeInBytes"))
            return json.dumps(told).encode()
        if call in ("CreateRepository", "DescribeRepositories", "DeleteRepository"):
            return MADE_UP.sub(address, text).encode()
        return content
