"""Stores the requests that changed a service, and replays them to the next server's moto, which starts empty."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder, run_wsgi_app

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RequestJournal:
    """The requests of one service that changed something, in a file with a line of JSON for each.

    A request is kept if its call begins with one of `changes`. `target` is the prefix of a call's name in the header
    ``X-Amz-Target``, empty for services whose requests are forms. `settle` is called with call, request, region and
    time after a request was kept or replayed, to restore times that moto sets itself.
    """

    def __init__(
        self,
        service: str,
        target: str,
        file: Path,
        moto: WsgiApp,
        changes: tuple[str, ...],
        settle: Callable[[str, Any, str, float], None] = lambda *_: None,
    ):
        self.service, self.target, self.file, self.moto = service, target, file, moto
        self.changes, self.settle = changes, settle
        self.lock = threading.Lock()
        self.done = False

    def keep(self, call: str, request: dict[str, Any] | str, region: str) -> None:
        """Keep a request that moto has accepted, if it changes something."""
        if call.startswith(self.changes):
            now = time.time()
            line = json.dumps({"call": call, "request": request, "region": region, "time": now})
            self.settle(call, request, region, now)
            with self.lock:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a") as file:
                    file.write(line + "\n")

    def restore(self) -> None:
        """Replay the kept requests to moto, once."""
        with self.lock:
            if self.done:
                return
            self.done = True
            for line in self.file.read_text().splitlines() if self.file.is_file() else []:
                try:
                    change = json.loads(line)
                except ValueError:  # truncated when the server was killed
                    continue
                if self.send(change["call"], change["request"], change["region"]) and "time" in change:
                    self.settle(change["call"], change["request"], change["region"], change["time"])

    def send(self, call: str, request: dict[str, Any] | str, region: str) -> bool:
        """Send a request to moto and return whether it succeeded."""
        credential = f"embedded/20000101/{region}/{self.service}/aws4_request"
        form = isinstance(request, str)
        environ = EnvironBuilder(
            method="POST",
            headers={
                "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
                "Host": f"{self.service}.{region}.amazonaws.com",
                **({} if form else {"X-Amz-Target": self.target + call}),
            },
            content_type="application/x-www-form-urlencoded; charset=utf-8" if form else "application/x-amz-json-1.1",
            data=request if form else json.dumps(request),
        ).get_environ()
        response, status, _ = run_wsgi_app(self.moto, environ, buffered=True)
        if not status.startswith("200"):
            logging.warning("moto did not accept %s: %s %s", call, status, b"".join(response)[:300])
        return status.startswith("200")
