"""Command line: ``start``, ``stop``, ``status``, and ``run <program> ...`` with the server's address and keys."""

import argparse
import os
import sys

import sagemaker_local as embedded


def main() -> str | None:
    """Run the command; return an error message or None."""
    parser = argparse.ArgumentParser(prog="python -m sagemaker_local", description="The embedded AWS.")
    parser.add_argument("command", choices=("start", "stop", "status", "run"))
    parser.add_argument("program", nargs=argparse.REMAINDER, help="for run: a program and its arguments")
    arguments = parser.parse_args()
    command = arguments.command
    if bool(arguments.program) != (command == "run"):
        parser.error("run takes a program, and nothing else does")
    try:
        if command == "stop":
            print("Embedded AWS stopped." if embedded.stop() else "No embedded AWS was running.")
            if removed := embedded.sweep():
                print(f"Removed {removed} container(s) left by an earlier one.")
            return None
        server = embedded.start() if command in ("start", "run") else embedded.find()
        if command == "run":
            os.execvpe(arguments.program[0], arguments.program, server.environment)  # noqa: S606
    except OSError as error:
        return f"Could not start {arguments.program[0]}: {error.strerror}"
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
