"""A compiled protobuf reads and writes messages; that which ML-Agents wants is pure Python from CPython 3.11 on."""


def apply() -> None:
    """Do nothing: the process was started with it, because it must come before all that imports protobuf."""
