"""The embedded registry as a container: what runs where no registry program is installed.

Where `registry:2` can't be pulled, an image made of Debian's docker-registry stands in for it.
"""

import json
import os
import shutil
import urllib.error
import urllib.request

import pytest

from common import docker_engine as engine
from sagemaker_local import docker_runner, registry
from training_image import name

CONFIG = {
    "version": "0.1",
    "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}},
    "http": {"addr": ":5000"},
}


@pytest.fixture
def registry_image(client, connection, tmp_path):
    """Return a registry image: the usual one, or the stand-in."""
    try:
        client.images.pull("registry:2")
    except engine.FAILURES:
        program = shutil.which("docker-registry")
        assert program, "Expected registry:2 or Debian's docker-registry, found neither."
    else:
        yield "registry:2"
        return
    shutil.copy(program, tmp_path / "registry")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    lines = [
        f"FROM {os.environ[name.BASE_VARIABLE]}",
        "COPY registry config.json /",
        'ENTRYPOINT ["/registry", "serve", "/config.json"]',
    ]
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    client.images.build(path=str(tmp_path), tag="mlagents-stand-in-registry:2", rm=True)
    yield "mlagents-stand-in-registry:2"
    client.images.remove("mlagents-stand-in-registry:2", force=True)


def test_a_container_serves_where_no_program_is_installed(client, registry_image, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "IMAGE", registry_image)
    monkeypatch.setattr(registry, "PROGRAMS", ("no-such-program",))
    one, again = (registry.Registry(tmp_path / "home", "secret") for _ in range(2))
    address = one.start()
    try:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://{address}/v2/", timeout=10)
        login = {"username": "AWS", "password": "secret"}
        client.images.get(registry_image).tag(f"{address}/small", "1")
        for event in engine.events(
            client.api.push(f"{address}/small", tag="1", stream=True, decode=True, auth_config=login)
        ):
            digest = event.get("aux", {}).get("Digest")
        client.images.remove(f"{address}/small:1")
        assert [(tag, manifest.digest) for tag, manifest in one.manifests("small")] == [("1", digest)]
        label = f"{docker_runner.LABEL}={tmp_path / 'home'}"  # by which `make stop` finds what a killed server left
        assert len(client.containers.list(filters={"label": label})) == 1
        # A server that was killed leaves its container; the next one takes the place and the images over.
        assert again.start().startswith("127.0.0.1:")
        assert [tag for tag, _ in again.manifests("small")] == ["1"]
    finally:
        one.stop()
        again.stop()
    assert client.containers.list(all=True, filters={"name": "sagemaker-local-registry-"}) == []
