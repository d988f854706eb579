"""Buffers are found by one look-up, where ML-Agents lists the keys first."""

from mlagents.trainers.buffer import Buffer


def apply() -> None:
    """Let a dictionary's own look-up find agents and fields; what is missing is made as before."""
    for buffer, make in ((Buffer, Buffer.AgentBuffer), (Buffer.AgentBuffer, Buffer.AgentBuffer.AgentBufferField)):
        del buffer.__getitem__
        buffer.__missing__ = _maker(make)


def _maker(make):
    def missing(self, key):
        value = self[key] = make()
        return value

    return missing
