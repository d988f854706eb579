"""The trainer's side of protocol 1.5.0, run in the environment of ML-Agents 1.1.0: one scene for each start, a report as JSON.

Both sides of every message are the wheel's: `UnityEnvironment` and the side channels of `mlagents_envs`.
"""

import json
import sys
import time

import numpy as np
from mlagents_envs.environment import ActionTuple, UnityEnvironment
from mlagents_envs.exception import UnityCommunicatorStoppedException, UnityWorkerInUseException
from mlagents_envs.side_channel.engine_configuration_channel import EngineConfigurationChannel
from mlagents_envs.side_channel.environment_parameters_channel import EnvironmentParametersChannel
from mlagents_envs.side_channel.stats_side_channel import StatsSideChannel


class Stock:
    """A player that the wheel starts, on some free port, as fast as mlagents-learn lets it run."""

    def __init__(self, build, args, seed=0, engine=None):
        self.parameters, self.stats, settings = (
            EnvironmentParametersChannel(),
            StatsSideChannel(),
            EngineConfigurationChannel(),
        )
        settings.set_configuration_parameters(**(engine or {"time_scale": 20, "capture_frame_rate": 60}))
        channels = [self.parameters, self.stats, settings]
        while True:
            port = int(np.random.RandomState().randint(20000, 30000))
            try:
                self.environment = UnityEnvironment(
                    build,
                    base_port=port,
                    seed=seed,
                    no_graphics=True,
                    additional_args=list(args),
                    side_channels=channels,
                )
                break
            except UnityWorkerInUseException:
                continue
        self.player = self.environment._process

    def step(self, actions):
        for name, values in actions.items():
            continuous = self.environment.behavior_specs[name].action_spec.continuous_size
            array = np.array(values, np.float32 if continuous else np.int32)
            given = ActionTuple(continuous=array) if continuous else ActionTuple(discrete=array)
            self.environment.set_actions(name, given)
        self.environment.step()
        return self.seen()

    def seen(self):
        report = {}
        for name in self.environment.behavior_specs:
            waiting, ended = self.environment.get_steps(name)
            report[name] = {
                "observations": waiting.obs[0].tolist(),
                "rewards": waiting.reward.tolist(),
                "agents": waiting.agent_id.tolist(),
                "ended": ended.agent_id.tolist(),
                "last_observations": ended.obs[0].tolist(),
                "last_rewards": ended.reward.tolist(),
                "max_reached": ended.interrupted.tolist(),
            }
        return report

    def close(self):
        self.environment.close()
        return self.player.returncode


def run(build, args, seed, actions):
    """Reset, one step for each of the actions, close."""
    stock = Stock(build, args, seed)
    stock.environment.reset()
    specs = {
        name: {
            "observations": [[spec.name, list(spec.shape)] for spec in found.observation_specs],
            "continuous": found.action_spec.continuous_size,
            "discrete": list(found.action_spec.discrete_branches),
        }
        for name, found in stock.environment.behavior_specs.items()
    }
    seen = [stock.seen()] + [stock.step(action) for action in actions]
    stats = {name: [value for value, _ in values] for name, values in stock.stats.get_and_reset_stats().items()}
    return {"specs": specs, "seen": seen, "stats": stats, "exit_code": stock.close()}


def parameters(build, args, before, sent, actions):
    """Set parameters before the reset, `sent` after it, and step as often as there are actions."""
    stock = Stock(build, args)
    for name, given in before.items():
        set_parameter(stock.parameters, name, given)
    stock.environment.reset()
    first = stock.seen()
    for name, given in sent.items():
        set_parameter(stock.parameters, name, given)
    error = None
    try:
        seen = [stock.step(action) for action in actions]
    except UnityCommunicatorStoppedException:
        seen, error = [], "stopped"
    return {"first": first, "seen": seen, "error": error, "exit_code": stock.close()}


def set_parameter(channel, name, given):
    if not isinstance(given, list):
        channel.set_float_parameter(name, given)
    elif given[0] == "multirange":
        channel.set_multirangeuniform_sampler_parameters(name, *given[1:])
    else:
        getattr(channel, f"set_{given[0]}_sampler_parameters")(name, *given[1:])


def timed(build, args, engine, decisions):
    """Return the seconds that some decisions take with these engine settings."""
    stock = Stock(build, args, engine=engine)
    stock.environment.reset()
    started = time.monotonic()
    for _ in range(decisions):
        stock.environment.step()
    seconds = time.monotonic() - started
    stock.close()
    return {"seconds": seconds}


def demonstration(file):
    """Return what the wheel reads of a demonstration."""
    from mlagents.trainers.demo_loader import load_demonstration, make_demo_buffer

    spec, pairs, expected = load_demonstration(file)
    buffer = make_demo_buffer(pairs, spec, 1)
    kinds = {str(key): np.array(value).tolist() for key, value in buffer.items()}
    return {
        "spec": [spec.action_spec.continuous_size, list(spec.action_spec.discrete_branches)],
        "steps": [len(pairs), expected],
        "ends": [number for number, pair in enumerate(pairs) if pair.agent_info.done],
        "rewards": sum(pair.agent_info.reward for pair in pairs),
        "observations": [list(pair.agent_info.observations[0].float_data.data) for pair in pairs[:3]],
        "continuous": kinds.get("BufferKey.CONTINUOUS_ACTION", [])[:3],
        "discrete": kinds.get("BufferKey.DISCRETE_ACTION", [])[:3],
    }


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    report = globals()[wanted.pop("scene")](**wanted)
    print(json.dumps(report))
