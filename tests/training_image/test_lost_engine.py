"""An engine that goes away in the middle of its answer, as docker-py meets it."""

import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import docker
import pytest

import training_image as image
from common import docker_engine as engine
from sagemaker_local import docker_runner
from training_image import building, pushing
from training_image.name import Image

MADE = Image("registry.example", "0123456789abcdef")


class Broken(BaseHTTPRequestHandler):
    """Holds the image to push and nothing else; begins every answer that is a stream, and ends no one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        held = MADE.tag in self.path
        body = b'{"Id": "a", "Os": "linux", "Architecture": "amd64"}' if held else b'{"message": "No such image"}'
        self.answer(200 if held else 404, f"Content-Length: {len(body)}", body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/tag" in self.path:
            self.answer(201, "Content-Length: 0", b"")
        else:
            event = b'{"status": "Pushing", "stream": "Step 1/2 : FROM x", "id": "a"}'
            self.answer(200, "Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(event), event))
            self.close_connection = True

    def answer(self, status, about, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(*about.split(": "))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def broken(tmp_path):
    """Return a client of such an engine."""
    address = str(tmp_path / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(address, Broken) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield docker.DockerClient(f"unix://{address}", version="1.43")
        server.shutdown()


def test_in_a_build(broken, folder):
    with pytest.raises(image.ImageError) as failed:
        building.run_build(broken, building.context({"Dockerfile": b"FROM x"}), {}, "a:1")
    said = str(failed.value).splitlines()
    assert said[0].startswith("The build failed: ")
    assert said[0].endswith(f". {engine.LOST} It goes on after the last step that ended.")
    assert said[1:] == ["Step 1/2 : FROM x"]


def test_in_a_pull(broken):
    with pytest.raises(image.ImageError) as failed:
        building.pull_base(broken, "base:1")
    assert not isinstance(failed.value, image.UnavailableError)  # which the embedded target would pass over
    assert str(failed.value).startswith("Pulling the base image base:1 failed: ")
    assert str(failed.value).endswith(f". {engine.LOST}")


def test_in_a_push(broken, connection, monkeypatch):
    monkeypatch.setattr(pushing, "log_in", lambda connection: {"username": "AWS", "password": "any"})
    with pytest.raises(image.ImageError) as failed:
        pushing.push_once_more(connection, broken, MADE)
    assert str(failed.value).startswith("Pushing to registry.example failed: ")
    assert str(failed.value).endswith(
        f". {engine.LOST} Nothing counts as pushed. Layers that arrived stay there, so running this again goes on."
    )


def test_while_a_job_fetches_its_image(broken, monkeypatch):
    monkeypatch.setattr(engine, "connect", lambda: broken)
    assert docker_runner.find("127.0.0.1:5/b:1").startswith("the engine could not get the image: ")
