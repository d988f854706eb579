"""A small network is computed by one thread: handing its operations around takes longer than computing them."""

import functools

import tensorflow as tf
from mlagents.trainers.tf_policy import TFPolicy

SMALL = 1 << 23
"""Multiplications in a hidden layer for one batch, below which one thread is as fast as several."""


def apply() -> None:
    """Set the threads of each policy's session; ML-Agents asks for as many as the machine has cores, twice."""
    make, configure = TFPolicy.__init__, tf.ConfigProto

    def make_with_threads(self, seed, brain, trainer_parameters):
        small = is_small(brain, trainer_parameters)
        # TensorFlow shares the threads within an operation among all sessions, as the first one has asked for them.
        tf.ConfigProto = functools.partial(
            configure, inter_op_parallelism_threads=1, intra_op_parallelism_threads=1 if small else 0
        )
        try:
            make(self, seed, brain, trainer_parameters)
        finally:
            tf.ConfigProto = configure

    TFPolicy.__init__ = make_with_threads


def is_small(brain, trainer_parameters) -> bool:
    """Whether a network has no images to look at and few multiplications in a layer."""
    work = float(trainer_parameters["batch_size"]) * float(trainer_parameters["hidden_units"]) ** 2
    return brain.number_visual_observations == 0 and work < SMALL
