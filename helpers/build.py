"""The build in `unity-volume/`: a sample environment where there is none."""

from pathlib import Path

import sample_env
from common.contract import DEFAULT_TRAINER
from mlagents_check import unity_build


def prepare(
    folder: str | Path, sample: str = "3DBall", *, trainer: str | None = None, remove_sample: bool = False
) -> str:
    """Put a sample environment into a folder without a build, and return what was done.

    Parameters
    ----------
    folder : str or Path
        Such as ``"../unity-volume"``.
    sample : str
        ``"3DBall"`` or ``"Warehouse"``.
    trainer : str
        The version of ML-Agents that the sample is for; one that is there for another version is made anew. By default
        0.11.0, and one that is there stays.
    remove_sample : bool
        Remove a sample environment that is there, and put none.

    Raises
    ------
    SampleEnvError
        If the sample is unknown, or `folder` is a file.
    """
    if remove_sample:
        removed = ", ".join(path.name for path in sample_env.remove_sample_build(folder))
        return f"Removed the sample environment from {folder}: {removed or 'there was none'}."
    found = f"No build in {folder}"
    if unity_build.has_build(folder):
        there = unity_build.check(folder).build
        if trainer is None or there is None or not there.is_sample or there.trainer == trainer:
            return f"There is a build in {folder}."
        found, sample = f"In {folder} was the sample for ML-Agents {there.trainer}", there.name
    made = sample_env.make_sample_build(folder, sample, trainer or DEFAULT_TRAINER)
    return f"{found}. Made the sample environment {made.name}."
