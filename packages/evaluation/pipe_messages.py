"""Messages of values and arrays over a pipe, between the notebook's Python and the trainer's (3.7 and later)."""

import json

import numpy as np


def write(pipe, values, arrays=None):
    """Write a message.

    Parameters
    ----------
    pipe : binary file
    values
        Anything that JSON can hold.
    arrays : dict of str to ndarray
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    heads = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    pipe.write(json.dumps([values, heads]).encode() + b"\n")
    for array in arrays.values():
        pipe.write(array.tobytes())
    pipe.flush()


def read(pipe):
    """Read a message; return its values and arrays.

    Raises
    ------
    EOFError
        If the other side has ended.
    """
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    values, heads = json.loads(line)
    arrays = {}
    for name, kind, shape in heads:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        content = pipe.read(size)
        if len(content) < size:
            raise EOFError
        arrays[name] = np.frombuffer(content, kind).reshape(shape)
    return values, arrays
