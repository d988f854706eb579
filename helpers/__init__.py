"""What the notebooks share: one module for each stop on the road from a Unity build to a reward curve."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: notebooks, `container/` and `unity-volume/` lie below it."""
