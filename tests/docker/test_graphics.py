"""The variant for players that draw: a virtual screen, there when a job asks for graphics."""

import json
import os

import pytest

import training_image as image
from training_image import picture

PLAYER = """\
#!/usr/bin/env python3
import os, socket
display = os.environ.get("DISPLAY")
print("display", display, flush=True)
if display:
    with socket.socket(socket.AF_UNIX) as screen:
        screen.connect("/tmp/.X11-unix/X" + display[1:])
        print("connected", flush=True)
"""


@pytest.fixture(scope="module")
def drawn(connection, client, container, pushed):
    named = image.read(connection, container, graphics=True)
    assert image.build(client, named, path=container, buildargs={"GRAPHICS": "1"})
    yield named
    client.images.remove(named.local, force=True)


def run(client, drawn, folder, no_graphics):
    channel = folder / "input/data/unity-volume"
    (channel / "Draw_Data").mkdir(parents=True)
    (channel / "Draw.x86_64").write_text(PLAYER)
    (folder / "input/config").mkdir()
    (folder / "input/config/hyperparameters.json").write_text(json.dumps({"no-graphics": no_graphics}))
    container = client.containers.create(
        drawn.local,
        "train",
        network_mode="none",
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp"},
        volumes={str(folder): {"bind": "/opt/ml", "mode": "rw"}},
    )
    container.start()
    code = container.wait()["StatusCode"]
    container.remove(force=True)
    assert code == 1  # this player never connects
    return "".join(path.read_text() for path in (folder / "output/data/players").rglob("console.log"))


def test_a_player_with_graphics_finds_a_screen(client, drawn, pushed, tmp_path):
    assert drawn.tag != pushed.tag
    assert "graphics" in [holds for holds, _ in picture.list_layers(client.images.get(drawn.local))]
    said = run(client, drawn, tmp_path / "with", "false")
    assert said.splitlines()[:2] == ["display :0", "connected"]


def test_a_player_without_finds_none(client, drawn, tmp_path):
    assert run(client, drawn, tmp_path / "without", "true").splitlines()[0] == "display None"
