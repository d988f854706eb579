"""The settings that a brain is trained with, and whether the trainer can use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.findings import Finding, Level
from mlagents_check.brain_spaces import BrainSpaces
from mlagents_check.trainer_config import keys
from mlagents_check.trainer_config.document import Document
from mlagents_check.trainer_config.report import BrainSettings

Demo = Callable[[str, str, int | None, BrainSpaces | None, bool], Generator[Finding, None, list[bool]]]


@dataclass(frozen=True)
class Source:
    """A config, with the job's overrides.

    Parameters
    ----------
    path
        As shown in findings.
    document
        Its content.
    overrides
        Hyperparameters of the job by their path of keys.
    check_demo
        Called with a demonstration's path, the config's path and the line, the brain that learns from it, and whether
        it must be from exactly that brain.
    """

    path: str
    document: Document
    overrides: Mapping[tuple[str, ...], Any]
    check_demo: Demo

    def section(self, brain: str) -> str | None:
        """Follow a brain's name, through aliases, to its section; None if it has none.

        Raises
        ------
        AliasError
            If the chain leads to no section, or is circular, which makes mlagents-learn hang.
        """
        config, seen, name = self.document.value, set(), brain
        if name not in config:
            return None
        while not isinstance(config[name], dict):
            seen.add(name)
            target = config[name]
            if target is None:
                raise AliasError(name, f"The section {name} is empty.", "Put settings below it, or delete it.")
            if not isinstance(target, str) or target not in config:
                close = keys.nearest(target, config) if isinstance(target, str) else ""
                what = f"The section {name} points to {keys.shown(target)}, which is not a section."
                raise AliasError(name, what, f"A section holds settings or the name of another section.{close}")
            if target in seen:
                raise AliasError(name, f"The section {name} points to itself.", "mlagents-learn would hang.")
            name = target
        return name

    def effective(self, brain: str, section: str | None) -> BrainSettings:
        """Return the settings that a brain is trained with."""
        config = self.document.value
        settings, origins = dict(config["default"]), dict.fromkeys(config["default"], "default")
        if section is not None:
            settings |= config[section]
            origins |= dict.fromkeys(config[section], section)
        for path, value in self.overrides.items():
            _put(settings, path, value)
            origins[path[0]] = "hyperparameter" if len(path) == 1 else origins.get(path[0], "hyperparameter")
        trainer = settings.get("trainer")
        return BrainSettings(
            brain, section or "default", trainer if trainer in keys.ALGORITHMS else None, settings, origins
        )


class AliasError(ValueError):
    """A brain's name or alias leads to no section."""

    def __init__(self, section: str, what: str, todo: str) -> None:
        super().__init__(what)
        self.section, self.what, self.todo = section, what, todo


def _put(settings: dict, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = settings.get(key)
        settings[key] = dict(inner) if isinstance(inner, dict) else {}
        settings = settings[key]
    settings[path[-1]] = value


def examine(brain: BrainSettings, source: Source, described: BrainSpaces | None = None) -> Iterator[Finding]:
    """Check a brain's settings as its trainer uses them.

    Parameters
    ----------
    brain
        The settings.
    source
        The config that they come from.
    described
        The brain's spaces, if known.
    """
    settings, trainer = brain.settings, brain.trainer

    def place(*path: str) -> tuple[str, int | None]:
        origin = brain.origins.get(path[0], brain.section)
        if path in source.overrides or origin == "hyperparameter":
            return f"hyperparameter {'.'.join(path)}", None
        return source.path, source.document.line(origin, *path)

    def finding(level: Level, what: str, todo: str, *path: str, text: str = "") -> Finding:
        return Finding(level, what, todo, *place(*path), text=text)

    if "trainer" not in settings:
        yield finding(
            "error", f"{brain.section} names no trainer.", "Add trainer: ppo (or sac, or offline_bc).", "trainer"
        )
        return
    if trainer is None:
        level, what, todo = keys.judge("trainer", settings["trainer"], keys.RULES["trainer"])
        yield finding(level, what, todo, "trainer")
        return

    known = keys.REQUIRED[trainer] | keys.OPTIONAL[trainer]
    for key in sorted(keys.REQUIRED[trainer] - settings.keys()):
        close = keys.elsewhere(key, settings, [keys.ELSEWHERE])
        if not close:
            close = keys.nearest(key, [name for name in settings if name not in keys.KNOWN])
            close = close.replace("Did you mean", "Is it misspelt as")
        text = keys.convert_old_signals(settings) if key == "reward_signals" else ""
        if text and {"gamma", "use_curiosity"} & settings.keys():
            close = " ML-Agents 0.3 to 0.8 use gamma and use_curiosity instead. Their values become:"
        elif text:
            close = f"{close} For the environment's own reward, write:"
        what = (
            f"{key} is missing in section {brain.section} and in default."
            if brain.section != "default"
            else f"{key} is missing in default."
        )
        yield finding("error", what, f"The {trainer} trainer can't start without it.{close}", key, text=text)
    for key in settings:
        if key in keys.ELSEWHERE:
            how = "set by mlagents-learn here" if key in keys.RESERVED else "ignored"
            yield finding("warning", *keys.of_release(key, keys.ELSEWHERE, how), key)
        elif key in keys.RESERVED:
            yield finding(
                "warning",
                f"{key} is set.",
                "mlagents-learn sets it itself; its files would be in another place. Delete it.",
                key,
            )
        elif key not in keys.KNOWN:
            yield finding(
                "warning", f"{key} is not known.", f"mlagents-learn ignores it.{keys.nearest(key, known)}", str(key)
            )
        elif key not in known and key != "trainer" and brain.origins[key] not in ("default", "hyperparameter"):
            yield finding("note", f"{key} is not read by the {trainer} trainer.", "It does nothing here.", key)

    bad = set()
    for key in sorted(known & settings.keys()):
        if key in ("memory_size", "sequence_length") and not settings.get("use_recurrent"):
            continue
        rule = keys.RULES[key]
        if trainer == "offline_bc" and key == "batch_size":
            rule = keys.Rule("number", usual=rule.usual)
        elif trainer == "sac" and key == "batch_size":
            rule = keys.Rule("whole", low=1, usual=rule.usual)
        if judged := keys.judge(key, settings[key], rule):
            yield finding(*judged, key)
            bad |= {key} if judged[0] == "error" else set()

    yield from _together(settings, trainer, bad, finding, getattr(described, "agents", 0))
    yield from _cameras(settings, trainer, described.cameras if described else (), finding)

    def check_demo(named: str, *path: str) -> Generator[Finding, None, list[bool]]:
        return source.check_demo(named, *place(*path), described, trainer == "offline_bc")

    if trainer != "offline_bc":
        yield from _signals(settings, trainer, finding, check_demo)
        yield from _pretraining(settings, trainer, finding, check_demo)
    elif "demo_path" not in bad and "demo_path" in settings:
        ends = yield from check_demo(settings["demo_path"], "demo_path")
        yield from _offline_batches(settings, ends, bad, finding)


# Agents in an unknown scene: more than most scenes have.
_MANY_AGENTS = 32


def _together(
    settings: Mapping[str, Any], trainer: str, bad: set[str], finding: Callable, agents: int
) -> Iterator[Finding]:
    """Check settings that depend on each other."""

    def good(*names: str) -> bool:
        return not bad & set(names) and all(name in settings for name in names)

    if good("summary_freq") and settings["summary_freq"] == 0:
        what = "summary_freq is 0, which mlagents-learn divides by."
        yield finding("error", what, "It must be above 0.", "summary_freq")
    elif good("summary_freq", "max_steps") and settings["summary_freq"] > float(settings["max_steps"]):
        what = f"summary_freq {settings['summary_freq']} is more than max_steps {settings['max_steps']}."
        yield finding("warning", what, "The training would have no reward curve. Lower summary_freq.", "summary_freq")
    if good("batch_size", "buffer_size") and trainer != "offline_bc":
        batch, buffer = settings["batch_size"], settings["buffer_size"]
        if math.isinf(buffer) and trainer == "ppo":
            yield finding(
                "error", f"buffer_size is {buffer}.", "It is never full, so nothing is learned.", "buffer_size"
            )
        elif batch > buffer and trainer == "sac":
            what = f"batch_size {batch} is more than buffer_size {buffer}."
            todo = "The buffer is discarded after each update. Make it about 100 times the batch."
            yield finding("warning", what, todo, "buffer_size")
        elif trainer == "ppo" or batch > buffer:
            for level, what, todo in batches(
                batch, buffer, settings["time_horizon"] if good("time_horizon") else math.inf, agents
            ):
                yield finding(level, what, todo, "buffer_size")
        filled = buffer if trainer == "ppo" else batch
        filled = 2 * filled / (agents or 100) + min(settings["time_horizon"] if good("time_horizon") else 0, filled)
        if good("max_steps") and float(settings["max_steps"]) < filled:
            what = f"max_steps {settings['max_steps']} may end before the first update."
            needed = buffer if trainer == "ppo" else batch
            todo = f"Before the first update, its agents must collect more than {needed} steps."
            yield finding("warning", what, todo, "max_steps")
        pretraining = settings.get("pretraining")
        steps = pretraining.get("steps") if isinstance(pretraining, dict) else None
        first = max(filled, settings["buffer_init_steps"] if trainer == "sac" and good("buffer_init_steps") else 0)
        if isinstance(steps, (int, float)) and 1 <= steps <= first:
            what = f"pretraining may end before the first update: its steps are {steps}."
            todo = f"Its learning rate falls to 0 over them, and the first update may come at step {math.ceil(first)}."
            yield finding("warning", what, f"{todo} Raise them.", "pretraining", "steps")
    if trainer == "sac" and good("max_steps", "buffer_init_steps"):
        most, start = settings["max_steps"], settings["buffer_init_steps"]
        if float(most) <= start:
            what = f"max_steps {most} is not more than buffer_init_steps {start}."
            yield finding("error", what, "SAC would end before it learns anything.", "max_steps")
        interval = settings.get("train_interval", 1) if "train_interval" not in bad else 1
        if interval > 0 and interval * ((float(most) + 1) // interval) < max(start, 1):
            what = f"No step up to max_steps {most} is a multiple of train_interval {interval}."
            yield finding("error", what, "SAC would end before it learns anything.", "train_interval")
    if settings.get("use_recurrent"):
        yield from _recurrent(settings, trainer, good, finding)


def batches(batch: int, buffer: float, horizon: float, agents: int) -> Iterator[tuple[Level, str, str]]:
    """Yield level, what was found and what to do if batches do not fit into the buffer."""
    if batch > buffer:
        # An update empties the buffer once it exceeds its size, maybe by far, because whole trajectories are added.
        needed = math.ceil((batch - buffer) / max(1, horizon + 1))
        todo = f"A batch is full only when {needed} agents or more fill the buffer at once. "
        todo = ("" if math.isinf(horizon) else todo) + "Make the buffer about 10 times the batch."
        level = "error" if needed > max(agents, _MANY_AGENTS) else "warning"
        yield level, f"batch_size {batch} is more than buffer_size {buffer}.", todo
    elif batch > 0 and buffer % batch:
        todo = f"Each update drops the remainder; {max(1, round(buffer / batch)) * batch} would fit."
        level = "warning" if buffer % batch > buffer / 20 else "note"
        yield level, f"buffer_size {buffer} is not a multiple of batch_size {batch}.", todo


def _sequences(settings: Mapping[str, Any]) -> int:
    length = settings.get("sequence_length") if settings.get("use_recurrent") else 1
    return max(1, length) if isinstance(length, int) else 1


def drawn_from(ends: list[bool], sequence: int) -> int:
    """Return the number of demonstration steps to draw from, with each episode padded to whole sequences."""
    episodes = [0]
    for end in ends[1:]:
        episodes[-1] += 1
        episodes += [0] if end else []
    return sum(math.ceil(steps / sequence) * sequence for steps in episodes)


def _offline_batches(
    settings: Mapping[str, Any], ends: list[bool], bad: set[str], finding: Callable
) -> Iterator[Finding]:
    if not ends or bad & {"batch_size", "batches_per_epoch", "sequence_length"}:
        return
    sequence = _sequences(settings)
    drawn, count = drawn_from(ends, sequence), max(1, int(settings.get("batch_size", 0) / sequence))
    batches = min(drawn // count, settings.get("batches_per_epoch", 0))
    if drawn <= count:
        what = f"batch_size {settings['batch_size']} is too large for {drawn} steps of demonstrations."
        yield finding("error", what, "No batch is ever full. Lower it, or record more.", "batch_size")
    elif batches * count * sequence > drawn:
        what = f"{batches} batches of {count * sequence} steps are more than the demonstrations' {drawn}."
        todo = "mlagents-learn fails when they run out. Lower batch_size or batches_per_epoch, or record more."
        yield finding("error", what, todo, "batches_per_epoch")


def _recurrent(settings: Mapping[str, Any], trainer: str, good: Callable, finding: Callable) -> Iterator[Finding]:
    if good("memory_size"):
        memory = settings["memory_size"]
        parts = 8 if trainer == "sac" else 4  # each network of the trainer takes one or two of them
        if memory <= 0 or memory % parts:
            todo = f"A recurrent network of {trainer} needs a size above 0 that is divisible by {parts}, e.g. 256."
            yield finding("error", f"memory_size is {memory}.", todo, "memory_size")
    if good("sequence_length"):
        length = settings["sequence_length"]
        if length < 1:
            yield finding("error", f"sequence_length is {length}.", "It must be 1 or more, e.g. 64.", "sequence_length")
        elif good("batch_size") and settings["batch_size"] < length:
            what = f"sequence_length {length} is more than batch_size {settings['batch_size']}."
            level = "error" if trainer == "sac" else "warning"
            yield finding(level, what, "A batch must hold at least one whole sequence.", "sequence_length")


# Smallest height and width for which each encoder's convolutions have an output.
_LEAST_IMAGE = {"simple": 20, "nature_cnn": 36, "resnet": 15, "match3": 5}


def _cameras(settings: Mapping[str, Any], trainer: str, cameras: tuple, finding: Callable) -> Iterator[Finding]:
    encoder = "simple" if trainer == "offline_bc" else settings.get("vis_encode_type", "simple")
    for what, todo in small_images(encoder, cameras):
        yield finding("error", what, todo, "vis_encode_type")


def small_images(encoder: Any, cameras: tuple) -> Iterator[tuple[str, str]]:
    """Yield what was found and what to do for each camera whose image is too small for an encoder."""
    for height, width, _ in cameras:
        if encoder in _LEAST_IMAGE and min(height, width) < _LEAST_IMAGE[encoder]:
            what = f"The encoder {encoder} can't read an image of {width} x {height}."
            todo = f"It needs {_LEAST_IMAGE[encoder]} pixels each way. Enlarge the camera in Unity or choose another."
            yield what, todo


def _signals(settings: Mapping[str, Any], trainer: str, finding: Callable, check_demo: Callable) -> Iterator[Finding]:
    signals = settings.get("reward_signals")
    if not isinstance(signals, dict):
        return
    if not [name for name, value in signals.items() if trainer == "ppo" or isinstance(value, dict)]:
        todo = "Add extrinsic with strength 1.0 and gamma 0.99, the reward that the environment gives."
        yield finding("error", "reward_signals names no signal.", todo, "reward_signals")
        return
    strengths = {name: values.get("strength") for name, values in signals.items() if isinstance(values, dict)}
    if strengths and all(strength == 0 for strength in strengths.values()):
        todo = "Rewards have no effect on what is learned. Usual is extrinsic with strength 1.0."
        yield finding("warning", "Every reward signal has strength 0.", todo, "reward_signals")
    for name, values in signals.items():
        path = ("reward_signals", str(name))
        if name != "extrinsic" and strengths.get(name) == 0:
            yield finding("warning", f"{name} has strength 0.", "It has no effect.", *path, "strength")
        if trainer == "sac" and not isinstance(values, dict):
            if name == keys.SAC_SIGNAL_SETTING:
                if judged := keys.judge(name, values, keys.RULES[f"reward_signals.{name}"]):
                    yield finding(*judged, *path)
            elif name in keys.OTHER_SIGNALS:
                yield finding("warning", *keys.of_release(name, keys.OTHER_SIGNALS, "ignored"), *path)
            else:
                yield finding("warning", f"{name} holds no settings.", "SAC ignores it.", *path)
        elif name in keys.OTHER_SIGNALS:
            yield finding("error", *keys.of_release(name, keys.OTHER_SIGNALS, "no reward signal here"), *path)
        elif name not in keys.REWARD_SIGNALS:
            known = (*keys.REWARD_SIGNALS, *([keys.SAC_SIGNAL_SETTING] if trainer == "sac" else []))
            yield finding(
                "error", f"{name} is no reward signal.", f"Known: {', '.join(known)}.{keys.nearest(name, known)}", *path
            )
        elif not isinstance(values, dict):
            yield finding("error", f"{name} holds no settings.", "It needs strength and gamma.", *path)
        else:
            ends = yield from _group(path, values, *keys.REWARD_SIGNALS[name], finding, check_demo)
            if trainer == "ppo" and ends and isinstance(settings.get("batch_size"), int):
                yield from _compared_batches(settings, ends, finding)


def _compared_batches(settings: Mapping[str, Any], ends: list[bool], finding: Callable) -> Iterator[Finding]:
    """Check that GAIL can compare whole batches: it shortens one that PPO has fed in part, which TensorFlow refuses."""
    sequence = _sequences(settings)
    drawn, batch = drawn_from(ends, sequence), max(settings["batch_size"] // sequence, 1) * sequence
    if drawn < batch:
        what = f"gail compares batches of {batch} steps with only {drawn} steps of demonstrations."
        todo = f"PPO fails at its first update. Lower batch_size to {drawn} or less, or record more."
        yield finding("error", what, todo, "reward_signals", "gail", "demo_path")


def _pretraining(
    settings: Mapping[str, Any], trainer: str, finding: Callable, check_demo: Callable
) -> Iterator[Finding]:
    values = settings.get("pretraining")
    if not isinstance(values, dict):
        return
    ends = yield from _group(("pretraining",), values, *keys.PRETRAINING, finding, check_demo)
    if trainer == "sac" and "samples_per_update" in values:
        todo = "SAC sets it itself and fails if it is given. Delete it."
        yield finding("error", "samples_per_update is set for SAC.", todo, "pretraining", "samples_per_update")
    if values.get("strength") == 0:
        yield finding("warning", "pretraining has strength 0.", "It has no effect.", "pretraining", "strength")
    if isinstance(settings.get("learning_rate"), str):
        todo = "Pretraining needs a number, but YAML reads one like 1e-4 as text: write 1.0e-4."
        yield finding("error", f"learning_rate is {settings['learning_rate']!r}, a text.", todo, "learning_rate")
    batch = values.get("batch_size") or settings.get("batch_size")
    limit = settings.get("batch_size") if trainer == "sac" else values.get("samples_per_update", 0)
    if ends and isinstance(batch, int) and isinstance(limit, int):
        sequence = _sequences(settings)
        drawn = drawn_from(ends, sequence)
        count = max(1, min(batch, drawn) // sequence)
        batches = min(drawn // count, limit // count or drawn // count) // sequence
        if batches < 1:
            what = f"Pretraining draws no batch from {drawn} steps of demonstrations."
            todo = f"Raise samples_per_update to {count * sequence} or leave it out, and keep batch_size above 0."
            yield finding("error", what, todo, "pretraining")


# In pretraining, 0 or empty means the trainer's own value.
_MAY_BE_EMPTY = {"batch_size", "num_epoch"}


def _group(
    path: tuple[str, ...],
    values: Mapping,
    required: frozenset,
    optional: frozenset,
    finding: Callable,
    check_demo: Callable,
) -> Generator[Finding, None, list[bool]]:
    name, ends = path[-1], []
    others = keys.OTHER_GROUP_KEYS[name]
    for key in sorted(required - values.keys()):
        close = keys.elsewhere(key, values, [others])
        yield finding("error", f"{name} lacks {key}.", f"mlagents-learn can't start without it.{close}", *path, key)
    for key, value in values.items():
        if key in others:
            yield finding("error", *keys.of_release(key, others, "an error here"), *path, key)
        elif key not in required | optional:
            todo = f"mlagents-learn fails on it.{keys.nearest(key, required | optional)}"
            yield finding("error", f"{name} has no setting {key}.", todo, *path, str(key))
        if key not in required | optional or (path == ("pretraining",) and key in _MAY_BE_EMPTY and not value):
            continue
        rule = keys.RULES[".".join((*path, key))]
        if judged := keys.judge(key, value, rule):
            yield finding(*judged, *path, key)
        elif key == "demo_path":
            ends = yield from check_demo(value, *path, key)
    return ends
