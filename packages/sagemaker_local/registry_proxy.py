"""A proxy in front of the registry program that refuses what ECR refuses.

The program knows neither which repositories exist nor which ones have immutable tags.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import unquote

HOST = "127.0.0.1"
SILENT_SECONDS = 300
"""How long a connection may be idle before it is closed."""
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "te", "trailer")
PIECE = 1 << 18
POLL_SECONDS = 0.05
MAX_MANIFEST = 4 << 20  # bytes; ECR's
PATH = re.compile(r"(/[A-Za-z0-9._:@+=~-]+)+/?")
PLACE = re.compile(r"/v2/(?P<repository>.+)/(?:manifests/(?P<reference>[^/]+)|blobs/.*|tags/list)")


class RefusedError(Exception):
    """A request that ECR refuses: HTTP status, the registry protocol's code, and a message."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


class RegistryProxy(ThreadingHTTPServer):
    """Forwards requests to the registry program.

    `find_program` returns its port, and starts it if necessary. `admit` is called before a change with the repository,
    the reference of a manifest ('' for a layer) and its digest, and raises `RefusedError`.
    """

    daemon_threads = True

    def __init__(self, port: int, find_program: Callable[[], int], admit: Callable[[str, str, str], None]):
        super().__init__((HOST, port), Handler)
        self.find_program, self.admit = find_program, admit
        threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def end(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    timeout = SILENT_SECONDS
    server: RegistryProxy

    def pass_on(self) -> None:
        """Handle one request."""
        body: bytes | Iterator[bytes] | None = None
        try:
            body = self._admit()
        except RefusedError as error:
            content = json.dumps({"errors": [{"code": error.code, "message": str(error)}]}).encode()
            self.send_response(error.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")  # its body may not have been read
            self.end_headers()
            self.wfile.write(content)
            return
        except TimeoutError:  # in the middle of a manifest
            self.close_connection = True
            return
        program = http.client.HTTPConnection(HOST, self.server.find_program(), timeout=600)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            chunked = "Content-Length" not in headers and body is not None
            headers |= {"Transfer-Encoding": "chunked"} if chunked else {}
            program.request(self.command, self.path, body, headers, encode_chunked=chunked)
            self._send_response(program.getresponse())
        except TimeoutError:
            self.close_connection = True
        finally:
            program.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def _admit(self) -> bytes | Iterator[bytes] | None:
        """Return the body of a request, or raise `RefusedError`."""
        path, mark, query = self.path.partition("?")
        path = unquote(path)  # the program gets exactly the path that is checked here
        if not PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise RefusedError(400, "NAME_INVALID", f"Expected the path of a repository, found {path[:200]!r}.")
        self.path = path + mark + query
        place = PLACE.fullmatch(path)
        if self.command in ("GET", "HEAD") or not place:
            return self._read_body()
        if self.command == "DELETE" and place["reference"]:
            raise RefusedError(405, "UNSUPPORTED", "Images are deleted with ECR's BatchDeleteImage.")
        if self.command != "PUT" or not place["reference"]:
            self.server.admit(place["repository"], "", "")
            return self._read_body()
        body = b""
        for piece in self._read_body() or ():
            body += piece
            if len(body) > MAX_MANIFEST:
                raise RefusedError(400, "MANIFEST_INVALID", f"A manifest can have {MAX_MANIFEST} bytes at most.")
        self.server.admit(place["repository"], place["reference"], "sha256:" + hashlib.sha256(body).hexdigest())
        self.headers["Content-Length"] = self.headers["Content-Length"] or str(len(body))
        return body

    def _read_body(self) -> Iterator[bytes] | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return _chunks(self.rfile)
        header = self.headers.get("Content-Length") or "0"
        if not re.fullmatch(r"[0-9]{1,15}", header):
            raise RefusedError(400, "SIZE_INVALID", f"Expected Content-Length to be a number, found {header[:40]!r}.")
        length = int(header)
        return _pieces(self.rfile, length) if length else None

    def _send_response(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if response.length is None and self.command != "HEAD":
            self.send_header("Connection", "close")  # marks the end of the body
        self.end_headers()
        while piece := response.read(PIECE):
            self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Log nothing; the program does."""


def _pieces(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (piece := stream.read(min(PIECE, length))):
        length -= len(piece)
        yield piece


def _read_length(stream: BinaryIO) -> int:
    """Return the length of the next chunk; raise ValueError, which closes the connection, if it is no number."""
    line = stream.readline(100)
    if not (found := re.match(rb"[0-9a-fA-F]{1,15}(?=[;\r\n])", line)):
        raise ValueError(f"Expected the length of a chunk, found {line!r}")
    return int(found[0], 16)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while length := _read_length(stream):
        yield from _pieces(stream, length)
        stream.readline(10)
    while stream.readline(1000).strip():  # trailers
        pass
