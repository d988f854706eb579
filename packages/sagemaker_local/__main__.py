"""``python -m sagemaker_local start|stop|status``, and ``run <program> ...`` with its address and keys."""

import argparse
import os
import sys

import sagemaker_local as embedded


def main() -> str | None:
    """Do what the command line says; return an error message or None."""
    parser = argparse.ArgumentParser(prog="python -m sagemaker_local", description="The embedded AWS.")
    parser.add_argument("command", choices=("start", "stop", "status", "run"))
    parser.add_argument("program", nargs=argparse.REMAINDER, help="for run: a program and its arguments")
    given = parser.parse_args()
    command = given.command
    if bool(given.program) != (command == "run"):
        parser.error("run takes a program, and nothing else does")
    try:
        if command == "stop":
            print("Embedded AWS stopped." if embedded.stop() else "No embedded AWS was running.")
            if left := embedded.sweep():
                print(f"Containers that an earlier one had left, removed: {left}.")
            return None
        server = embedded.start() if command in ("start", "run") else embedded.find()
        if command == "run":
            os.execvpe(given.program[0], given.program, server.environment)  # noqa: S606
    except OSError as error:
        return f"Could not start {given.program[0]}: {error.strerror}"
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
