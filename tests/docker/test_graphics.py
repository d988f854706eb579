"""The variant for players that draw: a virtual screen, there when a job asks for graphics."""

import json
import os

import pytest

import training_image as image

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
    built = image.build(connection, container, graphics=True)
    assert built.done == "built"
    yield built
    client.images.remove(built.image.local, force=True)


def run(client, drawn, folder, no_graphics):
    channel = folder / "input/data/unity-volume"
    (channel / "Draw_Data").mkdir(parents=True)
    (channel / "Draw.x86_64").write_text(PLAYER)
    (folder / "input/config").mkdir()
    (folder / "input/config/hyperparameters.json").write_text(json.dumps({"no-graphics": no_graphics}))
    container = client.containers.create(
        drawn.image.local,
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
    assert drawn.image.tag != pushed.image.tag
    assert "graphics" in [layer.holds for layer in image.layers(drawn.image)]
    said = run(client, drawn, tmp_path / "with", "false")
    assert said.splitlines()[:2] == ["display :0", "connected"]


def test_a_player_without_finds_none(client, drawn, tmp_path):
    assert run(client, drawn, tmp_path / "without", "true").splitlines()[0] == "display None"
