"""What the notebooks call: one module for each stop on the road.

The lessons' paths, such as `../unity-volume`, begin at the lessons' folder. Jupyter starts a kernel there. Papermill
starts it wherever it was called, where the same path may lead into somebody else's folder. So a kernel that imports
this package goes to the lessons first.
"""

import os
import sys
from pathlib import Path

from common import ROOT

FIRST = "01_check_unity_build.ipynb"


def find_lessons(here: Path) -> Path:
    """Return the lessons' folder: `here`, or the one above it (for a solution), if they are there; else the clone's."""
    return next((folder for folder in (here.parent, here) if (folder / FIRST).is_file()), ROOT / "notebooks")


def is_kernel() -> bool:
    """Return whether this process runs a notebook."""
    ipython = sys.modules.get("IPython")
    return bool(ipython and getattr(ipython.get_ipython(), "kernel", None))


LESSONS = find_lessons(Path.cwd())
if is_kernel() and Path.cwd() != LESSONS:
    os.chdir(LESSONS)
    print(f"Working in {LESSONS}, where this notebook's paths begin.")
