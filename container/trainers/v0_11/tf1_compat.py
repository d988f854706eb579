"""TensorFlow 2.15 instead of 1.15, as far as ML-Agents 0.11 uses it.

TensorFlow 1.15 has no wheels beyond Python 3.7 and none for arm64. `tensorflow.compat.v1` is the same interface
without `tf.contrib`; the few names that ML-Agents uses from there are supplied here.
"""

import sys
import types

import h5py


def install() -> None:
    """Make `import tensorflow` import `tensorflow.compat.v1`."""
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    layers = types.ModuleType("tensorflow.contrib.layers")
    layers.flatten = tf.layers.flatten
    layers.variance_scaling_initializer = _variance_scaling
    rnn = types.ModuleType("tensorflow.contrib.rnn")
    rnn.BasicLSTMCell = tf.nn.rnn_cell.BasicLSTMCell
    rnn.LSTMStateTuple = tf.nn.rnn_cell.LSTMStateTuple
    contrib = types.ModuleType("tensorflow.contrib")
    contrib.layers, contrib.rnn = layers, rnn
    tf.contrib = contrib

    # Two functions that TensorFlow has moved; ML-Agents imports them from here.
    from tensorflow.python.framework import graph_util

    graph_util.convert_variables_to_constants = tf.graph_util.convert_variables_to_constants
    graph_util.extract_sub_graph = tf.graph_util.extract_sub_graph

    sys.modules["tensorflow"] = tf
    sys.modules["tensorflow.contrib"] = contrib
    sys.modules["tensorflow.contrib.layers"] = layers
    sys.modules["tensorflow.contrib.rnn"] = rnn

    # The default mode was writing in h5py 2, and is reading in h5py 3.
    from mlagents.trainers import buffer

    buffer.h5py = types.SimpleNamespace(File=lambda file: h5py.File(file.name, "w" if file.writable() else "r"))


def _variance_scaling(factor: float = 2.0):
    # The defaults of tf.contrib: fan-in, and a truncated normal distribution without correction.
    import tensorflow as tf

    return tf.initializers.variance_scaling(scale=factor * _TRUNCATION, mode="fan_in", distribution="truncated_normal")


# tf.contrib uses the variance 1.3 / n, compat.v1 1 / (0.87962566² n).
_TRUNCATION = 1.3 * 0.87962566103423978**2
