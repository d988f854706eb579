"""Keeps S3 on disk, so that what was uploaded outlives the server.

moto holds S3 in memory. Here the requests that made each bucket and object are written to
``<home>/s3/<bucket>/`` once moto has accepted them and before the client hears of it, and are sent to moto again
when the next server starts: etags, checksums, metadata and parts come out the same because the requests are.
Of a versioned bucket the newest versions are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.etree import ElementTree

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from moto.s3.models import s3_backends
from werkzeug.test import EnvironBuilder, run_wsgi_app

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SIGNED = "AWS4-HMAC-SHA256 Credential=embedded/20000101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
COPIED_HEADERS = ("x-amz-meta-", "x-amz-checksum-", "x-amz-sdk-checksum-", "x-amz-storage-class")
LEFT_HEADERS = ("x-amz-date", "x-amz-security-token", "x-amz-copy-source")
OBJECT_PARTS = ("tagging", "acl", "retention", "legal-hold")
STRIPES = 64


class Store:
    """A WSGI application for S3 in front of moto's.

    Parameters
    ----------
    folder
        ``<home>/s3``.
    moto
        moto's application.
    """

    def __init__(self, folder: Path, moto: WsgiApp):
        self.folder, self.moto = folder, moto
        self.locks = [threading.Lock() for _ in range(STRIPES)]
        self.restoring = threading.Lock()
        self.left: dict[Path, list[Path]] = {}  # objects not yet restored: the file, and it with those of its tags
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one S3 request."""
        method = environ["REQUEST_METHOD"]
        bucket, _, key = _path(environ).lstrip("/").partition("/")
        if self.left:
            self._restore_for(environ, bucket, key)
        if method not in ("PUT", "POST", "DELETE"):
            return self.moto(environ, start_response)
        body = _body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        with self.locks[hash((bucket, key)) % STRIPES]:
            answer, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
            content = b"".join(answer)
            if status.startswith("2") and bucket:
                made = self._keep(environ, bucket, key, body, content)
                if made and (item := _in_moto(bucket, key)):
                    seconds = item.last_modified.replace(tzinfo=timezone.utc).timestamp()
                    os.utime(made, (seconds, seconds))
        start_response(status, list(headers.items()))
        return [content]

    def restore(self) -> int:
        """Send everything on disk to moto again; give the number of objects."""
        return self.restore_buckets().finish()

    def restore_buckets(self) -> Store:
        """Send the buckets on disk to moto again, and take note of their objects; see `restore_meanwhile`."""
        for folder in sorted(self.folder.iterdir()):
            shutil.rmtree(folder / "uploads", ignore_errors=True)  # an upload that was never finished
            _remove(folder.glob("*/*.new"))  # a file that was never finished
            for file in sorted((folder / "bucket").glob("*"), key=lambda path: (path.name != "create", path.name)):
                self._try_to_replay(file)
            for file in sorted((folder / "objects").glob("*")):  # "<hash>" before "<hash>.tagging"
                self.left.setdefault(file.with_suffix(""), []).append(file)
        return self

    def restore_meanwhile(self) -> int:
        """Restore the buckets now, and the objects in the background; give the number of these.

        Thousands of objects take seconds, for which nobody has to wait: a request for one that is not there yet has it
        restored first. Only what is about all of a bucket's objects, such as a listing, waits for all.
        """
        count = len(self.restore_buckets().left)
        threading.Thread(target=self.finish, daemon=True).start()
        return count

    def finish(self) -> int:
        """Restore the objects that are left; give the number of those restored here."""
        count = 0
        for file in list(self.left):
            count += self._restore_object(file)
        return count

    def _restore_for(self, environ: dict[str, Any], bucket: str, key: str) -> None:
        """Restore what a request is about, before it is answered."""
        if not key:
            if environ["REQUEST_METHOD"] not in ("HEAD", "PUT"):  # these two are about the bucket itself
                self.finish()
            return
        self._restore_object(self._file(bucket, key))
        if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
            self._restore_object(self._file(*_source(source).lstrip("/").partition("/")[::2]))

    def _restore_object(self, file: Path) -> bool:
        """Restore an object unless somebody else has; tell whether it was restored here, and whole."""
        with self.restoring:  # who finds an object missing from `left` may count on its being there
            if file not in self.left:
                return False
            restored = [self._try_to_replay(part) for part in self.left[file]]
            del self.left[file]
        return restored[0]

    def _try_to_replay(self, file: Path) -> bool:
        """Replay a file, and tell whether it could be: one broken file is no reason to lose the others."""
        try:
            self._replay(file)
        except (OSError, ValueError, KeyError) as error:
            logging.error("S3: %s can't be restored: %s", file, error)
            return False
        return True

    def _file(self, bucket: str, key: str) -> Path:
        """Give the file of an object."""
        return self.folder / quote(bucket, safe="") / "objects" / hashlib.sha256(key.encode()).hexdigest()

    def _keep(self, environ: dict[str, Any], bucket: str, key: str, body: bytes, answer: bytes) -> Path | None:
        """Do on disk what a request has done in moto; give the file of the object that it made, if it made one."""
        method = environ["REQUEST_METHOD"]
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        place = self.folder / quote(bucket, safe="")
        if not key:
            self._keep_bucket(environ, place, query, body)
            return None
        file = self._file(bucket, key)
        upload = place / "uploads" / query["uploadId"] if "uploadId" in query else None
        if method == "DELETE" and upload:
            shutil.rmtree(upload, ignore_errors=True)
        elif method == "DELETE":
            parts = [part for part in OBJECT_PARTS if part in query]
            _remove([file.with_name(f"{file.name}.{part}") for part in parts] if parts else _family(file))
        elif method == "POST" and "uploads" in query:
            made = ElementTree.fromstring(answer).findtext("{*}UploadId")  # noqa: S314  moto's own answer
            _write(place / "uploads" / made / "00000", [_entry(environ, body)])
        elif method == "POST" and upload:
            parts = [path.read_bytes() for path in sorted(upload.glob("?????"))]
            _remove(_family(file))
            _write(file, [*parts, _entry(environ, body)])
            shutil.rmtree(upload)
            return file
        elif method == "PUT" and upload:
            headers = {}
            if "HTTP_X_AMZ_COPY_SOURCE" in environ:
                body, _ = self._copied(environ, environ["HTTP_X_AMZ_COPY_SOURCE"])
            else:
                headers = _headers(environ)
            _write(upload / f"{int(query['partNumber']):05d}", [_entry(environ, body, headers)])
        elif method == "PUT":
            part = next((part for part in OBJECT_PARTS if part in query), None)
            if part:
                _write(file.with_name(f"{file.name}.{part}"), [_entry(environ, body)])
            else:
                headers = _headers(environ)
                if "HTTP_X_AMZ_COPY_SOURCE" in environ:
                    body, headers = self._copied(environ, f"/{bucket}/{quote(key)}")
                _remove(_family(file)[1:])
                _write(file, [_entry(environ, body, headers)])
                return file
        return None

    def _keep_bucket(self, environ: dict[str, Any], place: Path, query: dict[str, str], body: bytes) -> None:
        method = environ["REQUEST_METHOD"]
        if method == "POST" and "delete" in query:
            for item in ElementTree.fromstring(body).iterfind("{*}Object"):  # noqa: S314  moto has read it already
                name = hashlib.sha256((item.findtext("{*}Key") or "").encode()).hexdigest()
                _remove(_family(place / "objects" / name))
            return
        part = next((name for name, value in query.items() if not value and name != "x-id"), "create")
        file = place / "bucket" / part
        if method == "PUT":
            _write(file, [_entry(environ, body)])
        elif method == "DELETE" and part == "create":
            shutil.rmtree(place, ignore_errors=True)
        elif method == "DELETE":
            _remove([file])

    def _copied(self, environ: dict[str, Any], source: str) -> tuple[bytes, dict[str, str]]:
        """Fetch what a copy copied, for its source may be deleted later: the bytes and the headers they came with."""
        path = _source(source)
        asked = {"Authorization": SIGNED, "x-amz-checksum-mode": "ENABLED"}
        if ranges := environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE"):
            asked["Range"] = ranges
        request = EnvironBuilder(path=quote(path), headers=asked).get_environ()
        answer, _, told = run_wsgi_app(self.moto, request, buffered=True)
        kept = {
            name: value for name, value in told.items() if name.lower().startswith((*KEPT_HEADERS, *COPIED_HEADERS))
        }
        return b"".join(answer), kept

    def _replay(self, file: Path) -> None:
        """Send the requests in `file` to moto again."""
        upload = None
        with file.open("rb") as stream:
            for entry, body in _entries(stream):
                query = dict(parse_qsl(entry["query"], keep_blank_values=True))
                if "uploadId" in query:
                    query["uploadId"] = upload
                environ = EnvironBuilder(
                    method=entry["method"],
                    path=quote(entry["path"]),
                    query_string=urlencode(query),
                    headers={**entry["headers"], "Authorization": SIGNED},
                    data=body,
                ).get_environ()
                names = {_environ_name(name): name for name in entry["headers"] if "_" in name}
                environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names
                answer, status, _ = run_wsgi_app(self.moto, environ, buffered=True)
                content = b"".join(answer)
                if not status.startswith("2"):
                    raise ValueError(f"moto answers {status} {content[:500]!r}")
                if "uploads" in query:
                    upload = ElementTree.fromstring(content).findtext("{*}UploadId")  # noqa: S314  moto's own answer
        bucket, _, key = entry["path"].lstrip("/").partition("/")
        if key and not file.suffix and (item := _in_moto(bucket, key)):
            item.last_modified = _time(file)


def _in_moto(bucket: str, key: str) -> Any:
    """Give moto's object, for its time alone: the API has no way to say when an object was made."""
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)


def _time(file: Path) -> datetime:
    """Give the time that a file bears, as moto keeps times: in UTC, not saying so."""
    return datetime.fromtimestamp(file.stat().st_mtime, timezone.utc).replace(tzinfo=None)


def _path(environ: dict[str, Any]) -> str:
    return environ["PATH_INFO"].encode("latin-1").decode("utf-8")  # WSGI hands bytes over as Latin-1


def _source(header: str) -> str:
    """Give the path that a copy's source names."""
    return "/" + unquote(header.partition("?versionId=")[0]).lstrip("/")


def _body(environ: dict[str, Any]) -> bytes:
    if environ.pop("HTTP_TRANSFER_ENCODING", None):
        return environ["wsgi.input"].read()
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _environ_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """Pick the headers that say something about an object, under their own names: metadata may have underscores."""
    headers, named = {}, environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY) or {}
    for name, value in environ.items():
        header = named.get(name, name.removeprefix("HTTP_").replace("_", "-")).lower()
        if header in KEPT_HEADERS or (name.startswith("HTTP_X_AMZ_") and header not in LEFT_HEADERS):
            headers[header] = value
    return headers


def _entry(environ: dict[str, Any], body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """Write a request down: one line of JSON, then its body."""
    about = {
        "method": environ["REQUEST_METHOD"],
        "path": _path(environ),
        "query": environ.get("QUERY_STRING", ""),
        "headers": _headers(environ) if headers is None else headers,
        "length": len(body),
    }
    return json.dumps(about).encode() + b"\n" + body


def _entries(stream: BinaryIO) -> Iterator[tuple[dict[str, Any], bytes]]:
    while line := stream.readline():
        about = json.loads(line)
        yield about, stream.read(about["length"])


def _family(file: Path) -> list[Path]:
    """Give an object's file and those of its tags and the like."""
    return [file, *(file.with_name(f"{file.name}.{part}") for part in OBJECT_PARTS)]


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _write(file: Path, entries: Iterable[bytes]) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    with new.open("wb") as stream:
        stream.writelines(entries)
    new.replace(file)
