"""TensorFlow is asked by prepared calls, where a plain `Session.run` works out anew each time what it is asked for."""

import numpy as np
import tensorflow as tf
from mlagents.trainers.tf_policy import TFPolicy
from tensorflow.core.protobuf.config_pb2 import CallableOptions


def apply() -> None:
    """Let each policy's session prepare what it is asked for a second time."""
    make = TFPolicy.__init__

    def with_prepared_session(self, *args, **kwargs):
        make(self, *args, **kwargs)
        self.sess.run = PreparedRun(self.sess)

    TFPolicy.__init__ = with_prepared_session


class PreparedRun:
    """In the place of a session's `run`.

    What is asked for the first time, is fed by name, is fed what has another shape or is both fed and fetched, goes
    to the session's own `run`.
    """

    def __init__(self, session):
        self._session = session
        self._run = session.run
        self._calls = {}  # what is fetched and fed -> prepared call, or None after the first time

    def __call__(self, fetches, feed_dict=None, options=None, run_metadata=None):
        """Take and return what `Session.run` does."""
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
        self._leaves = leaves  # kept, so that no other object gets their id
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
        """Turn what is fed into arrays, as `Session.run` does; None if one has not the shape of its placeholder."""
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


def _fits(shape, wanted) -> bool:
    return len(shape) == len(wanted) and all(want is None or want == size for size, want in zip(shape, wanted))


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
