"""A small network is computed by one thread, a large one by as many as there are cores available.

Passing the operations of a small network between threads takes longer than computing them. ML-Agents leaves the number
to TensorFlow, which uses all cores of the machine, even if its control group may use fewer.
"""

import functools

import cores
import tensorflow as tf
from mlagents.trainers.tf_policy import TFPolicy

SMALL = 1 << 23
"""Multiplications between two hidden layers for one batch; a network with fewer is small."""


def apply() -> None:
    """Set the number of threads of each policy's session; TensorFlow uses the first session's number for all."""
    make, configure = TFPolicy.__init__, tf.ConfigProto

    def make_with_threads(self, seed, brain, trainer_parameters):
        threads = 1 if is_small(brain, trainer_parameters) else cores.available()
        tf.ConfigProto = functools.partial(
            configure, intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
        try:
            make(self, seed, brain, trainer_parameters)
        finally:
            tf.ConfigProto = configure

    TFPolicy.__init__ = make_with_threads


def is_small(brain, trainer_parameters) -> bool:
    """Return whether a network has no visual observations and few multiplications in a layer."""
    work = float(trainer_parameters["batch_size"]) * float(trainer_parameters["hidden_units"]) ** 2
    return brain.number_visual_observations == 0 and work < SMALL
