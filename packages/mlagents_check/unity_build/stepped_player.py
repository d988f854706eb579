"""A player of com.unity.ml-agents, started and stepped as mlagents-learn 1.1.0 does; run by that trainer's Python.

Imports nothing of this project: scripts that run in the trainer environment import it from its folder.
"""

import numpy as np
from mlagents_envs.base_env import ActionTuple
from mlagents_envs.environment import UnityEnvironment
from mlagents_envs.side_channel.engine_configuration_channel import EngineConfigurationChannel
from mlagents_envs.side_channel.stats_side_channel import StatsSideChannel


class Agents:
    """The agents of a behavior, as `watched_player.Player` has them; pictures have channels before height and width.

    The protocol names an agent anew for each episode. Here it keeps its name: who begins takes that of one who ended.
    """

    def __init__(self):
        self._known, self._free, self._pending = {}, [], {}

    def update(self, spec, decisions, terminals):
        """Take what the player answered."""
        rewards = (terminals.reward + terminals.group_reward).tolist()
        for agent, reward in zip(terminals.agent_id.tolist(), rewards, strict=True):
            if agent in self._known:
                self._free.append(self._known.pop(agent))
                self._pending[self._free[-1]] = reward
        for agent in decisions.agent_id.tolist():
            if agent not in self._known:
                self._known[agent] = self._free.pop(0) if self._free else str(len(self._known))
        self.count, self.names = len(self._known), [self._known[agent] for agent in decisions.agent_id.tolist()]
        self.done = np.array([name in self._pending for name in self.names], dtype=bool)
        self.rewards = decisions.reward + decisions.group_reward
        self.rewards = self.rewards + np.array([self._pending.pop(name, 0.0) for name in self.names])
        axes = [len(one.shape) for one in spec.observation_specs]
        vectors = [seen for seen, number in zip(decisions.obs, axes, strict=True) if number == 1]
        self.vector = np.concatenate([np.zeros((len(decisions), 0), np.float32), *vectors], axis=1)
        self.pictures = [seen for seen, number in zip(decisions.obs, axes, strict=True) if number == 3]
        masks = decisions.action_mask
        self.masks = 1.0 - np.concatenate(masks, axis=1) if masks else None


class Teams:
    """The agents of all teams of a behavior as if they were of one: a single network plays them all."""

    def __init__(self, teams):
        self.count = sum(team.count for team in teams)
        self.names = [f"{number}.{name}" for number, team in enumerate(teams) for name in team.names]
        self.done, self.rewards, self.vector = (
            np.concatenate([getattr(team, name) for team in teams]) for name in ("done", "rewards", "vector")
        )
        self.pictures = [np.concatenate(seen) for seen in zip(*(team.pictures for team in teams), strict=True)]
        self.masks = None if teams[0].masks is None else np.concatenate([team.masks for team in teams])


class Player:
    """A running player, as `watched_player.Player`; `ended` is not called, because 1.1.0 sees the end itself."""

    def __init__(self, ended, request):
        engine = EngineConfigurationChannel()
        self._env = UnityEnvironment(
            file_name=request["file_name"],
            base_port=request["port"],
            seed=request.get("seed", 1),
            no_graphics=request["no_graphics"],
            timeout_wait=request.get("timeout", 60),
            additional_args=request["args"],
            side_channels=[engine, StatsSideChannel()],
        )
        engine.set_configuration_parameters(84, 84, 5, 20.0, -1, 60)  # mlagents-learn's own
        self.academy, self.reset_parameters, self.close = "Academy", None, self._env.close
        self.brains, self.agents, self._teams = {}, {}, {}
        self._env.reset()
        self._look()

    def _look(self):
        for full, spec in self._env.behavior_specs.items():
            teams = self._teams.setdefault(full.split("?")[0], {})  # "Name?team=1"
            teams.setdefault(full, Agents()).update(spec, *self._env.get_steps(full))
        for name, teams in self._teams.items():
            self.agents[name] = Teams(list(teams.values())) if len(teams) > 1 else next(iter(teams.values()))
            self.brains[name] = self._describe(self._env.behavior_specs[next(iter(teams))], self.agents[name])

    def step(self, actions):
        """Carry out a decision for every agent that waits: numbers, then the choice in each branch."""
        for name, teams in self._teams.items():
            begin = 0
            for full, team in teams.items():
                if team.names:
                    width = self._env.behavior_specs[full].action_spec.continuous_size
                    values = np.asarray(actions[name])[begin : begin + len(team.names)]
                    taken = ActionTuple(values[:, :width].astype(np.float32), values[:, width:].astype(np.int32))
                    self._env.set_actions(full, taken)
                begin += len(team.names)
        self._env.step()
        self._look()

    @staticmethod
    def _describe(spec, agents):
        actions, shapes = spec.action_spec, [one.shape for one in spec.observation_specs]
        numbers = [actions.continuous_size] if actions.continuous_size else []
        kind = "continuous" if not actions.discrete_size else "hybrid" if numbers else "discrete"
        return {
            "observations": int(agents.vector.shape[1]),
            "stacked": 1,
            "sensors": [list(shape) for shape in shapes],
            "cameras": [[*shape[1:], shape[0]] for shape in shapes if len(shape) == 3],
            "actions": kind,
            "action_sizes": numbers + [int(size) for size in actions.discrete_branches],
        }
