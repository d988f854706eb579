"""An update's buffer is shuffled and cut as arrays; ML-Agents moves each experience of each field by itself."""

import numpy as np
from mlagents.trainers.buffer import AgentBuffer, AgentBufferField


class _Array(np.ndarray):
    """A field as an array, with what ML-Agents asks of a field."""

    contains_lists = False

    def to_ndarray(self):
        return np.asarray(self)

    def padded_to_batch(self, pad_value=0, dtype=np.float32):
        return np.asarray(self, dtype=dtype)


class _Mates(AgentBufferField):
    """A field of agents without group mates: a list of empty lists, in which no order is another."""


def apply() -> None:
    """Keep a shuffled buffer as arrays until it is emptied."""
    shuffle, make_mini_batch, reset_agent = AgentBuffer.shuffle, AgentBuffer.make_mini_batch, AgentBuffer.reset_agent

    def shuffle_arrays(self, sequence_length, key_list=None):
        if key_list is not None or not self._fields or not self.check_length(list(self._fields)):
            shuffle(self, sequence_length, key_list)
            return
        if "arrays" not in vars(self):
            self.arrays = {key: _as_array(field) for key, field in self._fields.items()}
        order = np.arange(self.num_experiences // sequence_length)
        np.random.shuffle(order)
        steps = (order[:, np.newaxis] * sequence_length + np.arange(sequence_length)).ravel()
        for key, values in self.arrays.items():
            self.arrays[key] = _pick(values, steps)
            del self._fields[key][len(steps) :]  # an incomplete sequence at the end

    def cut(self, start, end):
        if "arrays" not in vars(self):
            return make_mini_batch(self, start, end)
        batch = AgentBuffer()
        for key, values in self.arrays.items():
            batch[key] = values[start:end]
        return batch

    def reset(self):
        vars(self).pop("arrays", None)
        reset_agent(self)

    AgentBuffer.shuffle, AgentBuffer.make_mini_batch, AgentBuffer.reset_agent = shuffle_arrays, cut, reset


def _as_array(field):
    """Return a field as an array; as a list if its entries are of several lengths, such as those of group mates."""
    if field.contains_lists:
        return field if any(field) else _Mates(field)
    try:
        values = np.asanyarray(field)
    except ValueError:
        return field
    return field if values.dtype == object else values.view(_Array)


def _pick(values, steps):
    if isinstance(values, np.ndarray):
        return values[steps]
    if isinstance(values, _Mates):
        del values[len(steps) :]
        return values
    entries = list(values)
    return AgentBufferField([entries[step] for step in steps])
