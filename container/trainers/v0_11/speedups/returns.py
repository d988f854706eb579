"""No value is estimated where an episode has ended, and returns are summed with plain numbers."""

import numpy as np
from mlagents.trainers.ppo import trainer
from mlagents.trainers.ppo.policy import PPOPolicy


def apply() -> None:
    """Skip PPO's estimate where it would be replaced by 0, and sum rewards without array indexing."""
    estimate, discount = PPOPolicy.get_value_estimates, trainer.discount_rewards

    def estimate_where_needed(self, brain_info, idx, done):
        ends = done and all(signal.use_terminal_states for signal in self.reward_signals.values())
        if ends and not self.use_recurrent:  # for a network with a memory the call has a side effect
            return dict.fromkeys(self.reward_signals, 0.0)
        return estimate(self, brain_info, idx, done)

    def discount_numbers(r, gamma=0.99, value_next=0.0):
        if r.dtype != np.float64 or r.ndim != 1:  # plain numbers have only this precision
            return discount(r, gamma, value_next)
        total, sums = value_next, []
        for reward in reversed(r.tolist()):
            total = total * gamma + reward
            sums.append(total)
        return np.array(sums[::-1], dtype=np.float64)

    PPOPolicy.get_value_estimates, trainer.discount_rewards = estimate_where_needed, discount_numbers
