"""A virtual screen for players that draw: Xvfb, which the image has if it was built with GRAPHICS=1."""

import os
import shutil
import subprocess
from typing import Any, Optional

import supervisor
from refusal import RefusalError

SIZE = "1024x768x24"


def start() -> "Optional[subprocess.Popen[Any]]":
    """Start a virtual screen and set DISPLAY; return None if there is a screen already, or no Xvfb.

    Raises
    ------
    RefusalError
        Xvfb does not start.
    """
    if os.environ.get("DISPLAY"):
        return None
    if not shutil.which("Xvfb"):
        supervisor.say(
            "no-graphics is false and there is no screen. A player that needs one will not start: build the image "
            "with graphics, or leave no-graphics true"
        )
        return None
    reader, writer = os.pipe()
    # It chooses a free number, and writes it when it accepts connections.
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", SIZE, "-nolisten", "tcp"]
    screen = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        number = pipe.readline().strip()
    if not number:
        raise RefusalError("Expected the virtual screen Xvfb to start, found that it ended with %s." % screen.wait())
    os.environ["DISPLAY"] = ":" + number
    return screen


def stop(screen: "Optional[subprocess.Popen[Any]]") -> None:
    """End the screen that `start` returned."""
    if screen is not None:
        os.environ.pop("DISPLAY")
        screen.terminate()
        screen.wait()
