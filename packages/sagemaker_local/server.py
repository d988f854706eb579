"""The server process of the embedded AWS: ``python -m sagemaker_local.server HOME READY_FD``.

`sagemaker_local.control` starts it. It holds ``<home>/alive.lock`` as long as it lives, so that nobody has to trust
a process id; it says that it is ready by writing its state to READY_FD; SIGTERM ends it once its jobs have ended.
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
from sagemaker_local.home import REGION, Keys, new_keys, read_keys, write_config
from sagemaker_local.jobs import Jobs
from sagemaker_local.registry import Registry
from sagemaker_local.s3_store import Store
from sagemaker_local.tuning.jobs import TuningJobs

HOST = "127.0.0.1"
SILENT_SECONDS = 300
"""How long a connection may say nothing before it is closed."""
POLL_SECONDS = 0.05
"""How often the server looks whether it is to end."""
MOST_CONNECTIONS = 1_000
"""At a time: each takes a thread, and with some thousands Python does nothing but switch between them."""


class Handler(MotoRequestHandler):
    """moto's handler, without a log line for every request."""

    timeout = SILENT_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class Server(ThreadedWSGIServer):
    """werkzeug's server with a thread for each connection, and a bound to their number: one more is closed at once."""

    def __init__(self, listening: int, port: int):
        super().__init__(HOST, port, None, Handler, fd=listening)
        self.room = threading.BoundedSemaphore(MOST_CONNECTIONS)

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
    """boto3 clients of this very server, one for each service and region, for its own jobs."""

    def __init__(self, url: str, keys: Keys):
        self.url, self.lock, self.made = url, threading.Lock(), {}
        self.session = boto3.Session(keys.access, keys.secret, region_name=REGION)

    def __call__(self, service: str, region: str = REGION) -> BaseClient:
        """Return the client of a service."""
        with self.lock:
            if (service, region) not in self.made:
                config = Config(proxies={}, s3={"addressing_style": "path"}, max_pool_connections=32)
                self.made[service, region] = self.session.client(service, region, endpoint_url=self.url, config=config)
            return self.made[service, region]


def allow_many_files() -> None:
    """Raise the limit of open files: moto keeps one open for each large object."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(home: Path) -> socket.socket:
    """Listen on the port of this folder's last server, so that its clients find this one; else on a free port."""
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
    """Return a socket from which a byte can be received once SIGTERM or SIGINT has come.

    Whichever thread the system lets handle the signal, it is this byte that wakes the main one; an event that a handler
    in Python sets would wait for the main thread to run.
    """
    asked, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno())
    tell.detach()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return asked


def serve(home: Path, ready: int) -> None:
    """Serve `home` until SIGTERM or SIGINT; once requests are answered, write the state to the descriptor `ready`."""
    os.umask(0o077)
    alive = (home / "alive.lock").open("a")
    fcntl.flock(alive, fcntl.LOCK_EX)  # waits for those who are just looking whether anybody has it
    state = home / "server.json"
    state.unlink(missing_ok=True)
    allow_many_files()
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1 << 20))  # larger objects go to temporary files
    moto = DomainDispatcherApplication(create_backend_app)
    store = Store(home / "s3", create_backend_app("s3"))  # the dispatcher looks at 180 folders for each request
    restored = store.restore_buckets()

    with listen(home) as listening:  # the server makes a copy of its own
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
    asked = await_signals()
    threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
    jobs.load()
    tunings.load()

    told = json.dumps({"url": url, "pid": os.getpid()})
    new = home / "server.json.new"
    new.write_text(told)
    new.replace(state)
    logging.info("serving %s with %d objects and %d jobs of earlier", url, restored, len(jobs.records))
    with os.fdopen(ready, "w") as pipe:
        pipe.write(told)

    asked.recv(1)
    state.unlink(missing_ok=True)
    tunings.close()
    logging.info("stopping; %d jobs had to be stopped", jobs.close())
    server.shutdown()
    registry.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
