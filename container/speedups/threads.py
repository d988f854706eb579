"""A small network is computed by one thread, a large one by as many as cores were given.

Handing the operations of a small network from thread to thread takes longer than computing them. ML-Agents leaves the
number to TensorFlow, which takes the machine's cores, however few of them its control group may use.
"""

import functools

import cores
import tensorflow as tf
from mlagents.trainers.tf_policy import TFPolicy

SMALL = 1 << 23
"""Multiplications between two hidden layers for one batch, below which a network counts as small."""


def apply() -> None:
    """Set the threads of each policy's session; TensorFlow shares them among all, as the first one asked for them."""
    make, configure = TFPolicy.__init__, tf.ConfigProto

    def make_with_threads(self, seed, brain, trainer_parameters):
        threads = 1 if is_small(brain, trainer_parameters) else cores.given()
        tf.ConfigProto = functools.partial(
            configure, intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
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
