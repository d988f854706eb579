"""A trajectory goes into a buffer field by field; ML-Agents looks each field up anew in each step.

Trajectories of agents with group mates are left to ML-Agents.
"""

import numpy as np
from mlagents.trainers.buffer import AgentBuffer, AgentBufferField, BufferKey
from mlagents.trainers.trajectory import GroupObsUtil, ObsUtil, Trajectory

OF_MATES = (
    *(BufferKey.GROUP_CONTINUOUS_ACTION, BufferKey.GROUP_DISCRETE_ACTION, BufferKey.GROUPMATE_REWARDS),
    *(BufferKey.GROUP_NEXT_CONT_ACTION, BufferKey.GROUP_NEXT_DISC_ACTION),
)


def apply() -> None:
    """Replace `Trajectory.to_agentbuffer`; fields come in the same order."""
    to_agentbuffer = Trajectory.to_agentbuffer

    def by_fields(self):
        steps = self.steps
        if self.next_group_obs or any(step.group_status for step in steps):
            return to_agentbuffer(self)
        buffer = AgentBuffer()

        def put(key, values, padding=0):
            field = buffer._fields[key] = AgentBufferField(values)
            field.padding_value = padding

        def put_empty(*keys):
            for key in keys:
                put(key, [[] for _ in steps])

        for number in range(len(steps[0].obs)):
            seen = [step.obs[number] for step in steps]
            put(ObsUtil.get_name_at(number), seen)
            put(ObsUtil.get_name_at_next(number), [*seen[1:], self.next_obs[number]])
        put_empty(*OF_MATES[:3])
        put(BufferKey.GROUP_REWARD, [step.group_reward for step in steps])
        put_empty(*OF_MATES[3:])
        for number in range(len(steps[0].obs)):
            put_empty(GroupObsUtil.get_name_at(number), GroupObsUtil.get_name_at_next(number))
        if steps[0].memory is not None:
            put(BufferKey.MEMORY, [step.memory for step in steps])
        put(BufferKey.MASKS, [1.0] * len(steps))
        put(BufferKey.DONE, [step.done for step in steps])
        put_empty(BufferKey.GROUP_DONES)
        continuous, discrete = [step.action.continuous for step in steps], [step.action.discrete for step in steps]
        put(BufferKey.CONTINUOUS_ACTION, continuous)
        put(BufferKey.DISCRETE_ACTION, discrete)
        put(BufferKey.NEXT_CONT_ACTION, [*continuous[1:], np.zeros_like(continuous[-1])])
        put(BufferKey.NEXT_DISC_ACTION, [*discrete[1:], np.zeros_like(discrete[-1])])
        put(BufferKey.CONTINUOUS_LOG_PROBS, [step.action_probs.continuous for step in steps])
        put(BufferKey.DISCRETE_LOG_PROBS, [step.action_probs.discrete for step in steps])
        put(BufferKey.ACTION_MASK, list(map(_mask, steps)), padding=1)
        put(BufferKey.PREV_ACTION, [step.prev_action for step in steps])
        put(BufferKey.ENVIRONMENT_REWARDS, [step.reward for step in steps])
        return buffer

    Trajectory.to_agentbuffer = by_fields


def _mask(step):
    """Return a step's action mask, in which 1 means allowed."""
    if step.action_mask is None:
        return np.ones(step.action.discrete.shape, dtype=np.float32)
    return 1 - np.concatenate(step.action_mask)
