"""A player's message is read in one pass over its agents; ML-Agents makes a pass for each field."""

import logging

import numpy as np
from mlagents.envs.brain import BrainInfo

log = logging.getLogger("mlagents.envs")


def apply() -> None:
    """Read agents' messages in one pass; empty lists and observations of different lengths are left to ML-Agents."""
    from_agent_proto = BrainInfo.from_agent_proto

    def from_messages(worker_id, agent_info_list, brain_params):
        messages = list(agent_info_list)  # each access to the list creates a new object
        observations = [message.stacked_vector_observation[:] for message in messages]
        actions = [message.stored_vector_actions[:] for message in messages]
        if not messages or len(set(map(len, observations))) > 1 or len(set(map(len, actions))) > 1:
            return from_agent_proto(worker_id, agent_info_list, brain_params)
        rewards = [message.reward for message in messages]
        if any(reward != reward for reward in rewards):
            log.warning("An agent had a NaN reward for brain " + brain_params.brain_name)
            rewards = [reward if reward == reward else 0 for reward in rewards]
        return BrainInfo(
            visual_observation=_images(messages, brain_params),
            vector_observation=_finite(np.array(observations), brain_params),
            text_observations=[message.text_observation for message in messages],
            memory=_memories(messages),
            reward=rewards,
            agents=["$%s-%s" % (worker_id, message.id) for message in messages],
            local_done=[message.done for message in messages],
            vector_action=np.array(actions),
            text_action=[list(message.stored_text_actions) for message in messages],
            max_reached=[message.max_step_reached for message in messages],
            custom_observations=_custom_observations(messages),
            action_mask=_masks(messages, sum(brain_params.vector_action_space_size)),
        )

    BrainInfo.from_agent_proto = staticmethod(from_messages)


def _images(messages, brain_params):
    return [
        [
            BrainInfo.process_pixels(
                message.compressed_observations[number].data, brain_params.camera_resolutions[number].gray_scale
            )
            for message in messages
        ]
        for number in range(brain_params.number_visual_observations)
    ]


def _finite(observations, brain_params):
    if np.isfinite(observations).all():
        return observations
    if np.isnan(observations).any():
        log.warning("An agent had a NaN observation for brain %s", brain_params.brain_name)
    return np.nan_to_num(observations)


def _memories(messages):
    rows = [message.memories[:] for message in messages]
    size = max(map(len, rows))
    return np.array([row + [0] * (size - len(row)) for row in rows]) if size else np.zeros((0, 0))


def _masks(messages, actions):
    masks = np.ones((len(messages), actions))
    for place, message in enumerate(messages):
        if message.action_mask and len(message.action_mask) == actions:
            masks[place] = np.logical_not(message.action_mask)
    return masks


def _custom_observations(messages):
    """Return the custom observations; all empty ones share one empty message."""
    empty = type(messages[0].custom_observation)()
    return [m.custom_observation if m.HasField("custom_observation") else empty for m in messages]
