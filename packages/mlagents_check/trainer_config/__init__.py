"""Checks of a training's inputs: trainer config, curricula, samplers, demonstrations and a job's hyperparameters.

>>> from mlagents_check import trainer_config
>>> report = trainer_config.check("unity-volume/trainer_config.yaml", brains=["3DBall"])  # doctest: +SKIP
>>> report.brains[0].settings["max_steps"]  # doctest: +SKIP
50000

The checks follow what ML-Agents 0.11.0 really reads, or with ``trainer="1.1.0"`` that version. An error stops the
training or makes it learn nothing; a setting that is silently ignored or read differently is a warning.
"""

from mlagents_check.trainer_config.check import check, check_folder
from mlagents_check.trainer_config.conversion import convert_behaviors, convert_sections
from mlagents_check.trainer_config.report import BrainSettings, ConfigReport, TrainerConfigError

__all__ = [
    "BrainSettings",
    "ConfigReport",
    "TrainerConfigError",
    "check",
    "check_folder",
    "convert_behaviors",
    "convert_sections",
]
