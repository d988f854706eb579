"""Run by the Python of ML-Agents 1.1.0: train on each config with its own trainers, as far as some updates.

Reads a JSON list of config paths from standard input; prints a JSON list of what went wrong, null where nothing did. For a
demonstration among them it prints the number of its steps.
The environment is a stand-in of random numbers; reading, trainers, experiences, updates and summaries are the wheel's.
"""

import contextlib
import io
import json
import logging
import signal
import sys
import tempfile
import warnings

import attr
import numpy as np
import torch
from mlagents.plugins.trainer_type import register_trainer_plugins
from mlagents.trainers import stats
from mlagents.trainers.cli_utils import load_config
from mlagents.trainers.demo_loader import demo_to_buffer
from mlagents.trainers.environment_parameter_manager import EnvironmentParameterManager
from mlagents.trainers.settings import RunOptions, TrainerSettings
from mlagents.trainers.simple_env_manager import SimpleEnvManager
from mlagents.trainers.trainer import TrainerFactory
from mlagents.trainers.trainer_controller import TrainerController
from mlagents.trainers.training_status import GlobalTrainingStatus
from mlagents_envs.base_env import (
    ActionSpec,
    BehaviorSpec,
    DecisionSteps,
    DimensionProperty,
    ObservationSpec,
    ObservationType,
    TerminalSteps,
)
from mlagents_envs.side_channel.environment_parameters_channel import EnvironmentParametersChannel

STEPS, UPDATES, AGENTS, EPISODE, SECONDS = 60, 3, 12, 10, 60
SEEN = ObservationSpec((4,), (DimensionProperty.NONE,), ObservationType.DEFAULT, "VectorSensor_size4")


class RandomEnvironment:
    """Twelve agents of the behavior Ball, whose episodes take about ten steps."""

    def __init__(self, teams):
        spec = BehaviorSpec([SEEN], ActionSpec.create_continuous(2))
        self.behavior_specs = {f"Ball?team={team}": spec for team in range(teams)}
        self.results, self.next_id = {}, 0

    def reset(self):
        self.ids = {name: self._new(AGENTS) for name in self.behavior_specs}
        self.results = {name: self._results(name, np.zeros(AGENTS, bool)) for name in self.ids}

    def step(self):
        for name in self.ids:
            self.results[name] = self._results(name, np.random.rand(AGENTS) < 1 / EPISODE)

    def get_steps(self, name):
        return self.results[name]

    def set_actions(self, name, action):
        pass

    def _new(self, count):
        self.next_id += count
        return np.arange(self.next_id - count, self.next_id, dtype=np.int32)

    def _results(self, name, ended):
        def values(count):
            return [np.random.rand(count, 4).astype(np.float32)], np.random.rand(count).astype(np.float32)

        count, over = int(ended.sum()), self.ids[name][ended]
        group, rewards = np.zeros(AGENTS, np.int32), np.zeros(AGENTS, np.float32)
        terminal = TerminalSteps(*values(count), np.zeros(count, bool), over, group[:count], rewards[:count])
        self.ids[name] = self.ids[name].copy()
        self.ids[name][ended] = self._new(count)
        decision = DecisionSteps(*values(AGENTS), self.ids[name], None, group, rewards)
        return decision, terminal


def options_of(path):
    """Read a config as `mlagents-learn` does with the options that every job has."""
    options = {"checkpoint_settings": {}, "env_settings": {}, "engine_settings": {}, "torch_settings": {}}
    options.update(load_config(path))
    if not set(options) <= set(attr.fields_dict(RunOptions)):
        raise ValueError("invalid options")
    options["env_settings"]["env_path"] = "Ball"
    options["checkpoint_settings"]["run_id"] = "run"
    TrainerSettings.default_override = None
    found = RunOptions.from_dict(options)
    found.behaviors.set_config_specified(True)
    return found


def train(path):
    """Do what `mlagents-learn` does with a config, to its max_steps (STEPS or UPDATES at most).

    Raises an error if no update changes the network, or if what it learns is not numbers.
    """
    options = options_of(path)
    GlobalTrainingStatus.saved_state.clear()
    stats.StatsReporter.stats_dict.clear()
    parameters = EnvironmentParameterManager(options.environment_parameters, 1, restore=False)
    with tempfile.TemporaryDirectory() as folder:
        factory = TrainerFactory(options.behaviors, folder, True, False, 1, parameters)
        controller = TrainerController(factory, folder, "run", parameters, True, 1)
        settings = options.behaviors["Ball"]
        env = RandomEnvironment(2 if settings.self_play else 1)
        manager = SimpleEnvManager(env, EnvironmentParametersChannel())
        controller._reset_env(manager)
        (trainer,) = controller.trainers.values()
        inner = getattr(trainer, "trainer", trainer)
        network = list(inner.policy.actor.parameters())
        first = [value.detach().clone() for value in network if value.requires_grad]
        updates, update = [], inner._update_policy
        inner._update_policy = lambda: update() and not updates.append(1)
        step = 0
        while controller._not_done_training() and step < STEPS and len(updates) < UPDATES:
            step += 1
            for _ in range(controller.advance(manager)):
                controller.reset_env_if_ready(manager)
        controller.join_threads()
        trainer.stats_reporter.write_stats(step)
        last = [value.detach() for value in network if value.requires_grad]
    if not all(torch.isfinite(value).all() for value in last):
        raise RuntimeError("learned nothing: the weights are no numbers")
    if max(float((value - old).abs().max()) for value, old in zip(last, first, strict=True)) < 1e-7:
        raise RuntimeError("learned nothing")


def load(path):
    """Load a demonstration as the trainers do, for the behavior of the stand-in; return the number of steps."""
    _, buffer = demo_to_buffer(path, 1, BehaviorSpec([SEEN], ActionSpec.create_continuous(2)))
    fields = [np.array(buffer[key].get_batch(), dtype=np.float32) for key in buffer]
    if not all(np.isfinite(values).all() for values in fields):
        raise ValueError("NaN")
    return buffer.num_experiences + 1


def interrupt(*_):
    raise TimeoutError("it hangs")


def main():
    paths = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    register_trainer_plugins()
    from mlagents.trainers.model_saver.torch_model_saver import TorchModelSaver

    TorchModelSaver.export = lambda *_: None  # tested elsewhere, and slow
    signal.signal(signal.SIGPROF, interrupt)
    outcomes = []
    for path in paths:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of its own time: a busy machine is no hang
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                outcomes.append(load(path) if path.endswith(".demo") else train(path))
            except BaseException as error:
                outcomes.append(f"{type(error).__name__}: {error}"[:200])
        signal.setitimer(signal.ITIMER_PROF, 0)
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
