"""The server process of the embedded AWS: ``python -m sagemaker_local.server HOME READY_FD``.

`sagemaker_local.control` starts it. It holds a lock on ``<home>/alive.lock`` until it ends, which is safer than a
process id. It writes its state to READY_FD when it is ready. On SIGTERM it stops its jobs, then ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from sagemaker_local.app import App
from sagemaker_local.authentication import Authenticator
from sagemaker_local.ecr import Ecr
from sagemaker_local.home import REGION, Keys, new_keys, read_keys, write_config, write_whole
from sagemaker_local.jobs import Jobs
from sagemaker_local.registry import Registry
from sagemaker_local.s3_store import Store
from sagemaker_local.tuning.jobs import TuningJobs

HOST = "127.0.0.1"
SILENT_SECONDS = 300
"""How long a connection may be idle before it is closed."""
POLL_SECONDS = 0.05
"""How often the server checks whether it should end."""
MAX_CONNECTIONS = 1_000
"""Connections at a time. Each has a thread, and with thousands Python only switches between them."""


class Handler(MotoRequestHandler):
    """moto's handler, without a log line for every request."""

    timeout = SILENT_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class Server(ThreadedWSGIServer):
    """werkzeug's threaded server with a maximum number of connections; further ones are closed at once."""

    def __init__(self, listening: int, port: int):
        super().__init__(HOST, port, None, Handler, fd=listening)
        self.room = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Serve the connection in a thread, or close it if there are too many."""
        if self.room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Serve the connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()


class Clients:
    """boto3 clients for this same server, one for each service and region, for its own jobs."""

    def __init__(self, url: str, keys: Keys):
        self.url, self.lock, self.made = url, threading.Lock(), {}
        self.session = boto3.Session(keys.access, keys.secret, region_name=REGION)

    def __call__(self, service: str, region: str = REGION) -> BaseClient:
        """Return the client of a service in a region."""
        with self.lock:
            if (service, region) not in self.made:
                config = Config(proxies={}, s3={"addressing_style": "path"}, max_pool_connections=32)
                self.made[service, region] = self.session.client(service, region, endpoint_url=self.url, config=config)
            return self.made[service, region]


def allow_many_files() -> None:
    """Raise the limit of open files, because moto keeps a file open for each large object."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(home: Path) -> socket.socket:
    """Listen on the port of this folder's last server, which its clients know, or on a free port if it is taken."""
    remembered = home / "port"
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, int(remembered.read_text())))
    except (OSError, ValueError, OverflowError):  # never served before, or taken meanwhile
        listening.bind((HOST, 0))
    remembered.write_text(str(listening.getsockname()[1]))
    listening.listen(128)
    return listening


def await_signals() -> socket.socket:
    """Return a socket that receives a byte when SIGTERM or SIGINT arrives.

    The byte wakes the main thread whichever thread receives the signal. An event set by a Python handler would not,
    because handlers run in the main thread.
    """
    received, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    wakeup.detach()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return received


def serve(home: Path, ready: int) -> None:
    """Serve `home` until SIGTERM or SIGINT; when ready for requests, write the state to the descriptor `ready`."""
    os.umask(0o077)
    alive = (home / "alive.lock").open("a")
    fcntl.flock(alive, fcntl.LOCK_EX)  # waits for processes that are just testing the lock
    state_file = home / "server.json"
    state_file.unlink(missing_ok=True)
    allow_many_files()
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1 << 20))  # larger objects go to temporary files
    moto = DomainDispatcherApplication(create_backend_app)
    store = Store(home / "s3", create_backend_app("s3"))  # moto's dispatcher would scan 180 folders per request
    restored = store.restore_buckets()

    with listen(home) as listening:  # the server duplicates the descriptor
        port, copied = listening.getsockname()[1], listening.fileno()
        server = Server(copied, port)
    url = f"http://{HOST}:{port}"
    keys, own = read_keys(home) or new_keys(), new_keys()
    write_config(home, keys, url)
    jobs = Jobs(home / "jobs", Clients(url, own))
    tunings = TuningJobs(home / "tuning", jobs)
    registry = Registry(home / "registry", hmac.new(keys.secret.encode(), b"registry", "sha256").hexdigest())
    server.app = App(
        Authenticator(f"{HOST}:{port}", keys, own), moto, store, Ecr(create_backend_app("ecr"), registry), jobs, tunings
    )
    received = await_signals()
    threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
    jobs.load()
    tunings.load()

    state_text = json.dumps({"url": url, "pid": os.getpid()})
    write_whole(state_file, state_text)
    logging.info("serving %s with %d objects and %d jobs of earlier servers", url, restored, len(jobs.records))
    with os.fdopen(ready, "w") as pipe:
        pipe.write(state_text)

    received.recv(1)
    state_file.unlink(missing_ok=True)
    tunings.close()
    logging.info("stopping; %d jobs had to be stopped", jobs.close())
    server.shutdown()
    registry.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
