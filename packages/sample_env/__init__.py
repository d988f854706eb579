"""Sample environments in the form of a Unity build, which need no Unity.

`make_sample_build` writes one, `remove_sample_build` removes it, and ``python -m sample_env`` does both. Its player
(`player/`, which documents its options) speaks the protocol of ML-Agents 0.11.0 or 1.1.0, so stock `mlagents-learn` of
that version trains it like any other build.
"""

from .build import SampleEnvError, make_sample_build, record_demonstrations, remove_sample_build

__all__ = ["SampleEnvError", "make_sample_build", "record_demonstrations", "remove_sample_build"]
