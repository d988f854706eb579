"""The update's buffer is shuffled and split as arrays; ML-Agents moves each experience of each field separately."""

import numpy as np
from mlagents.trainers.buffer import Buffer, BufferException
from mlagents.trainers.ppo.policy import PPOPolicy
from mlagents.trainers.ppo.trainer import PPOTrainer


def apply() -> None:
    """Pass PPO's update its buffer as arrays, and draw SAC's samples for a whole field at once."""
    update_policy = PPOTrainer.update_policy

    def update_from_arrays(self):
        if type(self.policy) is PPOPolicy:
            update(self)
        else:  # several GPUs
            update_policy(self)

    def update(self):
        rows = self.training_buffer.update_buffer
        self.training_buffer.update_buffer = Arrays(rows)
        try:
            update_policy(self)
        finally:
            self.training_buffer.update_buffer = rows
        rows.reset_agent()

    PPOTrainer.update_policy = update_from_arrays
    Buffer.AgentBuffer.sample_mini_batch = _sample


class Arrays(dict):
    """The part of an `AgentBuffer` that PPO's update uses, with an array for each field.

    Parameters
    ----------
    rows
        The buffer with a list for each field.
    """

    def __init__(self, rows):
        super().__init__({name: Field(field) for name, field in rows.items()})

    def shuffle(self, sequence_length):
        """Shuffle whole sequences, in the same order for all fields; an incomplete last one is dropped."""
        lengths = {len(field) for field in self.values()}
        if len(lengths) != 1:
            raise BufferException("Unable to shuffle if the fields are not of same length")
        order = np.arange(lengths.pop() // sequence_length)
        np.random.shuffle(order)
        rows = (order[:, None] * sequence_length + np.arange(sequence_length)).ravel()
        for field in self.values():
            field.array = field.array[rows]

    def make_mini_batch(self, start, end):
        """Return field -> array of these experiences."""
        return {name: field.array[start:end] for name, field in self.items()}

    def reset_agent(self):
        """Clear the buffer."""
        self.clear()


class Field:
    """The part of an `AgentBufferField` that PPO's update uses."""

    def __init__(self, rows):
        self.array = np.array(rows)

    def __len__(self):
        return len(self.array)

    def get_batch(self):
        """Return all values."""
        return np.array(self.array, dtype=np.float32)

    def set(self, data):
        """Replace all values."""
        self.array = np.array(data)


def _sample(self, batch_size, sequence_length=1):
    """Draw random sequences, with the same random numbers as `AgentBuffer.sample_mini_batch`."""
    batch = Buffer.AgentBuffer()
    sequences = len(next(iter(self.values()))) // sequence_length
    starts = np.random.randint(sequences, size=batch_size // sequence_length) * sequence_length
    rows = [row for start in starts.tolist() for row in range(start, start + sequence_length)]
    for name in self:
        field = self[name]
        batch[name].extend([field[row] for row in rows])
    return batch
