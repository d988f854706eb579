"""The version of ML-Agents that trains a build, and what a lesson needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import trainer_env
from common.contract import METRICS, TRAINERS
from mlagents_check import unity_build

if TYPE_CHECKING:
    import training_image
    from common.aws_session import Connection

IMITATION: Mapping[str, Mapping[str, object]] = {
    "0.11.0": {"trainer": "offline_bc", "demo_path": "", "batch_size": 64, "batches_per_epoch": 3},
    "1.1.0": {"behavioral_cloning.demo_path": "", "behavioral_cloning.strength": 3.0, "buffer_size": 2400},
}
"""Hyperparameters with which each version imitates a demonstration, whose name takes the place of the empty text."""
RUNTIMES = {"0.11.0": "Barracuda", "1.1.0": "the Inference Engine"}
"""What runs a model in Unity."""


@dataclass(frozen=True)
class Version:
    """A version of ML-Agents.

    Attributes
    ----------
    number : str
        Such as ``"0.11.0"``.
    connection : Connection or None
        Whose registry has its image.
    """

    number: str
    connection: Connection | None = None

    @property
    def metrics(self) -> Mapping[str, str]:
        """Metric definitions for its log: name to regular expression."""
        return METRICS

    @property
    def environment(self) -> trainer_env.TrainerEnv:
        """The Python that runs it on this machine, outside Docker. Raises `TrainerEnvError` if there is none."""
        return trainer_env.find(self.number)

    def image(self, **variant: object) -> training_image.Image:
        """Return its image for a training job; takes and raises what `training_image.locate` does."""
        import training_image  # here, because lesson 1 needs no boto3

        return training_image.locate(self.connection, trainer=self.number, **variant)

    def steps(self, of_environment: int, agents: int) -> int:
        """Return steps of the environment as this version counts them: from 0.14 on each agent's count.

        Parameters
        ----------
        of_environment : int
        agents : int
            The number of agents of a brain in the scene, all of which act in each step.
        """
        return of_environment * (agents if TRAINERS[self.number]["counts"] == "agent steps" else 1)

    def imitate(self, demonstration: str) -> dict[str, object]:
        """Return hyperparameters with which it imitates a demonstration in the channel."""
        return {name: value if value != "" else demonstration for name, value in IMITATION[self.number].items()}

    def __str__(self) -> str:
        row = TRAINERS[self.number]
        return (
            f"ML-Agents {self.number} trains this build. It counts {row['counts']}, and Unity runs its "
            f"{row['model_suffix']} models with {RUNTIMES[self.number]}."
        )


def find(folder: str | Path, connection: Connection | None = None) -> Version:
    """Return the version of ML-Agents that trains the build in a folder; the default, 0.11.0, without a build.

    Parameters
    ----------
    folder : str or Path
        Such as ``"../unity-volume"``.
    connection : Connection, optional
        For `Version.image`.

    Raises
    ------
    UnityBuildError
        If none here speaks the build's protocol.
    """
    report = unity_build.check(folder)
    if report.build and not report.build.has_trainer:
        report.raise_for_errors()
    return Version(report.trainer, connection)
