"""A sample environment: a build that needs no Unity, for everything that can be done with one.

`make_sample_build` writes it in the form of a Unity Linux build. Its player (`player/`, which says how it is run and
where it logs) speaks the protocol of ML-Agents 0.11.0, so that stock `mlagents-learn` trains it like any other.
"""

from .build import SampleEnvError, make_sample_build, record_demonstrations

__all__ = ["SampleEnvError", "make_sample_build", "record_demonstrations"]
