"""The build in `unity-volume/`: a sample environment where there is none."""

from pathlib import Path

import sample_env
from mlagents_check import unity_build


def prepare(folder: str | Path, sample: str = "3DBall", *, remove_sample: bool = False) -> str:
    """Put a sample environment into a folder without a build, and return what was done.

    Parameters
    ----------
    folder : str or Path
        Such as ``"../unity-volume"``.
    sample : str
        ``"3DBall"`` or ``"Warehouse"``.
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
    if unity_build.has_build(folder):
        return f"There is a build in {folder}."
    made = sample_env.make_sample_build(folder, sample)
    return f"No build in {folder}. Made the sample environment {made.name}."
