"""Checks of a `behaviors:` file as ML-Agents 1.1.0 reads it.

Its keys are those of `container/trainers/v1/keys.json`. An error is what its settings classes refuse, or what they pass
although it stops the training or lets it learn nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from common.contract import KEYS_OF
from common.findings import Finding, Level
from mlagents_check.brain_spaces import BrainSpaces
from mlagents_check.trainer_config import keys
from mlagents_check.trainer_config.brain_settings import Demo, batches, drawn_from, small_images
from mlagents_check.trainer_config.document import Document
from mlagents_check.trainer_config.keys import Rule, judge, nearest, rule_of, shown
from mlagents_check.trainer_config.report import BrainSettings

KEYS: Mapping[str, Mapping[str, Any]] = KEYS_OF["1.1.0"]
"""Rows by name. A row's `group` is where its key lies in a behavior; else that is the name itself, by its dots."""

Path = tuple[Any, ...]


def path_of(name: str) -> Path:
    """Return the path of a key in a behavior, or in the file, from its name."""
    group = KEYS[name].get("group") if name in KEYS else None
    return (*group.split("."), name) if group else tuple(name.split("."))


BY_PATH: Mapping[Path, str] = {path_of(name): name for name in KEYS}
ALGORITHMS: tuple[str, ...] = tuple(KEYS["trainer_type"]["choices"])
SIGNALS: tuple[str, ...] = tuple(name.split(".")[1] for name in KEYS if name.count(".") == 1 and "reward_sig" in name)
SECTIONS = ("env_settings", "engine_settings", "checkpoint_settings", "torch_settings")
FILE_KEYS = ("behaviors", "default_settings", *SECTIONS, "environment_parameters", "debug")
_SAMPLERS = ("uniform", "gaussian", "multirangeuniform", "constant")
_SET_BY_JOB = {
    "env_settings": ("env_path", "env_args", "base_port", "num_envs", "seed", "timeout_wait"),
    "engine_settings": ("no_graphics",),
    "checkpoint_settings": ("run_id", "initialize_from", "load_model", "resume", "force", "results_dir"),
}
# What a key of 0.11.0 is called, where it is not merely in another group.
_RENAMED = {
    "trainer": "trainer_type",
    "use_recurrent": "network_settings: memory",
    "pretraining": "behavioral_cloning",
    "num_update": "hyperparameters: steps_per_update",
    "train_interval": "hyperparameters: steps_per_update",
}
_FEWEST_KEPT = 0.8  # share of a full replay buffer that SAC keeps


def default_of(name: str, algorithm: str) -> Any:
    """Return the default of a key; for hyperparameters, that of an algorithm."""
    default = KEYS[name].get("default")
    return default.get(algorithm) if KEYS[name].get("group") == "hyperparameters" else default


def members(group: Path) -> dict[str, str]:
    """Return the keys of a group, with their names in the table."""
    if group and group[-1] == "network_settings":
        group = ("network_settings",)  # reward signals have one each
    elif group[-2:] == ("network_settings", "memory"):
        group = ("network_settings", "memory")
    found = {path[-1]: name for path, name in BY_PATH.items() if path[:-1] == group}
    if not group:
        found = {key: name for key, name in found.items() if key not in FILE_KEYS}
    elif group[0] == "reward_signals" and len(group) == 2:
        found["network_settings"] = "network_settings"
    return found


@dataclass
class _Check:
    """One check of a file: collects findings; `bad` has the paths of keys with errors."""

    document: Document
    path: str
    overrides: Mapping[Path, Any]
    folder: FilePath
    check_demo: Demo
    findings: list[Finding] = field(default_factory=list)

    def add(self, level: Level, what: str, todo: str, *at: Any) -> None:
        self.findings.append(Finding(level, what, todo, self.path, self.document.line(*at)))

    def group(self, values: Mapping, at: Path, group: Path, algorithm: str) -> set[Path]:
        """Check the keys of a group, and of those in it; return the paths, in the group's table, that are invalid."""
        bad, known = set(), members(group)
        label = group[-1] if group and isinstance(at[-1], int) else at[-1]
        unknown = KEYS.get(BY_PATH.get(group, ""), {}).get("unknown", "refused")
        for key, value in values.items():
            name = known.get(key)
            row = KEYS.get(name or "", {})
            if name is None or (group == ("hyperparameters",) and algorithm not in row["default"]):
                self._unknown(key, (*at, key), group, unknown, label, algorithm, known)
            elif group == ("environment_parameters", "lesson") and key != "name":
                continue  # `_lesson` checks the value and the criteria
            elif row["in_config"]["read_as"] == "list":
                if not isinstance(value, list) and value is not None:
                    self.add("error", f"{key} is {shown(value)}.", "It must be a list.", *at, key)
                    bad.add((*group, key))
            elif row["in_config"]["read_as"] != "mapping":
                rule = _rule(name, values, algorithm)
                judged = None if value is None and row.get("may_be_empty") else judge(str(key), value, rule)
                if group[:1] and key in _SET_BY_JOB.get(group[0], ()):
                    todo = "A job sets it itself, by its hyperparameters or by what it finds."
                    self.add("note", f"{group[0]}: {key} has no effect in a job.", todo, *at, key)
                    judged = judged if rule.kind != "path" else None
                if rule.kind == "whole" and isinstance(value, bool):
                    judged = "error", f"{key} is {value}.", "It must be a whole number."
                elif name == "init_path" and isinstance(value, str) and not (self.folder / value).is_file():
                    judged = "error", f"There is no checkpoint {value}.", f"It is looked for in {self.folder}/."
                if judged:
                    self.add(*judged, *at, key)
                    bad |= {(*group, key)} if judged[0] == "error" else set()
            elif isinstance(value, dict):
                bad |= self.group(value, (*at, key), (*group, key), algorithm)
            elif value is not None or not row.get("may_be_empty"):
                self.add("error", f"{key} is {shown(value)}.", "It must hold settings, indented below it.", *at, key)
                bad.add((*group, key))
        for key, name in known.items():
            if KEYS[name].get("required") and key not in values:
                self.add("error", f"{label} lacks {key}.", "mlagents-learn can't start without it.", *at)
                bad.add((*group, key))
        return bad

    def _unknown(
        self, key: Any, at: Path, group: Path, unknown: str, label: Any, algorithm: str, known: Mapping[str, str]
    ) -> None:
        places = [path for path in BY_PATH if path[-1] == key and not path[0].startswith(("env", "engine", "check"))]
        if group == ("hyperparameters",) and key in known:
            todo = f"Those of {' and '.join(KEYS[known[key]]['default'])} have it. Delete it."
        elif key in _RENAMED and not group:
            todo = f"It is from ML-Agents 0.16 and earlier. Write {_RENAMED[key]}."
        elif len(places) == 1 or (places and group == ()):
            todo = f"It belongs below {': '.join(places[0][:-1]) or 'the behavior'}:."
        else:
            todo = nearest(key, known).strip() or f"{label} has {', '.join(map(str, known))}."
        how = "mlagents-learn stops on it." if unknown == "refused" else "mlagents-learn ignores it."
        what = f"{key} is no hyperparameter of {algorithm}." if key in known else f"{key} is not known in {label}."
        self.add("error" if unknown == "refused" else "warning", what, f"{how} {todo}", *at)


def _rule(name: str, values: Mapping, algorithm: str) -> Rule:
    rule = rule_of(KEYS[name])
    if name == "max_steps":
        return replace(rule, kind="float()")  # read as a number, then made whole
    if name.endswith(".encoding_size") and "network_settings" not in values:
        return replace(rule, kind="whole")  # the network is built with it as it is
    if name == "batch_size" and algorithm != "sac":
        return replace(rule, low=None)  # counts as 1
    if name == "hidden_units" and algorithm == "poca":
        return replace(rule, low=4)  # its attention has 4 heads
    return rule


def check_behaviors(
    document: Document,
    path: str,
    overrides: Mapping[Path, Any],
    known: Collection[str] | None,
    described: Mapping[str, BrainSpaces],
    folder: FilePath,
    check_demo: Demo,
) -> tuple[list[Finding], tuple[BrainSettings, ...]]:
    """Check a `behaviors:` file.

    Parameters
    ----------
    document, path
        The file, and its name in findings.
    overrides
        The job's hyperparameters by their path of keys in a behavior.
    known, described
        Names of the build's behaviors, and their spaces, if known.
    folder
        The folder that the job will have.
    check_demo
        As in `brain_settings.Source`.
    """
    check = _Check(document, path, overrides, folder, check_demo)
    config = document.value
    for key, value in config.items():
        if key not in FILE_KEYS:
            close = nearest(key, FILE_KEYS).strip() or f"The file has {', '.join(FILE_KEYS)}."
            close = "Write environment_parameters." if key in ("curriculum", "parameter_randomization") else close
            check.add("error", f"{key} is not known in the file.", f"mlagents-learn stops on it. {close}", key)
        elif not isinstance(value, dict) and key != "debug" and (value is not None or key in ("behaviors", *SECTIONS)):
            check.add("error", f"{key} is {shown(value)}.", "It must hold settings, indented below it.", key)
    default = config.get("default_settings")
    default = default if isinstance(default, dict) else None
    behaviors = config.get("behaviors")
    behaviors = behaviors if isinstance(behaviors, dict) else {}
    if default is not None:
        _Behavior(check, "default_settings", ("default_settings",), default, None, None).keys()
    elif "behaviors" not in config:
        todo = "Add behaviors: with a section for each behavior, or default_settings: for all."
        check.add("error", "The file names no behaviors.", todo)
    settings = []
    for name in known if known is not None else behaviors:
        if name not in behaviors and default is None:
            close = nearest(name, behaviors).replace("Did you mean", "Is it misspelt as")
            todo = f"mlagents-learn stops when it appears. Add it below behaviors:, or add default_settings:.{close}"
            check.add("error", f"The behavior {name} is not in the file.", todo, "behaviors")
            continue
        own = behaviors.get(name, {})
        if not isinstance(own, dict):
            check.add("error", f"{name} is {shown(own)}.", "Put settings below it, or {} for none.", "behaviors", name)
            continue
        at = ("behaviors", name) if name in behaviors else ("default_settings",)
        settings.append(_Behavior(check, str(name), at, own, default, described.get(name)).examine())
    if known is not None and (idle := [str(name) for name in behaviors if name not in known]):
        what = f"The build has no behavior {', '.join(idle[:5])}."
        check.add("note", what, "mlagents-learn does not use unused sections.", "behaviors", idle[0])
    for section in SECTIONS:
        if isinstance(config.get(section), dict):
            check.group(config[section], (section,), (section,), "")
            device = config[section].get("device") if section == "torch_settings" else None
            if device is not None and str(device).partition(":")[0] not in ("cpu", "cuda"):
                check.add("error", f"device is {shown(device)}.", "It must be cpu or cuda.", section, "device")
            elif device is not None and device != "cpu":
                todo = "The image has no CUDA unless it was built with GPU=1; mlagents-learn stops without."
                check.add("warning", f"device is {shown(device)}.", todo, section, "device")
            if section == "checkpoint_settings" and config[section].get("inference"):
                check.add("error", "inference is set.", "Then nothing is learned. Delete it.", section, "inference")
    if isinstance(config.get("environment_parameters"), dict):
        names = set(behaviors) if known is None else set(known)
        _parameters(check, config["environment_parameters"], names, known is not None or default is None)
    return check.findings, tuple(settings)


def merged(under: Mapping, over: Mapping) -> dict:
    """Merge settings group by group, as mlagents-learn merges a behavior into default_settings."""
    result = copy.deepcopy(dict(under))
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


class _Behavior:
    """A behavior: its own keys, and what they are together with default_settings and the job's hyperparameters."""

    def __init__(
        self,
        check: _Check,
        name: str,
        at: Path,
        own: Mapping,
        default: Mapping | None,
        described: BrainSpaces | None,
    ) -> None:
        self.check, self.name, self.at, self.own, self.default = check, name, at, own, default
        self.described, self.bad = described, set()
        self.settings = merged(default or {}, own)
        for path, value in check.overrides.items():
            inner = self.settings
            for key in path[:-1]:
                inner = inner.setdefault(key, {}) if isinstance(inner.get(key, {}), dict) else {}
            inner[path[-1]] = value
        found = self.settings.get("trainer_type", "ppo")
        self.algorithm = found if isinstance(found, str) and found in ALGORITHMS else "ppo"

    def keys(self) -> None:
        """Check each key that the section has."""
        own = {key: value for key, value in self.own.items() if key != "framework"}  # ignored by the wheel, too
        self.bad |= self.check.group(own, self.at, (), self.algorithm)
        named = "trainer_type" in self.own or ("trainer_type",) in self.check.overrides
        if "hyperparameters" in self.own and not named and self.default is None:
            todo = f"mlagents-learn must know whose they are. Add trainer_type: {' or '.join(ALGORITHMS)}."
            self.check.add("error", "hyperparameters lack a trainer_type.", todo, *self.at, "hyperparameters")

    def examine(self) -> BrainSettings:
        """Check the keys, and the settings together."""
        if self.at[0] == "behaviors":
            self.keys()
        if self.default is not None:
            self._merged_hyperparameters()
        for path in self.check.overrides:
            if path[0] == "hyperparameters" and self.algorithm not in KEYS[path[-1]]["default"]:
                what = f"{path[-1]} is no hyperparameter of {self.algorithm}."
                self.add("error", what, "mlagents-learn stops on it. Leave it out.", *path)
        if ("trainer_type",) not in self.bad:
            self._together()
        section = self.name if self.at[0] == "behaviors" else "default_settings"
        return BrainSettings(self.name, section, self.algorithm, self._complete(), {}, each_agent=True)

    def add(self, level: Level, what: str, todo: str, *path: Any) -> None:
        if path in self.check.overrides:
            self.check.findings.append(Finding(level, what, todo, f"hyperparameter {BY_PATH.get(path, path[-1])}"))
            return
        line = self.check.document.line(*self.at, *path)
        if not self._inside(self.own, path) and self.default is not None and self._inside(self.default, path):
            line = self.check.document.line("default_settings", *path)
        self.check.findings.append(Finding(level, what, todo, self.check.path, line))

    @staticmethod
    def _inside(values: Any, path: Path) -> bool:
        for key in path:
            if not isinstance(values, dict) or key not in values:
                return False
            values = values[key]
        return True

    def _merged_hyperparameters(self) -> None:
        of_default = self.default.get("trainer_type", "ppo")
        if of_default == self.algorithm or of_default not in ALGORITHMS:
            return
        rows = [name for name in KEYS if KEYS[name].get("group") == "hyperparameters"]
        foreign = [name for name in rows if of_default in KEYS[name]["default"]]
        foreign = [name for name in foreign if self.algorithm not in KEYS[name]["default"]]
        if foreign:
            what = f"{self.name} is trained by {self.algorithm}, but default_settings are those of {of_default}."
            todo = f"mlagents-learn merges them, and stops on {foreign[0]}, which {self.algorithm} does not have. "
            todo += "Write its settings out, without default_settings."
            self.add("error", what, todo, "trainer_type")

    def _complete(self) -> dict:
        """Return the settings with the main defaults filled in."""
        found = copy.deepcopy(self.settings)
        for name in ("max_steps", "summary_freq", "time_horizon"):
            found.setdefault(name, KEYS[name]["default"])
        return found

    def value(self, name: str) -> Any:
        """Return the number of a key as the trainer uses it; None if it is invalid."""
        path = path_of(name)
        if path in self.bad:
            return None
        inner: Any = self.settings
        for key in path[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
        found = inner.get(path[-1]) if isinstance(inner, dict) else None
        found = default_of(name, self.algorithm) if found is None else found
        kind = "float()" if name == "max_steps" else KEYS[name]["in_config"]["read_as"]
        number = keys.as_number(found, kind) if kind in ("int()", "float()") else found
        return int(number) if name == "max_steps" and number is not None and math.isfinite(number) else number

    @property
    def has_memory(self) -> bool:
        """Whether the network has a memory."""
        network = self.settings.get("network_settings")
        return isinstance(network, dict) and isinstance(network.get("memory"), dict)

    def _together(self) -> None:
        """Check settings that depend on each other."""
        numbers = {name: self.value(name) for name in ("batch_size", "buffer_size", "max_steps", "time_horizon")}
        steps, freq = numbers["max_steps"], self.value("summary_freq")
        sequence = (self.value("sequence_length") if self.has_memory else 1) or 1
        if None not in (steps, freq) and freq > steps:
            what = f"summary_freq {freq} is more than max_steps {steps}."
            self.add("warning", what, "The training would have no reward curve. Lower summary_freq.", "summary_freq")
        batch, buffer = numbers["batch_size"], numbers["buffer_size"]
        if None not in numbers.values() and (self.algorithm != "sac" or batch > buffer):
            for level, what, todo in batches(
                batch, buffer, numbers["time_horizon"], getattr(self.described, "agents", 0)
            ):
                self.add(level, what, todo, *path_of("buffer_size"))
        needed = batch if self.algorithm == "sac" else buffer
        if None not in (steps, needed) and steps <= needed:
            what = f"max_steps {steps} may end before the first update."
            todo = f"Before it, all agents together must collect more than {needed} steps."
            # The sequences of a network with memory are filled up to their length.
            self.add("warning" if self.has_memory else "error", what, todo, "max_steps")
        if self.algorithm == "sac":
            self._sac(numbers, sequence)
        self._checkpoints(steps)
        if self.has_memory:
            self._memory(numbers["batch_size"], sequence)
        cameras = self.described.cameras if self.described else ()
        for what, todo in small_images(self.value("vis_encode_type"), cameras):
            self.add("error", what, todo, "network_settings", "vis_encode_type")
        self._signals(sequence)
        self._cloning(sequence)
        self._self_play(steps)

    def _sac(self, numbers: Mapping[str, Any], sequence: int) -> None:
        steps, buffer = numbers["max_steps"], numbers["buffer_size"]
        start, every = self.value("buffer_init_steps"), self.value("steps_per_update")
        if buffer is not None and int(buffer * _FEWEST_KEPT) < sequence:
            todo = f"SAC keeps {_FEWEST_KEPT:.0%} of a full buffer, and fails if that is not one whole sequence."
            self.add("error", f"buffer_size is {buffer}.", todo, *path_of("buffer_size"))
        if None not in (steps, start, every) and steps - start <= every:
            what = (
                f"max_steps {steps} is not more than buffer_init_steps {start} and steps_per_update {every:g} together."
            )
            self.add("error", what, "SAC would end before it learns anything.", "max_steps")

    def _checkpoints(self, steps: int | None) -> None:
        kept = self.value("keep_checkpoints")
        if self.value("even_checkpoints") and None not in (steps, kept) and (kept < 1 or steps < kept):
            what = f"even_checkpoints divides max_steps {steps} by keep_checkpoints {kept}."
            self.add("error", what, "The steps between two checkpoints would be 0, or none.", "even_checkpoints")

    def _memory(self, batch: int | None, sequence: int) -> None:
        size = self.value("memory_size")
        if size is not None and size % 2:
            self.add("error", f"memory_size is {size}.", "It must be divisible by 2.", *path_of("memory_size"))
        if batch is not None and sequence > batch:
            what = f"sequence_length {sequence} is more than batch_size {batch}."
            self.add("error", what, "A batch must hold at least one whole sequence.", *path_of("sequence_length"))

    def _signals(self, sequence: int) -> None:
        signals = self.settings.get("reward_signals", {"extrinsic": {}})
        if not isinstance(signals, dict):
            return
        found = {name: values for name, values in signals.items() if name in SIGNALS and isinstance(values, dict)}
        if not found:
            todo = "Add extrinsic, the reward that the environment gives, or delete reward_signals."
            self.add("error", "reward_signals names no signal.", todo, "reward_signals")
        strengths = {name: keys.as_number(values.get("strength", 1.0), "float()") for name, values in found.items()}
        if found and all(strength == 0 for strength in strengths.values()):
            todo = "Rewards have no effect on what is learned. Usual is extrinsic with strength 1.0."
            self.add("warning", "Every reward signal has strength 0.", todo, "reward_signals")
        for name, values in found.items():
            path = ("reward_signals", name)
            if name == "curiosity" and strengths[name] == 0:
                todo = "mlagents-learn divides by it. Delete curiosity."
                self.add("error", "curiosity has strength 0.", todo, *path, "strength")
            elif name != "extrinsic" and strengths[name] == 0:
                self.add("warning", f"{name} has strength 0.", "It has no effect.", *path, "strength")
            if "encoding_size" in values:
                if "network_settings" in values:
                    todo = "network_settings: hidden_units counts in its place."
                    self.add("warning", f"{name}: encoding_size is ignored.", todo, *path, "encoding_size")
                elif values["encoding_size"] is None:
                    todo = "Write a size such as 128, or delete it."
                    self.add("error", f"{name}: encoding_size is empty.", todo, *path, "encoding_size")
            network = values.get("network_settings")
            if isinstance(network, dict) and isinstance(network.get("memory"), dict):
                todo = f"{name} has no memory, and ignores it."
                self.add("warning", "memory is not used here.", todo, *path, "network_settings", "memory")
            if name == "gail" and isinstance(values.get("demo_path"), str) and values["demo_path"]:
                self._demonstration(values["demo_path"], *path, "demo_path")

    def _demonstration(self, named: str, *path: Any) -> list[bool]:
        generator: Generator[Finding, None, list[bool]] = self.check.check_demo(
            named, self.check.path, self.check.document.line(*self.at, *path), self.described, True
        )
        while True:
            try:
                self.check.findings.append(next(generator))
            except StopIteration as end:
                return end.value

    def _cloning(self, sequence: int) -> None:
        values = self.settings.get("behavioral_cloning")
        if not isinstance(values, dict) or not isinstance(values.get("demo_path"), str) or not values["demo_path"]:
            return
        path = ("behavioral_cloning",)
        ends = self._demonstration(values["demo_path"], *path, "demo_path")
        if self.value("behavioral_cloning.strength") == 0:
            self.add("warning", "behavioral_cloning has strength 0.", "It has no effect.", *path, "strength")
        batch = self.value("behavioral_cloning.batch_size") or self.value("batch_size")
        limit = self.value("behavioral_cloning.samples_per_update")
        if ends and batch and limit is not None:
            drawn = drawn_from(ends, sequence)
            count = max(1, min(batch, drawn) // sequence)
            possible = drawn // count
            batches = (min(possible, limit // count) if limit // count else possible) // sequence
            if batches < 1:
                what = f"behavioral_cloning draws no batch from {drawn} steps of demonstrations."
                todo = f"Raise samples_per_update to {count * sequence} or leave it out."
                self.add("error", what, todo, *path)

    def _self_play(self, steps: int | None) -> None:
        if not isinstance(self.settings.get("self_play"), dict):
            return
        change = self.settings["self_play"].get("team_change")
        change = (
            5 * (self.value("self_play.save_steps") or 0) if change is None else self.value("self_play.team_change")
        )
        if None not in (steps, change) and change > steps:
            what = f"team_change {change} is more than max_steps {steps}."
            self.add("warning", what, "With several teams, only the first would learn.", "self_play")


def _parameters(check: _Check, parameters: Mapping, behaviors: Collection[str], complete: bool) -> None:
    """Check the environment's parameters: numbers, samplers and curricula."""
    for name, value in parameters.items():
        at = ("environment_parameters", name)
        if not (isinstance(value, dict) and "curriculum" in value):
            _sampler(check, value, at)
            continue
        for key in value.keys() - {"curriculum"}:
            todo = "mlagents-learn stops on it. A parameter with a curriculum has nothing else."
            check.add("error", f"{key} is not known beside curriculum.", todo, *at, key)
        lessons = value["curriculum"]
        if not isinstance(lessons, list) or not lessons:
            todo = "Write a list of lessons, each of which begins with a dash."
            check.add("error", f"The curriculum of {name} is {shown(lessons)}.", todo, *at, "curriculum")
            continue
        for number, lesson in enumerate(lessons):
            _lesson(check, lesson, (*at, "curriculum", number), behaviors, complete, number == len(lessons) - 1)


def _lesson(check: _Check, lesson: Any, at: Path, behaviors: Collection[str], complete: bool, is_last: bool) -> None:
    if not isinstance(lesson, dict):
        check.add("error", f"A lesson is {shown(lesson)}.", "It must hold name, value and completion_criteria.", *at)
        return
    check.group(lesson, at, ("environment_parameters", "lesson"), "")
    if "value" in lesson:
        _sampler(check, lesson["value"], (*at, "value"))
    criteria = lesson.get("completion_criteria")
    label = shown(lesson.get("name", at[-1]))
    if not isinstance(criteria, dict):
        if criteria is not None:
            todo = "It must hold settings, indented below it."
            check.add("error", f"completion_criteria is {shown(criteria)}.", todo, *at, "completion_criteria")
        elif not is_last:
            todo = "mlagents-learn stops on it: only the last lesson has none."
            check.add("error", f"The lesson {label} lacks completion_criteria.", todo, *at)
        return
    at = (*at, "completion_criteria")
    if is_last:
        check.add("warning", f"The last lesson, {label}, has completion_criteria.", "They are ignored.", *at)
    check.group(criteria, at, ("environment_parameters", "completion_criteria"), "")
    threshold = keys.as_number(criteria.get("threshold", 0.0), "float()")
    if criteria.get("measure") == "progress" and threshold is not None and not 0 <= threshold <= 1:
        todo = "Progress is the share of max_steps that is done: 0 to 1."
        check.add("error", f"threshold is {threshold:g}.", todo, *at, "threshold")
    behavior = criteria.get("behavior")
    if behavior is not None and complete and not is_last and str(behavior) not in map(str, behaviors):
        todo = f"The lesson would never end.{nearest(behavior, behaviors)}"
        check.add("error", f"There is no behavior {behavior}.", todo, *at, "behavior")


def _sampler(check: _Check, value: Any, at: Path) -> None:
    if isinstance(value, (int, float)):
        return
    kinds = f"Write a number, or sampler_type ({', '.join(_SAMPLERS)}) and sampler_parameters."
    if not isinstance(value, dict):
        check.add("error", f"{at[-1]} is {shown(value)}.", kinds, *at)
        return
    for key in ("sampler_type", "sampler_parameters"):
        if key not in value:
            check.add("error", f"{at[-1]} lacks {key}.", kinds, *at)
    for key in value.keys() - {"sampler_type", "sampler_parameters"}:
        check.add("warning", f"{key} is ignored.", "It belongs below sampler_parameters.", *at, key)
    kind, parameters = value.get("sampler_type"), value.get("sampler_parameters")
    if "sampler_type" in value and kind not in _SAMPLERS:
        todo = f"It must be one of {', '.join(_SAMPLERS)}.{nearest(kind, _SAMPLERS)}"
        check.add("error", f"sampler_type is {shown(kind)}.", todo, *at, "sampler_type")
        return
    if not isinstance(parameters, dict):
        if "sampler_parameters" in value:
            check.add("error", f"sampler_parameters is {shown(parameters)}.", kinds, *at, "sampler_parameters")
        return
    if kind is None:
        return
    at = (*at, "sampler_parameters")
    bad = check.group(parameters, at, ("environment_parameters", kind), "")
    low, high = (
        keys.as_number(parameters.get(key, KEYS[f"environment_parameters.uniform.{key}"]["default"]), "float()")
        for key in ("min_value", "max_value")
    )
    if kind == "uniform" and not bad and low > high:
        check.add("error", f"min_value {low:g} is more than max_value {high:g}.", "Exchange them.", *at)
    if kind == "multirangeuniform":
        intervals = parameters.get("intervals", [[0.0, 1.0]])
        pairs = [pair if isinstance(pair, list) else [] for pair in (intervals if isinstance(intervals, list) else [])]
        ends = [[keys.as_number(end, "float()") for end in pair] for pair in pairs]
        if not ends or any(len(pair) != 2 or None in pair or pair[0] > pair[1] for pair in ends):
            todo = "Write pairs of a least and a greatest value: [[1, 2], [5, 6]]."
            check.add("error", f"intervals is {shown(intervals)}.", todo, *at, "intervals")
