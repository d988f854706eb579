"""ML-Agents 0.11.0: TensorFlow, communicator API-11, a trainer configuration with `default:`."""

import os
import re
import reprlib
import signal
import sys
from typing import Any, Dict, List, Optional

import paths
import trainer_config
from contract import CONTRACT
from refusal import RefusalError

VERSION = "0.11.0"
ROW = CONTRACT["trainers"][VERSION]
SUFFIX = "-0"
CHECKPOINT = re.compile(r"(?P<name>model-(?P<step>\d+)\.cptk)")
NEVER_UPDATED = {
    "ppo": "the run ended before the first update was due (buffer_size, time_horizon). Raise max_steps, or lower them.",
    "sac": "the run ended before the first update was due (buffer_init_steps, batch_size, train_interval). Raise "
    "max_steps, or lower them.",
    "offline_bc": "no batch was drawn from its demonstrations. Record more, or lower batch_size.",
}
IMITATION, END_EPISODE = "pretraining", "Done()"


def load(path: str) -> Dict[str, Any]:
    """Read a trainer configuration and check its outer shape.

    Raises
    ------
    RefusalError
        It is not YAML, has no `default` section, or a section is neither keys and values nor the name of another.
    """
    name, config = os.path.basename(path), trainer_config.read(path)
    if not isinstance(config, dict) or not isinstance(config.get("default"), dict):
        sections = ", ".join(map(str, config)) if isinstance(config, dict) else ""
        is_later = isinstance(config, dict) and "behaviors" in config
        raise RefusalError(
            "%s should have a section `default:` of keys and values, which ML-Agents 0.11 falls back to, but has %s.%s"
            % (
                name,
                sections[:300] or "no sections",
                " It is in the format of ML-Agents 0.17 and later: notebook 1 shows it as 0.11 reads it."
                if is_later
                else "",
            )
        )
    fine = set()
    for section, content in config.items():
        seen = {section}
        while isinstance(content, str) and content not in fine:
            if content not in config or content in seen:
                shown = reprlib.repr(content)
                raise RefusalError("%s: section %s refers to %s, which leads nowhere." % (name, section, shown))
            seen.add(content)
            content = config[content]
        fine |= seen
        if not isinstance(content, (dict, str)):
            shown = reprlib.repr(content)
            raise RefusalError("%s: section %s should hold keys and values, but holds %s." % (name, section, shown))
    return config


def override(config: Dict[str, Any], overrides: Dict[str, Any]) -> None:
    """Set keys for every brain, in place.

    A brain's section overrides whole top-level keys of `default`, so a key is set in `default` and in every section
    that would hide it.
    """
    for name, value in overrides.items():
        root = name.split(".")[0]
        for section, content in config.items():
            if isinstance(content, dict) and (section == "default" or root in content):
                trainer_config.set_key(content, name.split("."), value)


def prepare(options: Dict[str, Any], config: Dict[str, Any]) -> List[str]:
    """Return the arguments for curricula and samplers.

    Raises
    ------
    RefusalError
        They are not in the channel, or `lesson` is set without a curriculum.
    """
    curriculum, sampler = (_named(options, name) for name in ("curriculum", "sampler"))
    if curriculum and not os.path.isdir(curriculum):
        raise RefusalError("Hyperparameter curriculum should name a folder with <Brain>.json files, but names a file.")
    if options["lesson"] and not curriculum:
        raise RefusalError(
            "Hyperparameter lesson is %d, but there is no curriculum. Name its folder in the hyperparameter "
            "curriculum, or leave lesson out." % options["lesson"]
        )
    if sampler:
        trainer_config.read(sampler)  # ML-Agents has no limits
    return (["--curriculum", curriculum] if curriculum else []) + (["--sampler", sampler] if sampler else [])


def _named(options: Dict[str, Any], hyperparameter: str) -> Optional[str]:
    name = options[hyperparameter]
    return None if name is None else trainer_config.in_channel(paths.CHANNEL, name, hyperparameter)


def arguments(options: Dict[str, Any], resume: bool) -> List[str]:
    """Return the arguments of `mlagents-learn`, but for those that all versions share."""
    line = ["--train"]
    for name in ("lesson", "seed", "save-freq", "keep-checkpoints"):
        line += ["--" + name, str(options[name])]
    for name in ("no-graphics", "slow", "debug"):
        line += ["--" + name] if options[name] else []
    return line + (["--load"] if resume else [])


def environment(options: Dict[str, Any]) -> Dict[str, str]:
    """Return the learner's environment variables: no further ones."""
    return {}


def timers(run_id: str) -> str:
    """Return a run's file of timers, relative to the checkpoints."""
    return os.path.join("summaries", run_id + "-0_timers.json")


def versions(installed: Dict[str, str]) -> Dict[str, Optional[str]]:
    """Return what `training.json` tells of installed packages."""
    return {
        "flavour": "exact" if sys.version_info < (3, 8) else "compat",
        "tensorflow": installed.get("tensorflow") or installed.get("tensorflow-cpu"),
    }


def advice(code: int) -> str:
    """Return what a learner's exit code means beyond what it means for any process."""
    lacks_avx = code == -signal.SIGILL
    return " TensorFlow needs AVX, which this processor, or its emulation, lacks." if lacks_avx else ""


def install() -> None:
    """Prepare the import of ML-Agents."""
    if sys.version_info >= (3, 8):  # TensorFlow 1.15 does not exist for it
        from trainers.v0_11 import tf1_compat

        tf1_compat.install()
