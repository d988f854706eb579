"""The learner's command line."""

import os
import random
import socket
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import checkpoints
import paths
import trainers


@dataclass(frozen=True)
class LearnerCommand:
    """The learner's command; its line is computed for each attempt, because ports and checkpoints change."""

    executable: Optional[str]  # None: the Unity Editor plays
    trainer_config: str
    run_id: str
    options: Dict[str, Any]
    num_envs: int
    try_players: bool = False  # start with one and determine how many are fastest, at most num_envs
    further: Tuple[str, ...] = ()  # arguments that only this version of ML-Agents has

    @property
    def run_folder(self) -> str:
        """Folder of the run's models, relative to the learner's working directory."""
        return paths.run_folder(self.run_id)

    @property
    def environment(self) -> str:
        """Name of the build."""
        if self.executable is None:
            return "Editor"
        return os.path.splitext(os.path.basename(self.executable))[0]

    def line(self) -> List[str]:
        """Return the command line of the next attempt."""
        options = self.options
        line = [sys.executable, "-u", paths.LEARNER, self.trainer_config]
        line += ["--env", self.executable] if self.executable else []
        line += ["--run-id", self.run_id, "--num-envs", str(self.num_envs)]
        line += ["--base-port", str(options["base-port"] or free_ports(self.num_envs))]
        resume = bool(checkpoints.brains(os.path.join(paths.CHECKPOINTS, self.run_folder)))
        line += [*trainers.chosen().arguments(options, resume), *self.further]
        return [*line, "--env-args", *options["env-args"]] if options["env-args"] else line


def free_ports(count: int) -> int:
    """Return the first of `count` ports in a row that are free on this machine.

    They lie below the range from which Linux gives ports to clients and to servers that name none (32768 to 60999).
    Another program may still take one of them before the player's server does; then the attempt is repeated.
    """
    chosen = random.SystemRandom()  # not the trainer's: a job's seed is for the training
    while True:
        first = chosen.randrange(20000, 32000 - count)
        if all(map(_is_free, range(first, first + count))):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("localhost", port))
        except OSError:
            return False
    return True
