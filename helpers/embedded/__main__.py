"""``python -m helpers.embedded start|stop|status``."""

import argparse
import sys

from helpers import embedded


def main() -> str | None:
    """Do what the command line says; give an error message or None."""
    parser = argparse.ArgumentParser(prog="python -m helpers.embedded", description="The embedded AWS.")
    parser.add_argument("command", choices=("start", "stop", "status"))
    command = parser.parse_args().command
    try:
        if command == "stop":
            print("Embedded AWS stopped." if embedded.stop() else "No embedded AWS was running.")
            if left := embedded.sweep():
                print(f"Containers that an earlier one had left, removed: {left}.")
            return None
        server = embedded.start() if command == "start" else embedded.find()
    except embedded.EmbeddedError as error:
        return str(error)
    print(
        f"Embedded AWS at {server.url} (process {server.pid}), files in {server.home}"
        if server
        else "No embedded AWS is running."
    )
    return None


if __name__ == "__main__":
    sys.exit(main())
