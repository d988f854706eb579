"""``python -m helpers.unity_build FOLDER``: the check of notebook 01 for scripts; exit code 0 or 1."""

import argparse
import sys

from helpers import unity_build


def main(argv: list[str] | None = None) -> int:
    """Print the report on a folder; return 0 if it holds no error, else 1."""
    parser = argparse.ArgumentParser(prog="python -m helpers.unity_build", description="Check a Unity build.")
    parser.add_argument("folder", help="the folder that holds the build, e.g. unity-volume")
    report = unity_build.check(parser.parse_args(argv).folder)
    # A file's name may hold what the terminal's encoding can't.
    encoding = sys.stdout.encoding or "utf-8"
    print(str(report).encode(encoding, "backslashreplace").decode(encoding))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
