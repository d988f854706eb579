"""Run by the Python of ML-Agents 1.1.0: print what its settings classes say of each key, as `keys.json` names it.

A key has how it is read, its default (by algorithm, for hyperparameters), its choices, and whether it may be empty or must
be there; a group has what becomes of an unknown key in it, which is tried out.
"""

import enum
import json
import typing

import attr
from mlagents.plugins.trainer_type import get_default_trainer_types
from mlagents.trainers import settings as wheel

ALGORITHMS, HYPERPARAMETERS = get_default_trainer_types()
SAMPLERS = {kind.value: kind.to_settings() for kind in wheel.ParameterRandomizationType}
NETWORK = {"network_settings": wheel.NetworkSettings, "network_settings.memory": wheel.NetworkSettings.MemorySettings}
DEMO = {"demo_path": "a.demo"}
LESSON = {"name": "first", "value": 1.0}
CRITERIA = {"behavior": "A"}
FINE = {  # what a group must have
    "reward_signals.gail": DEMO,
    "behavioral_cloning": DEMO,
    "environment_parameters.lesson": LESSON,
    "environment_parameters.completion_criteria": CRITERIA,
}
READ_AS = {int: "int()", float: "float()", bool: "truth", str: "path", wheel.ParameterRandomizationSettings: "value"}


def groups():
    """Yield each group's name and class."""
    yield from NETWORK.items()
    for signal in wheel.RewardSignalType:
        yield f"reward_signals.{signal.value}", signal.to_settings()
    yield "behavioral_cloning", wheel.BehavioralCloningSettings
    yield "self_play", wheel.SelfPlaySettings
    for name in ("env_settings", "engine_settings", "checkpoint_settings", "torch_settings"):
        yield name, type(getattr(wheel.RunOptions(), name))
    yield "environment_parameters.lesson", wheel.Lesson
    yield "environment_parameters.completion_criteria", wheel.CompletionCriteriaSettings
    for name, cls in SAMPLERS.items():
        yield f"environment_parameters.{name}", cls


def plain(value):
    return value.value if isinstance(value, enum.Enum) else value


def row(cls, name, field):
    """Describe a field of a class."""
    options = [one for one in typing.get_args(field.type) if one is not type(None)]
    kind = options[0] if type(None) in typing.get_args(field.type) else field.type
    said = {"may_be_empty": True} if kind is not field.type else {}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        said |= {"read_as": "choice", "choices": [one.value for one in kind]}
    else:
        said["read_as"] = READ_AS.get(kind, "list" if typing.get_origin(kind) is list else "mapping")
    if field.default is attr.NOTHING:
        return said | {"required": True}
    needed = {one.name: "" for one in attr.fields(cls) if one.default is attr.NOTHING}
    return said | {"default": plain(getattr(cls(**needed), name))}


def unknown(name):
    """Return whether the wheel refuses or ignores an unknown key in a group."""
    inner = {**FINE.get(name, {}), "no_such_key": 1}
    top, _, rest = name.partition(".")
    if top == "environment_parameters":
        if rest == "lesson":
            found = {"curriculum": [inner]}
        elif rest == "completion_criteria":
            found = {"curriculum": [{**LESSON, "completion_criteria": inner}, LESSON]}
        else:
            found = {"sampler_type": rest, "sampler_parameters": inner}
        options = {top: {"mass": found}}
    else:
        for part in reversed(name.split(".")):
            inner = {part: inner}
        options = inner if top.endswith("_settings") and top not in NETWORK else {"behaviors": {"A": inner}}
        if top == "hyperparameters":
            options["behaviors"]["A"]["trainer_type"] = "ppo"
    try:
        wheel.RunOptions.from_dict(options)
    except Exception:
        return "refused"
    return "ignored"


def main():
    rows = {}
    for name, field in attr.fields_dict(wheel.TrainerSettings).items():
        if name not in ("hyperparameters", "network_settings", "reward_signals", "self_play", "behavioral_cloning"):
            rows[name] = row(wheel.TrainerSettings, name, field)
    rows["trainer_type"] |= {"read_as": "choice", "choices": list(ALGORITHMS)}
    for algorithm, cls in HYPERPARAMETERS.items():
        for name, field in attr.fields_dict(cls).items():
            found = row(cls, name, field)
            before = rows.get(name, {}).get("default", {})
            rows[name] = {**found, "group": "hyperparameters", "default": {**before, algorithm: found["default"]}}
    for group, cls in groups():
        for name, field in attr.fields_dict(cls).items():
            found = row(cls, name, field)
            if group in NETWORK and name != "memory":
                rows[name] = {**found, "group": group}
            elif name not in ("memory", "network_settings"):
                rows[f"{group}.{name}"] = found
    rows["debug"] = row(wheel.RunOptions, "debug", attr.fields_dict(wheel.RunOptions)["debug"])
    unknowns = {name: unknown(name) for name in ["hyperparameters", "reward_signals", *(name for name, _ in groups())]}
    print(json.dumps({"rows": rows, "unknown": unknowns}))


if __name__ == "__main__":
    main()
