"""What several packages share: findings and their table, a progress bar, the Docker engine, processes and more."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: notebooks, `container/` and `unity-volume/` lie below it."""
