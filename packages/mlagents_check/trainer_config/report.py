"""The report of a check of the trainer files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from common.findings import CheckError, Report
from mlagents_check.trainer_config.keys import shown

_SHOWN = ("max_steps", "batch_size", "buffer_size", "hidden_units", "num_layers", "learning_rate", "time_horizon")


class TrainerConfigError(CheckError):
    """Training with these files is impossible; the message says why and what to do."""


@dataclass(frozen=True)
class BrainSettings:
    """A brain's effective settings: `default:`, its own section and the job's hyperparameters combined.

    Parameters
    ----------
    name
        The brain's name.
    section
        The section whose settings it uses on top of `default:`; `default` if it has none of its own.
    trainer
        ``ppo``, ``sac`` or ``offline_bc``; None if the config names none of them.
    settings
        All settings by key; of 1.1.0, in their groups, with the defaults of some.
    origins
        The origin of each key: a section's name or ``hyperparameter``; empty for 1.1.0.
    each_agent
        Whether its steps are those of every agent, as in 0.14 and later, not those of the environment.
    """

    name: str
    section: str
    trainer: str | None
    settings: Mapping[str, Any]
    origins: Mapping[str, str]
    each_agent: bool = False


@dataclass(frozen=True)
class ConfigReport(Report):
    """The result of a check of the trainer files.

    Parameters
    ----------
    path
        The trainer config.
    brains
        The settings of the given brains, or of each section.
    """

    error_type: ClassVar[type[CheckError]] = TrainerConfigError
    ready: ClassVar[str] = "The trainer config is ready."

    path: Path
    brains: tuple[BrainSettings, ...]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """A line for each brain: section, trainer and the main settings."""
        facts = []
        for brain in self.brains:
            flat = dict(brain.settings)
            for group in ("hyperparameters", "network_settings"):  # of 1.1.0
                flat |= flat[group] if isinstance(flat.get(group), dict) else {}
            agents = {"max_steps": " (steps of all agents)"} if brain.each_agent else {}
            main = ", ".join(f"{key} {shown(flat[key])}{agents.get(key, '')}" for key in _SHOWN if key in flat)
            facts.append((brain.name, f"section {brain.section}, {brain.trainer or 'no trainer'}: {main}"))
        return tuple(facts)
