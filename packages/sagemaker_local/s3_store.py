"""S3 on disk, so that objects outlive the server.

moto keeps S3 in memory. Here the requests that created each bucket and object are written to ``<home>/s3/<bucket>/``
after moto has accepted them and before the client gets the response. They are sent to moto again when a later server
needs the object. The same requests give the same etags, checksums, metadata and parts. If a request can't be written,
it is undone in moto and fails. Of a versioned bucket only the newest versions are kept; an unfinished multipart upload
ends with the server.

On disk an object changes when one file is renamed. A file with its tags, or another property, contains the `id` of its
object, so that it is never applied to another object with the same key.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import threading
import uuid
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, s3_backends
from werkzeug.formparser import parse_form_data
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
COPIED_HEADERS = (
    *KEPT_HEADERS,
    "x-amz-meta-",
    "x-amz-checksum-",
    "x-amz-sdk-checksum-",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
DROPPED_HEADERS = ("x-amz-date", "x-amz-security-token", "x-amz-copy-source")
SIGNATURES = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders")
SIGNATURES += ("x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature", "expires", "x-id")
"""Query parameters that sign a request rather than describe it."""
MAX_KEY_BYTES = 1024
DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
    "x-amz-checksum-sha512": lambda body: hashlib.sha512(body).digest(),
    "x-amz-checksum-crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
}
"""Header or trailer -> digest of a body. Those of S3 that Python lacks, such as CRC64NVME, are not checked."""
OBJECT_PARTS = ("tagging", "acl", "retention", "legal-hold")
LIST_PARAMETERS = {"list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type"}
LIST_PARAMETERS |= {"fetch-owner"}
"""Parameters of ListObjectsV2."""
OWNER_ID = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
"""The owner's id in moto's responses."""
STRIPES = 64


class Store:
    """A WSGI application for S3 in front of moto's, which stores S3 in `folder`, ``<home>/s3``."""

    def __init__(self, folder: Path, moto: WsgiApp):
        self.folder, self.moto = folder, moto
        self.locks = [threading.Lock() for _ in range(STRIPES)]
        self.restoring = threading.Lock()
        self.unrestored: dict[Path, list[Path]] = {}  # object's file -> it and its property files
        self.unlisted: set[Path] = set()  # those that moto does not list yet
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one S3 request; if moto can't, return S3's NotImplemented error, which no client retries."""
        try:
            status, headers, content = self._answer(environ)
        except Exception:
            logging.exception("S3: moto can't answer %s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            text = f"The embedded AWS does not emulate s3:{environ['REQUEST_METHOD']} with these parameters."
            status, headers, content = _xml("501 Error", _error("NotImplemented", text))
        start_response(status, headers)
        return [content]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        bucket, _, key = _path(environ).lstrip("/").partition("/")
        body = _body(environ)
        keys = _keys(environ, bucket, key, body)
        if refusal := _refuse(environ, keys, body):
            return _xml("400 Error", refusal)
        self._restore_for(environ, keys)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        # Expires is part of a presigned URL; moto mistakes it for the object's header of this name.
        query = environ.get("QUERY_STRING", "").split("&")
        environ["QUERY_STRING"] = "&".join(item for item in query if not item.startswith("Expires="))
        with contextlib.ExitStack() as held:
            for stripe in self._stripes(environ, bucket, key):
                held.enter_context(self.locks[stripe])
            if listing := _list_objects(environ, bucket, key):
                return _xml(*listing)
            response_body, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
            content = b"".join(response_body)
            if status.startswith("500"):
                raise NotImplementedError(content.decode(errors="replace")[:500])
            if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE") and status[0] in "23" and bucket:
                try:
                    self._keep(environ, bucket, key, keys, body, content)
                except (OSError, ValueError) as error:
                    logging.exception("S3: %s %s can't be kept", environ["REQUEST_METHOD"], environ["PATH_INFO"])
                    self._undo(environ, bucket, keys)
                    text = (
                        f"The embedded AWS could not write this to disk: {error}. Free some space, and send it again."
                    )
                    return _xml("500 Error", _error("InternalError", text))
        return status, list(headers.items()), content

    def _stripes(self, environ: dict[str, Any], bucket: str, key: str) -> list[int]:
        """Return the locks of a request in ascending order: those of its objects, or all if it is about a bucket."""
        if not key:
            return list(range(STRIPES)) if bucket else []
        objects = {(bucket, key)}
        if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
            objects.add(_split(_source(source)))
        return sorted({hash(name) % STRIPES for name in objects})

    def restore_buckets(self) -> int:
        """Restore the buckets on disk, and register their objects; return the number of objects.

        Objects are restored when a request needs them; until then moto lists them from the state in their files.
        """
        for folder in sorted(self.folder.iterdir()):
            if folder.name.startswith("."):  # a bucket whose deletion was interrupted
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if not (folder / "bucket" / "create").exists():
                logging.error("S3: %s holds no bucket", folder)
                continue
            shutil.rmtree(folder / "uploads", ignore_errors=True)
            _remove(folder.glob("*/*.new"))  # files that were not completely written
            # Replication, for example, needs versioning; the other settings are replayed in their original order.
            order = {"create": 0, "versioning": 1}
            files = {file: (order.get(file.name, 2), file.stat().st_mtime_ns) for file in (folder / "bucket").iterdir()}
            for file in sorted(files, key=files.get):
                self._try_to_replay(file)
            for file in sorted((folder / "objects").glob("*")):  # "<hash>" before "<hash>.tagging"
                self.unrestored.setdefault(file.with_suffix(""), []).append(file)
        self.unlisted = set(self.unrestored)
        return len(self.unrestored)

    def _restore_for(self, environ: dict[str, Any], keys: list[tuple[str, str]]) -> None:
        """Restore the objects of a request before it is handled."""
        if not self.unrestored:
            return
        if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
            keys = [*keys, _split(_source(source))]
        for bucket, key in keys:
            self._restore_object(self._file(bucket, key))
        if not keys and environ["REQUEST_METHOD"] not in ("HEAD", "PUT"):  # these two are about the bucket itself
            with self.restoring:
                for file in list(self.unlisted):
                    self._list_object(file)

    def _list_object(self, file: Path) -> None:
        """Let moto list an object that is not restored yet; if its bucket is versioned, restore it."""
        self.unlisted.discard(file)
        with contextlib.suppress(OSError, ValueError, KeyError):
            state = _read_state(file)
            bucket = _backend().buckets[state["bucket"]]
            if not bucket.is_versioned:
                bucket.keys.setlist(state["key"], [Listed(state)])
                return
        self._restore_now(file)

    def _restore_object(self, file: Path) -> bool:
        """Restore an object unless another thread has; return whether this call restored it completely."""
        with self.restoring:  # so that an object missing from `unrestored` is certainly in moto
            return file in self.unrestored and self._restore_now(file)

    def _restore_now(self, file: Path) -> bool:
        self.unlisted.discard(file)
        first, *parts = self.unrestored.pop(file)
        if first != file:  # the object was deleted, or never written
            _remove([first, *parts])
            return False
        restored = self._try_to_replay(file)
        for part in parts if restored else ():
            if _read_first(part).get("of") == _read_first(file).get("state", {}).get("id"):
                self._try_to_replay(part)
            else:
                _remove([part])  # belongs to an object that was replaced
        return restored

    def _try_to_replay(self, file: Path) -> bool:
        """Replay a file and return whether that succeeded; one broken file must not prevent the others."""
        try:
            self._replay(file)
        except (OSError, ValueError, KeyError) as error:
            logging.error("S3: %s can't be restored: %s", file, error)
            return False
        return True

    def _file(self, bucket: str, key: str) -> Path:
        return self._bucket_folder(bucket) / "objects" / hashlib.sha256(key.encode()).hexdigest()

    def _bucket_folder(self, bucket: str) -> Path:
        return self.folder / quote(bucket, safe="")

    def _keep(
        self,
        environ: dict[str, Any],
        bucket: str,
        key: str,
        keys: list[tuple[str, str]],
        body: bytes,
        answer: bytes,
    ) -> None:
        """Apply to the disk what a request has changed in moto."""
        method, query = environ["REQUEST_METHOD"], _query(environ)
        bucket_folder = self._bucket_folder(bucket)
        if not keys:
            self._keep_bucket(environ, bucket_folder, query, body)
            return
        upload = bucket_folder / "uploads" / query["uploadId"] if "uploadId" in query else None
        part = next((part for part in OBJECT_PARTS if part in query), None)
        if not key:  # a request for several objects, or sent as a form
            for name in keys:
                self._match(*name)
        elif part:
            self._keep_part(environ, bucket, key, part, query, body)
        elif method == "DELETE" and upload:
            shutil.rmtree(upload, ignore_errors=True)
        elif method == "POST" and "uploads" in query:
            upload_id = ElementTree.fromstring(answer).findtext("{*}UploadId")  # noqa: S314  moto's own answer
            _write(bucket_folder / "uploads" / upload_id / "00000", [_entry(environ, body)])
        elif method == "POST" and upload:
            parts = (path.read_bytes() for path in sorted(upload.glob("?????")))
            self._write_object(bucket, key, chain(parts, [_entry(environ, body)]))
            shutil.rmtree(upload, ignore_errors=True)
        elif method == "PUT" and upload:
            headers = _headers(environ)
            if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
                body, _ = self._fetch(_source(source), environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE", ""))
                headers = {}
            _write(upload / f"{int(query['partNumber']):05d}", [_entry(environ, body, headers)])
        elif method == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" not in environ:
            self._write_object(bucket, key, [_entry(environ, body)])
        elif method in ("PUT", "DELETE"):
            source = environ.get("HTTP_X_AMZ_COPY_SOURCE", "?versionId=")
            if "?versionId=" not in source and environ.get("HTTP_X_AMZ_TAGGING_DIRECTIVE") != "REPLACE":
                # moto keeps the tags that the object had before.
                tags = _backend().tagger.get_tag_dict_for_resource(_in_moto(*_split(_source(source))).arn)
                _backend().put_object_tagging(_in_moto(bucket, key), tags)
            self._match(bucket, key)

    def _match(self, bucket: str, key: str) -> None:
        """Make the object on disk the same as moto's, or delete it if moto has none."""
        item, file = _in_moto(bucket, key), self._file(bucket, key)
        if not item:
            _remove(_family(file))
        elif not file.exists() or _read_first(file).get("state") != _state(item, _read_first(file)):
            content, headers = self._fetch(f"/{bucket}/{key}")
            if tags := _backend().tagger.get_tag_dict_for_resource(item.arn):
                headers["x-amz-tagging"] = urlencode(tags)
            self._write_object(bucket, key, [_line("PUT", f"/{bucket}/{key}", "", headers, content)])

    def _write_object(self, bucket: str, key: str, entries: Iterable[bytes]) -> None:
        file, item = self._file(bucket, key), _in_moto(bucket, key)
        state = {"state": _state(item, {"state": {"id": uuid.uuid4().hex}})} if item else {}
        _write(file, chain([json.dumps(state).encode() + b"\n"], entries))
        _remove(_family(file)[1:])

    def _keep_part(
        self, environ: dict[str, Any], bucket: str, key: str, part: str, query: dict[str, str], body: bytes
    ) -> None:
        """Store a request that sets or deletes a property of an object, such as its tags."""
        item, file = _in_moto(bucket, key), self._file(bucket, key)
        if item and query.get("versionId", item.version_id) == item.version_id:
            of = {"of": _read_first(file).get("state", {}).get("id")}
            entry = _line(environ["REQUEST_METHOD"], _path(environ), part, _headers(environ), body)
            _write(file.with_name(f"{file.name}.{part}"), [json.dumps(of).encode() + b"\n", entry])

    def _keep_bucket(self, environ: dict[str, Any], bucket_folder: Path, query: dict[str, str], body: bytes) -> None:
        method, file = environ["REQUEST_METHOD"], bucket_folder / "bucket" / _part_of_bucket(query)
        if method == "DELETE" and file.name == "create":
            gone = bucket_folder.with_name(f".{uuid.uuid4().hex}")
            bucket_folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        elif method == "DELETE":
            _remove([file])
        elif method == "PUT" and not (file.name == "create" and file.exists()):
            _write(file, [_entry(environ, body)])
            if file.name == "create":
                _backend().buckets[unquote(bucket_folder.name)].creation_date = _time(file)

    def _undo(self, environ: dict[str, Any], bucket: str, keys: list[tuple[str, str]]) -> None:
        """Reset moto to what is on disk; a multipart upload can be completed again."""
        query = _query(environ)
        for name, key in keys:
            if key in (found := _backend().buckets[name].keys):
                found.pop(key)
            file = self._file(name, key)
            if file.exists():
                with self.restoring:
                    self.unrestored[file] = [path for path in _family(file) if path.exists()]
                    self._restore_now(file)
        if "uploadId" in query and environ["REQUEST_METHOD"] == "POST":
            uploads = _backend().buckets[bucket].multiparts
            upload = self._replay(*sorted((self._bucket_folder(bucket) / "uploads" / query["uploadId"]).glob("?????")))
            uploads[upload].id = query["uploadId"]
            uploads[query["uploadId"]] = uploads.pop(upload)
        if not keys and environ["REQUEST_METHOD"] == "PUT":
            part = _part_of_bucket(query)
            kept = self._bucket_folder(bucket) / "bucket" / part
            if kept.exists():
                self._try_to_replay(kept)
            else:
                self._send("DELETE", f"/{bucket}", "" if part == "create" else part)

    def _fetch(self, path: str, part: str = "") -> tuple[bytes, dict[str, str]]:
        """Fetch an object from moto: its bytes and headers."""
        requested = {"x-amz-checksum-mode": "ENABLED", **({"Range": part} if part else {})}
        content, status, response_headers = self._send("GET", path, headers=requested)
        if not status.startswith("2"):
            raise ValueError(f"moto returned {status} {content[:500]!r}")
        return content, {
            name: value for name, value in response_headers.items() if name.lower().startswith(COPIED_HEADERS)
        }

    def _send(
        self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[bytes, str, Any]:
        headers = headers or {}
        environ = EnvironBuilder(
            method=method,
            path=quote(path),
            query_string=query,
            headers={**headers, "Authorization": SIGNED},
            data=body,
        ).get_environ()
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = {_environ_name(name): name for name in headers if "_" in name}
        chunks, status, response_headers = run_wsgi_app(self.moto, environ, buffered=True)
        return b"".join(chunks), status, response_headers

    def _replay(self, *files: Path) -> str | None:
        """Send the requests in `files` to moto again; return the id of the upload that they begin, if any."""
        upload, path, state = None, "", None
        for file in files:
            for entry, body in _entries(file):
                state = entry.get("state", state)
                if "method" not in entry:
                    continue
                path, query = entry["path"], dict(parse_qsl(entry["query"], keep_blank_values=True))
                if "uploadId" in query:
                    query["uploadId"] = upload
                content, status, _ = self._send(entry["method"], path, urlencode(query), entry["headers"], body)
                if not status.startswith("2"):
                    raise ValueError(f"moto returned {status} {content[:500]!r}")
                if "uploads" in query:
                    upload = ElementTree.fromstring(content).findtext("{*}UploadId")  # noqa: S314  moto's own answer
        bucket, key = _split(path)
        if not key and file.name == "create":
            _backend().buckets[bucket].creation_date = _time(file)
        elif (
            key and file == self._file(bucket, key) and (item := _in_moto(bucket, key))
        ):  # not a part of a multipart upload
            item.last_modified = _time(file)
            if state:
                tags = _backend().tagger.get_tag_dict_for_resource(item.arn)
                _set_state(item, state)
                _backend().put_object_tagging(item, tags)  # moto stores tags by version
        return upload


class Listed(FakeKey):
    """An object for listings only, without its content, for which moto would open a file."""

    def __init__(self, state: dict[str, Any]):
        self.name, self.bucket_name, self.contentsize = state["key"], state["bucket"], state["size"]
        self.multipart, self.disposed = None, True
        self.lock_mode = self.lock_legal_status = None
        _set_state(self, state)

    def advance(self) -> None:
        """Do nothing; moto's version advances a restore from Glacier."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Listed:
        """Copy without the content, because ListObjectVersions copies each object."""
        copied = object.__new__(Listed)
        copied.__dict__.update(self.__dict__)
        return copied


def _list_objects(environ: dict[str, Any], bucket: str, key: str) -> tuple[str, bytes] | None:
    """Return the same response to ListObjectsV2 as moto, but without its templates, which take five times as long.

    Return None for any other request, and if the bucket does not exist, has a policy or logging, or parameters are
    invalid. A continuation token is the last name of its page, so it stays valid after a restart.
    """
    query, contents = _query(environ), _backend().buckets.get(bucket)
    known = environ["REQUEST_METHOD"] == "GET" and query.get("list-type") == "2" and LIST_PARAMETERS.issuperset(query)
    limit, token = query.get("max-keys", "1000"), query.get("continuation-token")
    if (
        key
        or not known
        or type(contents) is not FakeBucket
        or contents.policy
        or contents.logging
        or not limit.isdecimal()
    ):
        return None
    try:
        after = query.get("start-after", "") if token is None else bytes.fromhex(token).decode()
    except ValueError:
        text = "The continuation token provided is incorrect"
        return "400 Error", _error("InvalidArgument", text)
    if token == "" or query.get("encoding-type", "url") != "url":
        return None
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    names = sorted(contents.keys)
    page: dict[str, Any] = {}  # name -> object, or None for a common prefix
    for name in names[max(bisect_left(names, prefix), bisect_right(names, after)) :]:
        if not name.startswith(prefix) or len(page) > int(limit):
            break
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        shown = name if cut < 0 else name[: cut + len(delimiter)]
        item = contents.keys.get(name)
        if shown > after and item and not isinstance(item, FakeDeleteMarker):
            page[shown] = item if cut < 0 else None
    more = 0 < int(limit) < len(page)
    entries = list(page.items())[: int(limit)]

    def text(value: str) -> str:
        return quote(value) if "encoding-type" in query else escape(value)

    owner = f"<Owner><ID>{OWNER_ID}</ID><DisplayName>webfile</DisplayName></Owner>"
    owner = owner if query.get("fetch-owner") == "true" else ""
    xml = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{text(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
        f"<KeyCount>{len(entries)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
    ]
    xml += [f"<EncodingType>{query['encoding-type']}</EncodingType>"] if "encoding-type" in query else []
    xml += [f"<Delimiter>{text(delimiter)}</Delimiter>"] if delimiter else []
    xml += [f"<StartAfter>{text(after)}</StartAfter>"] if after and token is None else []
    xml += [f"<NextContinuationToken>{entries[-1][0].encode().hex()}</NextContinuationToken>"] if more else []
    for name, item in entries:
        if item is None:
            xml.append(f"<CommonPrefixes><Prefix>{text(name)}</Prefix></CommonPrefixes>")
            continue
        checksum = item.checksum_algorithm
        checksum = f"<ChecksumAlgorithm>{checksum}</ChecksumAlgorithm>" if checksum else ""
        xml.append(
            f"<Contents><Key>{text(name)}</Key><LastModified>{item.last_modified_ISO8601}</LastModified>"
            f"<ETag>{escape(item.etag)}</ETag><Size>{item.size}</Size>{owner}{checksum}"
            f"<StorageClass>{item.storage_class}</StorageClass></Contents>"
        )
    return "200 OK", "".join([*xml, "</ListBucketResult>"]).encode()


def _backend() -> Any:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _in_moto(bucket: str, key: str) -> Any:
    """Return moto's own object, to set properties for which the API has no call."""
    return _backend().get_object(bucket, key)


def _state(item: Any, first: dict[str, Any]) -> dict[str, Any]:
    """Return an object's state for listings, with the `id` from the first line of its file."""
    return {
        "id": first.get("state", {}).get("id"),
        "bucket": item.bucket_name,
        "key": item.name,
        "size": item.size,
        "etag": item.etag.strip('"'),
        "modified": item.last_modified.replace(tzinfo=timezone.utc).timestamp(),
        "version": item.version_id,
        "versioned": item._is_versioned,
        "storage": item.storage_class,
        "checksum": item.checksum_algorithm,
    }


def _set_state(item: Any, state: dict[str, Any]) -> None:
    """Apply a state to an object."""
    item.last_modified = datetime.fromtimestamp(state["modified"], timezone.utc).replace(tzinfo=None)
    item._etag, item._version_id, item._storage_class = state["etag"], state["version"], state["storage"]
    item.checksum_algorithm, item._is_versioned = state["checksum"], state["versioned"]


def _keys(environ: dict[str, Any], bucket: str, key: str, body: bytes) -> list[tuple[str, str]]:
    """Return the objects of a request: that of its path, those that it deletes, or that of its form."""
    if key or environ["REQUEST_METHOD"] != "POST" or not bucket:
        return [(bucket, key)] if key else []
    if "delete" in _query(environ):
        with contextlib.suppress(ElementTree.ParseError):  # moto reports it
            found = ElementTree.fromstring(body).iterfind("{*}Object")  # noqa: S314  no entities: Python's expat
            return [(bucket, item.findtext("{*}Key") or "") for item in found]
    _, form, files = parse_form_data({**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    name = Path(files["file"].filename or "").name if "file" in files else ""
    return [(bucket, form["key"].replace("${filename}", name))] if form.get("key") else []


def _refuse(environ: dict[str, Any], keys: list[tuple[str, str]], body: bytes) -> bytes | None:
    """Return S3's error for a key that is too long, or for a PUT whose body differs from a digest sent with it."""
    if "delete" not in _query(environ):  # a list of objects to delete, each with its own result
        for _, key in keys:
            if (size := len(key.encode())) > MAX_KEY_BYTES:
                text = f"Your key is too long: expected at most {MAX_KEY_BYTES} bytes of UTF-8, found {size}."
                return _error("KeyTooLongError", text)
    if environ["REQUEST_METHOD"] != "PUT":  # CompleteMultipartUpload's checksum is that of the object
        return None
    sent = {name: environ.get(_environ_name(name)) for name in DIGESTS}
    if environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING-"):
        body, trailers = _decode_chunks(body)
        sent |= trailers
    for name, digest in DIGESTS.items():
        if sent[name] and sent[name] != (found := base64.b64encode(digest(body)).decode()):
            text = f"The {name} you specified, {sent[name]}, did not match the calculated one, {found}."
            return _error("BadDigest", text)
    return None


def _decode_chunks(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Decode ``aws-chunked``: return the content, and the headers that follow it."""
    stream, chunks = io.BytesIO(body), []
    while size := int(stream.readline().partition(b";")[0], 16):
        chunks.append(stream.read(size))
        stream.readline()
    lines = (line.decode("latin-1").partition(":") for line in stream)
    return b"".join(chunks), {name.strip().lower(): value.strip() for name, _, value in lines}


def _query(environ: dict[str, Any]) -> dict[str, str]:
    query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return {name: value for name, value in query if name.lower() not in SIGNATURES}


def _part_of_bucket(query: dict[str, str]) -> str:
    """Return the aspect of a bucket that a request sets: its creation, or one of its settings."""
    part = next((name for name, value in query.items() if not value), "create")
    return quote(f"{part} {query['id']}" if "id" in query else part, safe="").replace("%20", "=")


def _xml(status: str, content: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    return status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content


def _error(code: str, text: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>".encode()


def _time(file: Path) -> datetime:
    """Return a file's time as naive UTC, as moto does."""
    return datetime.fromtimestamp(file.stat().st_mtime, timezone.utc).replace(tzinfo=None)


def _path(environ: dict[str, Any]) -> str:
    return environ["PATH_INFO"].encode("latin-1").decode("utf-8")  # WSGI passes bytes as Latin-1


def _source(header: str) -> str:
    """Return the path in the header ``x-amz-copy-source``."""
    return "/" + unquote(header.partition("?versionId=")[0]).lstrip("/")


def _split(path: str) -> tuple[str, str]:
    """Split a path into bucket and key."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def _body(environ: dict[str, Any]) -> bytes:
    if environ.pop("HTTP_TRANSFER_ENCODING", None):
        return environ["wsgi.input"].read()
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _environ_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """Return the headers that describe an object, with their original names, because metadata may have underscores."""
    headers, named = {}, environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY) or {}
    for name, value in environ.items():
        header = named.get(name, name.removeprefix("HTTP_").replace("_", "-")).lower()
        if header in KEPT_HEADERS or (name.startswith("HTTP_X_AMZ_") and header not in DROPPED_HEADERS):
            headers[header] = value
    return headers


def _entry(environ: dict[str, Any], body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """Serialise a request."""
    headers = _headers(environ) if headers is None else headers
    return _line(environ["REQUEST_METHOD"], _path(environ), urlencode(_query(environ)), headers, body)


def _line(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> bytes:
    """Serialise a request as one line of JSON, followed by its body."""
    header = {"method": method, "path": path, "query": query, "headers": headers, "length": len(body)}
    return json.dumps(header).encode() + b"\n" + body


def _entries(file: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    with file.open("rb") as stream:
        while line := stream.readline():
            header = json.loads(line)
            body = stream.read(header.get("length", 0))
            if len(body) < header.get("length", 0):
                raise ValueError(f"{header['length']} bytes should follow, found {len(body)}")
            yield header, body


def _read_first(file: Path) -> dict[str, Any]:
    """Read the first line of a file; return {} if it is missing or damaged."""
    try:
        with file.open("rb") as stream:
            return json.loads(stream.readline())
    except (OSError, ValueError):
        return {}


def _read_state(file: Path) -> dict[str, Any]:
    """Read the state in the first line of an object's file, with few calls, because there may be thousands of files."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        line = os.read(descriptor, 16_384).partition(b"\n")[0]
    finally:
        os.close(descriptor)
    return json.loads(line)["state"]


def _family(file: Path) -> list[Path]:
    """Return an object's file and its property files."""
    return [file, *(file.with_name(f"{file.name}.{part}") for part in OBJECT_PARTS)]


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _write(file: Path, entries: Iterable[bytes]) -> None:
    """Write a file atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("wb") as stream:
            stream.writelines(entries)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
