"""A player of com.unity.ml-agents, started and stepped as mlagents-learn 1.1.0 does; run by that trainer's Python.

Imports nothing of this project: scripts that run in the trainer environment import it from its folder.
"""

import numpy as np
from mlagents_envs.base_env import ActionTuple
from mlagents_envs.environment import UnityEnvironment
from mlagents_envs.side_channel.engine_configuration_channel import EngineConfigurationChannel
from mlagents_envs.side_channel.stats_side_channel import StatsSideChannel


class Agents:
    """The agents of a behavior that wait for a decision, and the results of the last one.

    The protocol names an agent anew for each episode. Here it keeps its name: who begins takes that of one who ended.

    Attributes
    ----------
    names
    vector
        The observations of all sensors of one axis, side by side.
    pictures
        A list of arrays, one for each camera, channels before height and width.
    others
        Number of sensors that are neither.
    masks
        1 for each choice that an agent may make; None without choices.
    rewards, done
        Since the last decision.
    """

    def __init__(self):
        self.names, self.known, self.free, self.pending = [], {}, [], {}

    def update(self, spec, decisions, terminals):
        """Take what the player answered."""
        for agent, reward in zip(terminals.agent_id.tolist(), terminals.reward.tolist(), strict=True):
            name = self.known.pop(agent, None)
            if name is not None:
                self.pending[name] = reward + float(terminals.group_reward[terminals.agent_id_to_index[agent]])
                self.free.append(name)
        self.names, rewards, done = [], [], []
        for agent, reward in zip(decisions.agent_id.tolist(), decisions.reward.tolist(), strict=True):
            if agent not in self.known:
                self.known[agent] = self.free.pop(0) if self.free else str(len(self.known) + len(self.free))
            name = self.known[agent]
            self.names.append(name)
            done.append(name in self.pending)
            rewards.append(reward + self.pending.pop(name, 0.0))
        self.rewards, self.done = np.array(rewards), np.array(done, dtype=bool)
        shapes = [one.shape for one in spec.observation_specs]
        vectors = [seen for seen, shape in zip(decisions.obs, shapes, strict=True) if len(shape) == 1]
        self.vector = np.concatenate([np.zeros((len(decisions), 0), np.float32), *vectors], axis=1)
        self.pictures = [seen for seen, shape in zip(decisions.obs, shapes, strict=True) if len(shape) == 3]
        self.others = len(shapes) - len(vectors) - len(self.pictures)
        masked = decisions.action_mask
        self.masks = None if masked is None else 1.0 - np.concatenate(masked, axis=1)


class SteppedPlayer:
    """A running player.

    Parameters
    ----------
    request
        `file_name`, `port`, `no_graphics`, `args` and, if not the defaults, `seed` and `timeout` in seconds.

    Attributes
    ----------
    specs
        The wheel's description of each behavior, by its name without the team.
    agents
        `Agents` by the same names.
    """

    def __init__(self, request):
        engine = EngineConfigurationChannel()
        self.env = UnityEnvironment(
            file_name=request["file_name"],
            base_port=request["port"],
            seed=request.get("seed", 1),
            no_graphics=request["no_graphics"],
            timeout_wait=request.get("timeout", 60),
            additional_args=request["args"],
            side_channels=[engine, StatsSideChannel()],
        )
        engine.set_configuration_parameters(84, 84, 5, 20.0, -1, 60)  # mlagents-learn's own
        self.specs, self.agents, self._full_names = {}, {}, {}
        self.env.reset()
        self._look()

    def _look(self):
        for full, spec in self.env.behavior_specs.items():
            name = full.split("?")[0]
            self.specs[name], self._full_names[name] = spec, full
            self.agents.setdefault(name, Agents()).update(spec, *self.env.get_steps(full))

    def step(self, actions):
        """Carry out a decision for every agent that waits: numbers, then the choice in each branch."""
        for name, agents in self.agents.items():
            if agents.names:
                width, values = self.specs[name].action_spec.continuous_size, np.asarray(actions[name])
                taken = ActionTuple(values[:, :width].astype(np.float32), values[:, width:].astype(np.int32))
                self.env.set_actions(self._full_names[name], taken)
        self.env.step()
        self._look()
