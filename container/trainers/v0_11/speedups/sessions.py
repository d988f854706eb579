"""TensorFlow is called through prepared callables; a plain `Session.run` analyses its arguments on every call."""

import numpy as np
import tensorflow as tf
from mlagents.trainers.tf_policy import TFPolicy
from tensorflow.core.protobuf.config_pb2 import CallableOptions


def apply() -> None:
    """Make each policy's session prepare calls that are repeated."""
    make = TFPolicy.__init__

    def with_prepared_session(self, *args, **kwargs):
        make(self, *args, **kwargs)
        self.sess.run = PreparedRun(self.sess)

    TFPolicy.__init__ = with_prepared_session


class PreparedRun:
    """Replaces a session's `run`.

    First calls, and calls that feed by name, feed values of another shape, or feed and fetch the same tensor, go to the
    session's own `run`.
    """

    def __init__(self, session):
        self._session = session
        self._run = session.run
        self._calls = {}  # (fetches, feeds) -> prepared call, or None after the first call

    def __call__(self, fetches, feed_dict=None, options=None, run_metadata=None):
        """Do the same as `Session.run`."""
        feeds = feed_dict or {}
        leaves = []
        _flatten(fetches, leaves)
        key = (tuple(map(id, leaves)), tuple(map(id, feeds)))
        call = self._calls.get(key)
        if call is None:
            if key in self._calls and _can_be_prepared(leaves, feeds):
                self._calls[key] = _Call(self._session, leaves, list(feeds))
            else:
                self._calls[key] = None
            return self._run(fetches, feed_dict, options, run_metadata)
        arrays = call.arrays(feeds.values()) if options is None and run_metadata is None else None
        if arrays is None:
            return self._run(fetches, feed_dict, options, run_metadata)
        return _like(fetches, iter(call.run(arrays)))


class _Call:
    def __init__(self, session, leaves, feeds):
        self._leaves = leaves  # kept alive, so that their ids stay unique
        self._feeds = [(feed, feed.dtype.as_numpy_dtype, feed.shape) for feed in feeds]
        options = CallableOptions(feed=[feed.name for feed in feeds])
        names = {}
        for leaf in leaves:
            if isinstance(leaf, tf.Operation):
                options.target.append(leaf.name)
            else:
                names.setdefault(leaf.name, len(names))
        options.fetch.extend(names)
        self._places = [None if isinstance(leaf, tf.Operation) else names[leaf.name] for leaf in leaves]
        self._shapes = [shape.as_list() if shape.ndims is not None else None for _, _, shape in self._feeds]
        self._call = session._make_callable_from_options(options)

    def arrays(self, values):
        """Convert fed values to arrays, as `Session.run` does; None if one does not match its placeholder's shape."""
        arrays = []
        for (_, dtype, _), shape, value in zip(self._feeds, self._shapes, values):
            array = np.asarray(value, dtype=dtype)
            if shape is not None and not _fits(array.shape, shape):
                return None
            arrays.append(array)
        return arrays

    def run(self, arrays):
        found = self._call(*arrays)
        return [None if place is None else found[place] for place in self._places]


def _can_be_prepared(leaves, feeds) -> bool:
    whole = bool(leaves) and all(isinstance(leaf, (tf.Tensor, tf.Operation)) for leaf in leaves)
    return (
        whole
        and all(isinstance(feed, tf.Tensor) and feed.dtype != tf.string for feed in feeds)
        and not any(leaf is feed for leaf in leaves for feed in feeds)
    )


def _fits(shape, expected) -> bool:
    return len(shape) == len(expected) and all(want is None or want == size for size, want in zip(shape, expected))


def _flatten(fetches, leaves) -> None:
    if isinstance(fetches, dict):
        for value in fetches.values():
            _flatten(value, leaves)
    elif isinstance(fetches, (list, tuple)):
        for value in fetches:
            _flatten(value, leaves)
    else:
        leaves.append(fetches)


def _like(fetches, values):
    if isinstance(fetches, dict):
        return {name: _like(value, values) for name, value in fetches.items()}
    if isinstance(fetches, (list, tuple)):
        return [_like(value, values) for value in fetches]
    return next(values)
