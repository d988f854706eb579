"""A step's experiences are added for all agents together; ML-Agents looks up each value of each agent separately."""

import numpy as np
from mlagents.trainers.ppo.trainer import PPOTrainer
from mlagents.trainers.rl_trainer import AllRewardsOutput, RLTrainer
from mlagents.trainers.sac.trainer import SACTrainer


def apply() -> None:
    """Add experiences by field; if agents appeared, left or did not act, ML-Agents' own code is used."""
    add_experiences = RLTrainer.add_experiences
    columns_of = {PPOTrainer: _of_ppo, SACTrainer: _of_sac}

    def add(self, curr_all_info, next_all_info, outputs):
        before, after = curr_all_info[self.brain_name], next_all_info[self.brain_name]
        columns = columns_of.get(type(self))
        same = before.agents == after.agents and len(set(after.agents)) == len(after.agents)
        if columns is None or not outputs or not same:
            add_experiences(self, curr_all_info, next_all_info, outputs)
        else:
            self.trainer_metrics.start_experience_collection_timer()
            _add(self, before, after, outputs, columns)
            self.trainer_metrics.end_experience_collection_timer()

    RLTrainer.add_experiences = add


def _add(self, before, after, outputs, columns) -> None:
    self.stats["Policy/Entropy"].append(outputs["entropy"].mean())
    self.stats["Policy/Learning Rate"].append(outputs["learning_rate"])
    for name, signal in self.policy.reward_signals.items():
        self.stats[signal.value_name].append(np.mean(outputs["value_heads"][name]))
    rewards = AllRewardsOutput(
        reward_signals={name: signal.evaluate(before, after) for name, signal in self.policy.reward_signals.items()},
        environment=np.array(after.rewards),
    )
    fields = [*_seen(self, before, after), *columns(self.policy, outputs, before, rewards)]
    names = [name for name, _ in fields]
    collected = [
        (sums, list(rewards.environment if name == "environment" else rewards.reward_signals[name].scaled_reward))
        for name, sums in self.collected_rewards.items()
    ]
    masked = not self.policy.use_continuous_act
    append = list.append
    for place, (agent, done, values) in enumerate(zip(after.agents, before.local_done, zip(*(v for _, v in fields)))):
        buffer = self.training_buffer[agent]
        buffer.last_brain_info, buffer.last_take_action_outputs = before, outputs
        if not done:
            for name, value in zip(names, values):
                append(buffer[name], value)
            if masked:
                buffer["action_mask"].padding_value = 1
            for sums, earned in collected:
                sums[agent] = sums.get(agent, 0) + earned[place]
        if not after.local_done[place]:
            self.episode_steps[agent] = self.episode_steps.get(agent, 0) + 1


def _seen(self, before, after):
    """Return (field, a value for each agent) for the observations before and after, in ML-Agents' order."""
    fields = []
    for number, seen in enumerate(before.visual_observations):
        fields.append(("visual_obs%d" % number, seen))
        fields.append(("next_visual_obs%d" % number, after.visual_observations[number]))
    if self.policy.use_vec_obs:
        fields.append(("vector_obs", before.vector_observations))
        fields.append(("next_vector_in", after.vector_observations))
    if self.policy.use_recurrent:
        if before.memories.shape[1] == 0:
            before.memories = np.zeros((len(before.agents), self.policy.m_size))
        fields.append(("memory", before.memories))
    fields.append(("masks", [1.0] * len(after.agents)))
    fields.append(("done", after.local_done))
    return fields


def _acted(policy, before):
    masks = [] if policy.use_continuous_act else [("action_mask", before.action_masks)]
    return [*masks, ("prev_action", before.previous_vector_actions)]


def _of_ppo(policy, outputs, before, rewards):
    fields = []
    if policy.use_continuous_act:
        fields.append(("actions_pre", outputs["pre_action"]))
        fields.append(("random_normal_epsilon", outputs["random_normal_epsilon"]))
    fields += [("actions", outputs["action"]), ("action_probs", outputs["log_probs"]), *_acted(policy, before)]
    for name, result in rewards.reward_signals.items():
        fields.append(("%s_rewards" % name, result.scaled_reward))
        fields.append(("%s_value_estimates" % name, [value[0] for value in outputs["value_heads"][name]]))
    return fields


def _of_sac(policy, outputs, before, rewards):
    return [("actions", outputs["action"]), *_acted(policy, before), ("environment_rewards", rewards.environment)]
