"""What all packages share: findings and their table, a progress bar, the Docker engine, the cores of this machine."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: notebooks, `container/` and `unity-volume/` lie below it."""
