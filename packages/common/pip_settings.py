"""How this machine's pip reaches packages, for tools that do not read its configuration."""

import ast
import subprocess
import sys


def read() -> dict[str, str]:
    """Return pip's settings by name, such as ``index-url``: PIP_… variables override configuration files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True).stdout
    lines = [line.split("=", 1) for line in listed.splitlines() if "=" in line]
    settings = {}
    for name, value in sorted(lines, key=lambda line: line[0].startswith(":env:")):
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings
