"""What a check of the trainer files says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from common.findings import CheckError, Report
from mlagents_check.trainer_config.keys import shown

_SHOWN = ("max_steps", "batch_size", "buffer_size", "hidden_units", "num_layers", "learning_rate", "time_horizon")


class TrainerConfigError(CheckError):
    """The trainer files can't be trained with; the text says why and what to do."""


@dataclass(frozen=True)
class BrainSettings:
    """What a brain is trained with, after `default:`, its own section and the job's hyperparameters.

    Parameters
    ----------
    name
        Of the brain.
    section
        The section whose settings it uses on top of `default:`; `default` if it has none of its own.
    trainer
        ``ppo``, ``sac`` or ``offline_bc``; None if the config names none of them.
    settings
        All settings by key.
    origins
        Where each key comes from: a section's name or ``hyperparameter``.
    """

    name: str
    section: str
    trainer: str | None
    settings: Mapping[str, Any]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class ConfigReport(Report):
    """What a check of the trainer files found.

    Parameters
    ----------
    path
        The trainer config.
    brains
        Each brain's settings: those asked for, else one for each section.
    """

    error_type: ClassVar[type[CheckError]] = TrainerConfigError
    ready: ClassVar[str] = "The trainer config is ready."

    path: Path
    brains: tuple[BrainSettings, ...]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """One line for each brain: section, trainer and the main settings."""
        facts = []
        for brain in self.brains:
            main = ", ".join(f"{key} {shown(brain.settings[key])}" for key in _SHOWN if key in brain.settings)
            facts.append((brain.name, f"section {brain.section}, {brain.trainer or 'no trainer'}: {main}"))
        return tuple(facts)
