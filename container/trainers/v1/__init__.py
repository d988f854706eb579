"""ML-Agents 1.1.0: PyTorch, communicator 1.5.0, a trainer configuration with `behaviors:`."""

import os
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

import contract
import paths
import trainer_config
from refusal import RefusalError

VERSION = "1.1.0"
ROW = contract.CONTRACT["trainers"][VERSION]
SUFFIX = ""
CHECKPOINT = re.compile(r"(?P<name>.+-(?P<step>\d+)\.pt)$")
_NO_UPDATE = "the run ended before the first update was due (%s). Raise max_steps, or lower them."
NEVER_UPDATED = {
    "ppo": _NO_UPDATE % "buffer_size, time_horizon",
    "poca": _NO_UPDATE % "buffer_size, time_horizon",
    "sac": _NO_UPDATE % "buffer_init_steps, batch_size, steps_per_update",
}
IMITATION, END_EPISODE = "behavioral_cloning", "EndEpisode()"
COMPILED = os.path.join(contract.FOLDER, "trainers", "v1", "compiled")  # Python runs the sitecustomize.py in it
SAVE_FREQ = 50000  # where neither the job nor the configuration says
LEFT_TO_THE_CONFIG = {"env_settings": ("num_areas",), "checkpoint_settings": ()}
"""Sections in which the job decides, but for these keys."""


def load(path: str) -> Dict[str, Any]:
    """Read a trainer configuration and check its outer shape. What the job decides is left out.

    Raises
    ------
    RefusalError
        It is not YAML, has no `behaviors`, or a section is not made of keys and values.
    """
    name, config = os.path.basename(path), trainer_config.read(path)
    if not isinstance(config, dict) or not {"behaviors", "default_settings"} & set(config):
        sections = ", ".join(map(str, config)) if isinstance(config, dict) else ""
        earlier = isinstance(config, dict) and isinstance(config.get("default"), dict)
        raise RefusalError(
            "%s should have a section `behaviors:` with the settings of each behavior, but has %s.%s"
            % (
                name,
                sections[:300] or "no sections",
                " It is in the format of ML-Agents 0.11: notebook 1 shows it as 1.1 reads it." if earlier else "",
            )
        )
    behaviors = config.get("behaviors") or {}
    for section, content in [*config.items(), *(behaviors.items() if isinstance(behaviors, dict) else [])]:
        if section != "debug" and content is not None and not isinstance(content, dict):
            raise RefusalError("%s: section %s should hold keys and values, but holds %r." % (name, section, content))
    for section, keys in LEFT_TO_THE_CONFIG.items():
        content = config.pop(section, None) or {}
        kept = {key: content[key] for key in keys if key in content}
        if kept:
            config[section] = kept
    (config.get("engine_settings") or {}).pop("no_graphics", None)  # an option of the job
    return config


def override(config: Dict[str, Any], overrides: Dict[str, Any]) -> None:
    """Set keys for every behavior, in place.

    A behavior's section is laid over `default_settings`, so a key is set in both.
    """
    for name, value in overrides.items():
        group = _keys()[name].get("group")
        path = "%s.%s" % (group, name) if group else name
        for _, section in _sections(config):
            trainer_config.set_key(section, path.split("."), value)


def prepare(options: Dict[str, Any], config: Dict[str, Any]) -> List[str]:
    """Set what the job's options decide in the configuration.

    Raises
    ------
    RefusalError
        A checkpoint to start from is not in the channel.
    """
    own = config.get("default_settings") or {}
    for name, section in _sections(config):
        if options["save-freq"] is not None:
            section["checkpoint_interval"] = options["save-freq"]
            section["even_checkpoints"] = False
        elif name == "default_settings" or not {"checkpoint_interval", "even_checkpoints"} & {*section, *own}:
            section.setdefault("checkpoint_interval", SAVE_FREQ)
        if options["keep-checkpoints"] is not None:
            section["keep_checkpoints"] = options["keep-checkpoints"]
        elif section.get("keep_checkpoints") == 1:
            section["keep_checkpoints"] = 2  # should the newest be torn
        if isinstance(section.get("hyperparameters"), dict) and "trainer_type" not in {*section, *own}:
            section["trainer_type"] = "ppo"  # ML-Agents' own default, but it wants it named
        if section.get("init_path") is not None:
            named = trainer_config.in_channel(paths.CHANNEL, section["init_path"], "init_path (in the configuration)")
            section["init_path"] = named
    return []


def arguments(options: Dict[str, Any], resume: bool) -> List[str]:
    """Return the arguments of `mlagents-learn`, but for those that all versions share."""
    line = ["--results-dir", ROW["runs"], "--seed", str(options["seed"])]
    line += ["--max-lifetime-restarts", "0"]  # the supervisor restarts
    line += ["--resume" if resume else "--force"]
    line += ["--time-scale", "1"] if options["slow"] else []
    return line + ["--" + name for name in ("no-graphics", "debug") if options[name]]


def environment(options: Dict[str, Any]) -> Dict[str, str]:
    """Return the learner's environment variables, which its workers and players inherit."""
    given = os.environ.get("PYTHONPATH")
    return (
        {"PYTHONPATH": os.pathsep.join([COMPILED, *filter(None, [given])])} if "protobuf" in options["speedups"] else {}
    )


def timers(run_id: str) -> str:
    """Return a run's file of timers, relative to the checkpoints."""
    return os.path.join(ROW["runs"], run_id, "run_logs", "timers.json")


def versions(installed: Dict[str, str]) -> Dict[str, Optional[str]]:
    """Return what `training.json` tells of installed packages."""
    flavour = "cuda" if "nvidia-cuda-runtime" in installed else "cpu"  # PyTorch of PyPI has no +cu… in its version
    return {"flavour": flavour, "tensorflow": None, "torch": installed.get("torch", "")}


def advice(code: int) -> str:
    """Return what a learner's exit code means beyond what it means for any process."""
    return ""


def install() -> None:
    """Prepare the import of ML-Agents: nothing is needed."""


def _keys() -> Dict[str, Any]:
    return contract.load(ROW["trainer_keys"])


def _sections(config: Dict[str, Any]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield the sections of the behaviors and of the default settings, by name."""
    behaviors = config.get("behaviors")
    own = {"default_settings": config.get("default_settings")}
    for name, section in {**(behaviors if isinstance(behaviors, dict) else {}), **own}.items():
        if isinstance(section, dict):
            yield name, section
