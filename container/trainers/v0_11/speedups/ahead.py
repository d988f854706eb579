"""A player computes its next step while the trainer stores the last one; ML-Agents does this sequentially.

The inputs of the next decision are available as soon as a step has arrived: its observations, their normalisation and
the step count. Storing the step's experiences does not change them, unless an update follows.
"""

from mlagents.envs.subprocess_env_manager import SubprocessEnvManager
from mlagents.trainers.components.reward_signals.extrinsic.signal import ExtrinsicRewardSignal
from mlagents.trainers.ppo.policy import PPOPolicy
from mlagents.trainers.ppo.trainer import PPOTrainer
from mlagents.trainers.tf_policy import TFPolicy
from mlagents.trainers.trainer import Trainer
from mlagents.trainers.trainer_controller import TrainerController


def apply() -> None:
    """Make `TrainerController.advance` send the next actions first, and skip the work already done for that."""
    advance, normalise, count = TrainerController.advance, TFPolicy.update_normalization, Trainer.increment_step

    def advance_with_players(self, env):
        return advance(self, PlayersAhead(self, env) if type(env) is SubprocessEnvManager else env)

    def normalise_once(self, vector_obs):
        if self.__dict__.pop("normalised", None) is not vector_obs:
            normalise(self, vector_obs)

    def count_once(self, n_steps):
        if self.__dict__.pop("counted", None) != n_steps:
            count(self, n_steps)

    TrainerController.advance = advance_with_players
    TFPolicy.update_normalization, Trainer.increment_step = normalise_once, count_once


class PlayersAhead:
    """The part of an environment manager that `advance` uses."""

    def __init__(self, controller, manager):
        self._controller, self._manager = controller, manager
        self.set_policy = manager.set_policy

    def step(self):
        """Return the manager's steps, after sending the next actions to the player that responded."""
        steps = self._manager.step()
        if can_go_ahead(self._controller, self._manager, steps):
            (step,) = steps
            for brain, trainer in self._controller.trainers.items():
                observations = step.current_all_brain_info[brain].vector_observations
                trainer.policy.update_normalization(observations)
                trainer.policy.normalised = observations
                trainer.increment_step(1)
                trainer.counted = 1
            self._manager._queue_steps()
        return steps


def can_go_ahead(controller, manager, steps) -> bool:
    """Return whether the next decision can be made before the experiences of these steps are stored.

    It can if no update, reset or second step comes in between, PPO trains every brain, and the rewards do not depend on
    the normalisation.
    """
    if len(steps) != 1 or not controller.train_model or controller.meta_curriculum is not None:
        return False
    if not controller.sampler_manager.is_empty():
        return False
    trainers, (step,) = controller.trainers, steps
    seen, acted = step.current_all_brain_info.keys(), (step.brain_name_to_action_info or {}).keys()
    if not trainers or seen != trainers.keys() or acted != trainers.keys() or manager.policies.keys() != seen:
        return False
    return all(_is_sure(trainer, step.current_all_brain_info[brain]) for brain, trainer in trainers.items())


def _is_sure(trainer, info) -> bool:
    """Return whether storing these observations of PPO's agents does not affect the next decision."""
    policy = trainer.policy
    if type(trainer) is not PPOTrainer or type(policy) is not PPOPolicy or not trainer.is_training:
        return False
    if policy.normalize and any(type(signal) is not ExtrinsicRewardSignal for signal in policy.reward_signals.values()):
        return False
    if trainer.get_step + 1 > trainer.get_max_steps:  # then there is no next decision
        return False
    return not _may_update(trainer, info)


def _may_update(trainer, info) -> bool:
    """Return whether the buffer may be full after these agents' sequences, which may be padded, were added."""
    horizon, padding = trainer.trainer_parameters["time_horizon"], trainer.policy.sequence_length - 1
    buffer = trainer.training_buffer
    size = len(buffer.update_buffer.get("actions", ()))
    for agent, done in zip(info.agents, info.local_done):
        held = 1 + (len(buffer[agent].get("actions", ())) if agent in buffer else 0)
        if done or held > horizon:
            size += held + padding
    return size > trainer.trainer_parameters["buffer_size"]
