"""The job's hyperparameters: one table of every name with its type, default and meaning, and how they are read.

Names with dashes are options of `mlagents-learn` or of this container. Names with underscores and dots are keys of
the trainer configuration and override it for every brain. Values arrive as strings, JSON-encoded from some clients
(with quotes around them) and raw from others (`3DBall`); both are read alike.
"""

import difflib
import json
import math
import os
import shlex
from dataclasses import dataclass
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import levers
from refusal import RefusalError

NEAREST = 5  # names that are shown where one is not known
MOST_OF_RUN_ID = 60  # letters: the longest name of a file may have 255 bytes, and brains add theirs
MOST_OF_TEXT = 400  # characters, so that what is said of it is not cut
SHOWN = 60  # characters of a value or a name that is shown
LARGEST = 2**31 - 1  # what ML-Agents and TensorFlow count with
IGNORED_PREFIXES = ("sagemaker_", "_tuning_")  # added by SageMaker's own tools, not meant for the trainer


@dataclass(frozen=True)
class Hyperparameter:
    """One name that a job may set."""

    name: str
    read: Callable[[str], Any]
    default: Any
    meaning: str
    least: Optional[float] = None
    most: Optional[float] = None
    choices: Tuple[str, ...] = ()


class Settings(NamedTuple):
    """What a job asked for: an option for each name with dashes, and the overrides of the trainer configuration."""

    options: Dict[str, Any]
    overrides: Dict[str, Any]


def text(raw: str) -> str:
    """Read a text that can be the name of something."""
    if not raw or "\0" in raw or len(raw) > MOST_OF_TEXT:
        raise ValueError("a name")
    return raw


def whole(raw: str) -> int:
    """Read a whole number; `5e4` and `50000.0` are whole too."""
    value = number(raw)
    if value != int(value):
        raise ValueError("a whole number")
    if value > LARGEST:
        raise ValueError("a whole number of at most %d" % LARGEST)
    return int(value)


def number(raw: str) -> float:
    """Read a finite number."""
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value


def switch(raw: str) -> bool:
    """Read a yes or no."""
    if raw.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return raw.lower() == "true"


def count_or_auto(raw: str) -> Optional[int]:
    """Read a whole number, or `auto` as None."""
    try:
        return None if raw == "auto" else whole(raw)
    except ValueError:
        raise ValueError("a whole number or auto") from None


def words(raw: str) -> Tuple[str, ...]:
    """Read an argument list, as a shell would split it or as a JSON list."""
    if "\0" in raw:
        raise ValueError("words without the character 0, which no program can be given")
    try:
        decoded = json.loads(raw)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, list):
        return tuple(str(word) for word in decoded)
    try:
        return tuple(shlex.split(raw))
    except ValueError:
        raise ValueError("words as a shell would split them") from None


def reward_goal(raw: str) -> Tuple[Optional[str], float]:
    """Read `80` (every brain) or `3DBall=80` (the named brain) as (brain or None, reward)."""
    brain, _, reward = raw.rpartition("=")
    try:
        return brain or None, number(reward)
    except ValueError:
        raise ValueError("a reward such as 80, or a brain and its reward such as 3DBall=80") from None


# fmt: off
OPTIONS = (
    # mlagents-learn's own
    Hyperparameter("env", text, None, "the player in the channel; by default its one *.x86_64"),
    Hyperparameter("run-id", text, "run", "name of the run, in its checkpoints and summaries"),
    Hyperparameter("trainer-config", text, None, "trainer configuration in the channel; by default its "
                   "trainer_config.yaml, else the one for 3DBall that comes with the container"),
    Hyperparameter("curriculum", text, None, "folder of curricula in the channel"),
    Hyperparameter("sampler", text, None, "file of reset parameter samplers in the channel"),
    Hyperparameter("lesson", whole, 0, "first lesson of a fresh run; a run that goes on keeps its own", least=0),
    Hyperparameter("num-envs", count_or_auto, 1, "players at once; auto tries what is fastest, up to one for each core",
                   least=1, most=512),
    Hyperparameter("seed", whole, -1, "random seed; -1 draws one", least=-1, most=2**31 - 1),
    Hyperparameter("save-freq", whole, 50000, "steps between checkpoints", least=1),
    Hyperparameter("keep-checkpoints", whole, 5, "checkpoints kept; two at least, should the newest be torn", least=2),
    Hyperparameter("base-port", count_or_auto, None, "first port the players connect to; auto finds free ones, "
                   "for the Unity Editor 5004",
                   least=1024, most=65000),
    Hyperparameter("no-graphics", switch, True, "start the players with -nographics -batchmode"),
    Hyperparameter("slow", switch, False, "run the players at the speed of play instead of training speed"),
    Hyperparameter("env-args", words, (), "further arguments for the players"),
    Hyperparameter("debug", switch, False, "detailed log"),
    # this container's own
    Hyperparameter("levers", levers.read_levers, levers.NAMES, "what makes the trainer faster: all, none or names with "
                   "commas between"),
    Hyperparameter("stop-at-reward", reward_goal, None, "completed once the mean reward was at least this in "
                   "three summaries running: 80 for every brain, 3DBall=80 for one"),
    Hyperparameter("stall-timeout", number, 300.0, "seconds without an answer that mean a player hangs", least=1),
    Hyperparameter("max-restarts", whole, 3, "restarts without progress between, after a player failed", least=0),
)

TRAINER_KEYS = (
    Hyperparameter("trainer", text, None, "algorithm", choices=("ppo", "sac", "offline_bc")),
    Hyperparameter("max_steps", whole, None, "steps in all, those of an earlier run counted", least=1),
    Hyperparameter("batch_size", whole, None, "experiences in one gradient step", least=1),
    Hyperparameter("buffer_size", whole, None, "experiences collected before an update", least=1),
    Hyperparameter("learning_rate", number, None, "initial step size of gradient descent", least=1e-12, most=1),
    Hyperparameter("learning_rate_schedule", text, None, "how it falls", choices=("linear", "constant")),
    Hyperparameter("beta", number, None, "strength of the entropy bonus (ppo)", least=0),
    Hyperparameter("epsilon", number, None, "how far a policy may move in one update (ppo)", least=0),
    Hyperparameter("lambd", number, None, "lambda of the generalised advantage estimate (ppo)", least=0, most=1),
    Hyperparameter("num_epoch", whole, None, "passes over the buffer in an update (ppo)", least=1),
    Hyperparameter("hidden_units", whole, None, "width of a hidden layer", least=1),
    Hyperparameter("num_layers", whole, None, "hidden layers", least=0),
    Hyperparameter("normalize", switch, None, "normalise vector observations"),
    Hyperparameter("time_horizon", whole, None, "steps collected for an agent before they go to the buffer", least=1),
    Hyperparameter("summary_freq", whole, None, "steps between summaries", least=1),
    Hyperparameter("use_recurrent", switch, None, "give the network a memory"),
    Hyperparameter("memory_size", whole, None, "size of that memory, a multiple of 4", least=4),
    Hyperparameter("sequence_length", whole, None, "steps a recurrent network is trained over", least=1),
    Hyperparameter("vis_encode_type", text, None, "visual encoder", choices=("simple", "nature_cnn", "resnet")),
    Hyperparameter("buffer_init_steps", whole, None, "steps before the first update (sac)", least=0),
    Hyperparameter("init_entcoef", number, None, "initial entropy coefficient (sac)", least=0),
    Hyperparameter("num_update", whole, None, "minibatches in an update (sac)", least=1),
    Hyperparameter("train_interval", whole, None, "steps between updates (sac)", least=1),
    Hyperparameter("tau", number, None, "speed of the target network (sac)", least=0, most=1),
    Hyperparameter("save_replay_buffer", switch, None, "save the replay buffer with the checkpoint (sac)"),
    Hyperparameter("batches_per_epoch", whole, None, "minibatches in an update (offline_bc)", least=1),
    Hyperparameter("demo_path", text, None, "demonstration in the channel (offline_bc)"),
    Hyperparameter("pretraining.strength", number, None, "learning rate of imitation, relative to the policy", least=0),
    Hyperparameter("pretraining.demo_path", text, None, "demonstration in the channel"),
    Hyperparameter("pretraining.steps", whole, None, "steps over which imitation fades; 0 is never", least=0),
    Hyperparameter("pretraining.batch_size", whole, None, "experiences in one gradient step of imitation", least=1),
    Hyperparameter("pretraining.num_epoch", whole, None, "passes over the demonstration in an update", least=1),
    Hyperparameter("pretraining.samples_per_update", whole, None, "most experiences in one update; 0 is all", least=0),
    Hyperparameter("reward_signals.reward_signal_num_update", whole, None, "reward signals' updates (sac)", least=1),
)

REWARD_SIGNAL_KEYS = tuple(
    Hyperparameter("reward_signals.%s.%s" % (signal, key), read, None, meaning, least, most)
    for signal in ("extrinsic", "curiosity", "gail")
    for key, read, meaning, least, most in (
        ("strength", number, "factor of the %s reward" % signal, 0, None),
        ("gamma", number, "discount of future %s rewards" % signal, 0, 1),
        ("encoding_size", whole, "width of the %s encoder" % signal, 1, None),
        ("learning_rate", number, "learning rate of the %s model" % signal, 1e-12, 1),
        ("demo_path", text, "demonstration in the channel", None, None),
        ("use_actions", switch, "compare actions as well as observations", None, None),
        ("use_vail", switch, "add a variational bottleneck", None, None),
    )
    if key in {"extrinsic": ("strength", "gamma"),
               "curiosity": ("strength", "gamma", "encoding_size", "learning_rate"),
               "gail": ("strength", "gamma", "encoding_size", "learning_rate", "demo_path", "use_actions", "use_vail"),
               }[signal]
)
# fmt: on

KNOWN = {entry.name: entry for entry in OPTIONS + TRAINER_KEYS + REWARD_SIGNAL_KEYS}


def load(path: str) -> Dict[str, Any]:
    """Read SageMaker's file of hyperparameters; a missing file means that there are none.

    Raises
    ------
    RefusalError
        The file is not a JSON object.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise RefusalError(
            "%s should hold a JSON object of hyperparameters, but is no JSON: %s." % (path, error)
        ) from None
    if not isinstance(found, dict):
        raise RefusalError(
            "%s should hold a JSON object of hyperparameters, but holds %s." % (path, type(found).__name__)
        )
    return found


def read_words(words: Sequence[str]) -> Dict[str, str]:
    """Read hyperparameters from the command line, where they stand as NAME=VALUE.

    Raises
    ------
    RefusalError
        A word is something else.
    """
    for word in words:
        if "=" not in word:
            raise RefusalError("Expected NAME=VALUE after train, such as max_steps=50000, found %s." % word)
    return dict(word.split("=", 1) for word in words)


def parse(given: Dict[str, Any]) -> Settings:
    """Turn names and values as SageMaker passes them into settings.

    Parameters
    ----------
    given
        Name to value, as strings, JSON-encoded or raw.

    Returns
    -------
    Settings
        `options` holds every option, defaults filled in; `overrides` only the trainer keys that were given.

    Raises
    ------
    RefusalError
        An unknown name, or a value of the wrong type or out of range.
    """
    given = {name: value for name, value in given.items() if not name.startswith(IGNORED_PREFIXES)}
    unknown = sorted(set(given) - set(KNOWN))
    if unknown:
        raise RefusalError(_unknown(unknown))
    values = {name: _value(KNOWN[name], value) for name, value in given.items()}
    options = {entry.name: values.get(entry.name, entry.default) for entry in OPTIONS}
    _check_run_id(options["run-id"])
    overrides = {entry.name: values[entry.name] for entry in TRAINER_KEYS + REWARD_SIGNAL_KEYS if entry.name in values}
    return Settings(options, overrides)


def _value(entry: Hyperparameter, given: Any) -> Any:
    raw = _plain(given)
    shown = _short(raw)
    try:
        value = entry.read(raw)
    except (ValueError, OverflowError) as error:
        raise RefusalError(
            "Hyperparameter %s should be %s (%s), but is %r." % (entry.name, error, entry.meaning, shown)
        ) from None
    if entry.choices and value not in entry.choices:
        raise RefusalError(
            "Hyperparameter %s should be one of %s, but is %r." % (entry.name, ", ".join(entry.choices), shown)
        )
    if entry.least is not None and value is not None and value < entry.least:
        raise RefusalError("Hyperparameter %s should be at least %g, but is %s." % (entry.name, entry.least, shown))
    if entry.most is not None and value is not None and value > entry.most:
        raise RefusalError("Hyperparameter %s should be at most %g, but is %s." % (entry.name, entry.most, shown))
    return value


def _short(raw: str) -> str:
    """Cut what is only shown: SageMaker takes values of 2,500 characters, and 1,024 of what is said of them."""
    return raw if len(raw) <= SHOWN else raw[:SHOWN] + "..."


def _plain(given: Any) -> str:
    """Take a value out of its JSON encoding, where it has one."""
    if not isinstance(given, str):
        return json.dumps(given)
    try:
        decoded = json.loads(given)
    except (ValueError, RecursionError):
        return given.strip()
    return decoded.strip() if isinstance(decoded, str) else given.strip()


def _check_run_id(run_id: str) -> None:
    good = all(letter.isalnum() or letter in "._-" for letter in run_id) and not run_id.startswith((".", "-"))
    if not good or len(run_id) > MOST_OF_RUN_ID:
        raise RefusalError(
            "Hyperparameter run-id becomes the name of a folder and may hold %d letters, digits, dots, dashes and "
            "underscores, beginning with a letter, a digit or an underscore, but is %r."
            % (MOST_OF_RUN_ID, _short(run_id))
        )


def _unknown(names) -> str:
    """Say it in few words: SageMaker keeps no more than 1,024 characters of them."""
    name = names[0]
    nearest = sorted(KNOWN, key=lambda known: -difflib.SequenceMatcher(None, name[:SHOWN], known).ratio())[:NEAREST]
    shown = [_short(other) for other in names[: 1 + NEAREST]]
    more = ", %d more" % (len(names) - len(shown)) if len(names) > len(shown) else ""
    others = " (nor %s %s%s)" % ("is" if len(names) == 2 else "are", ", ".join(shown[1:]), more) if shown[1:] else ""
    return (
        "Hyperparameter %s is not known%s. The nearest names: %s. There are %d others; container/hyperparameters.py "
        "lists all of them, and `docker run IMAGE` prints those with dashes."
        % (shown[0], others, ", ".join(nearest), len(KNOWN) - len(nearest))
    )
