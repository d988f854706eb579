"""The table of hyperparameters, and how values in their two encodings are read."""

import itertools
import json

import hyperparameters
import pytest
import speedups
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import RefusalError

from mlagents_check.trainer_config import hyperparameters as checked


def parse(**given):
    return hyperparameters.parse({name.replace("__", "-"): value for name, value in given.items()})


def test_defaults_are_those_of_the_table():
    settings = parse()
    assert settings.overrides == {}
    assert settings.options == {
        "env": None,
        "run-id": "run",
        "trainer-config": None,
        "trainer-version": None,
        "curriculum": None,
        "sampler": None,
        "lesson": 0,
        "num-envs": 1,
        "seed": -1,
        "save-freq": 50000,
        "keep-checkpoints": 5,
        "base-port": None,
        "no-graphics": True,
        "slow": False,
        "env-args": (),
        "debug": False,
        "speedups": speedups.NAMES,
        "stop-at-reward": None,
        "stall-timeout": 300.0,
        "max-restarts": 3,
    }


@pytest.mark.parametrize(
    "name, values, value",
    [
        ("run-id", '"ball"', "ball"),
        ("run-id", "ball", "ball"),
        ("run-id", "007", "007"),
        ("num-envs", "4", 4),
        ("num-envs", '"4"', 4),
        ("num-envs", 4, 4),
        ("num-envs", "auto", None),
        ("num-envs", '"auto"', None),
        ("save-freq", "5e4", 50000),
        ("seed", "-1", -1),
        ("slow", "true", True),
        ("slow", '"True"', True),
        ("slow", True, True),
        ("no-graphics", "False", False),
        ("env-args", "--agents 48 --name 'a b'", ("--agents", "48", "--name", "a b")),
        ("env-args", '["--agents", 48]', ("--agents", "48")),
        ("env-args", '"--agents 48"', ("--agents", "48")),
        ("stop-at-reward", "80", (None, 80.0)),
        ("stop-at-reward", '"3DBall=-0.5"', ("3DBall", -0.5)),
        ("stall-timeout", "2.5", 2.5),
        ("speedups", "all", speedups.NAMES),
        ("speedups", "none", ()),
        ("speedups", "brains, waiting", ("waiting", "brains")),  # in the order in which they are applied
    ],
)
def test_options_are_read_raw_and_json_encoded(name, values, value):
    assert hyperparameters.parse({name: values}).options[name] == value


@pytest.mark.parametrize(
    "name, values, value",
    [
        ("max_steps", "5.0e4", 50000),
        ("learning_rate", '"3e-4"', 0.0003),
        ("use_recurrent", "true", True),
        ("trainer", '"sac"', "sac"),
        ("reward_signals.extrinsic.gamma", "0.9", 0.9),
        ("pretraining.demo_path", "demos/a.demo", "demos/a.demo"),
    ],
)
def test_overrides_are_read_with_their_type(name, values, value):
    found = hyperparameters.parse({name: values}).overrides
    assert found == {name: value}
    assert type(found[name]) is type(value)


def test_hyperparameters_of_sagemakers_tools_are_ignored():
    assert parse(sagemaker_job_name="x", _tuning_objective_metric="y") == parse()


@pytest.mark.parametrize("metric", ["mean_reward", '"mean_reward"', '"average test loss"', ""])
def test_hyperparameters_of_a_tuning_job(metric):
    # Numbers as text, in Java's notation, too; categories raw from the service and encoded by some of its tools.
    settings = parse(
        _tuning_objective_metric=metric,
        sagemaker_estimator_class_name='"ModelTrainer"',
        learning_rate="3.2E-4",
        batch_size="64",
        buffer_size='"1024"',
        hidden_units="128.0",
        normalize="True",
        use_recurrent='"false"',
        num_layers='"2"',
        learning_rate_schedule='"constant"',
        **{"reward_signals.extrinsic.gamma": "0.9876543210987654"},
    )
    assert settings.options == parse().options
    assert settings.overrides == {
        "learning_rate": 0.00032,
        "batch_size": 64,
        "buffer_size": 1024,
        "hidden_units": 128,
        "normalize": True,
        "use_recurrent": False,
        "num_layers": 2,
        "learning_rate_schedule": "constant",
        "reward_signals.extrinsic.gamma": 0.9876543210987654,
    }


@pytest.mark.parametrize(
    "name, values, complaint",
    [
        ("num-envs", "many", "Hyperparameter num-envs should be a whole number or auto"),
        ("num-envs", "0", "Hyperparameter num-envs should be at least 1, but is 0."),
        ("num-envs", "1.5", "Hyperparameter num-envs should be a whole number or auto"),
        ("max_steps", "ten", "Hyperparameter max_steps should be a number ("),
        ("max_steps", "10.5", "Hyperparameter max_steps should be a whole number ("),
        ("max_steps", "1e999", "Hyperparameter max_steps should be a finite number ("),
        ("max_steps", "", "Hyperparameter max_steps should be a number ("),
        ("learning_rate", "nan", "Hyperparameter learning_rate should be a finite number ("),
        ("learning_rate", "0", "Hyperparameter learning_rate should be at least 1e-12, but is 0."),
        ("lambd", "1.01", "Hyperparameter lambd should be at most 1, but is 1.01."),
        ("slow", "yes", "Hyperparameter slow should be true or false ("),
        ("trainer", "a2c", "Hyperparameter trainer should be one of ppo, sac, offline_bc, but is 'a2c'."),
        ("stall-timeout", "soon", "Hyperparameter stall-timeout should be a number ("),
        ("stall-timeout", "0", "Hyperparameter stall-timeout should be at least 1, but is 0."),
        ("max-restarts", "[3]", "Hyperparameter max-restarts should be a number ("),
        ("max-restarts", "-1", "Hyperparameter max-restarts should be at least 0, but is -1."),
        (
            "speedups",
            "all, turbo",
            "Hyperparameter speedups should be all, none or some of threads, lookups, sessions, minibatches, experiences, "
            "returns, waiting, brains, ahead, columns, messages, separated by commas (",
        ),
        ("speedups", "", "Hyperparameter speedups should be all, none or some of threads, "),
        ("env-args", "--name 'a", "Hyperparameter env-args should be words as a shell would split them ("),
        ("stop-at-reward", "high", "Hyperparameter stop-at-reward should be a reward such as 80, or a brain and its"),
        ("run-id", "../x", "Hyperparameter run-id becomes the name of a folder"),
        ("run-id", "-1", "Hyperparameter run-id becomes the name of a folder"),
        ("run-id", "x" * 61, "Hyperparameter run-id becomes the name of a folder"),
        ("run-id", "", "Hyperparameter run-id should be a name (name of the run, in its checkpoints and summaries), "),
        ("env", " ", "Hyperparameter env should be a name ("),
        ("curriculum", '""', "Hyperparameter curriculum should be a name ("),
        (
            "demo_path",
            "a\0b",
            "Hyperparameter demo_path should be a name (demonstration in the channel (offline_bc)), b",
        ),
        ("env-args", "a\0b", "Hyperparameter env-args should be words without null characters ("),
        ("max_steps", "3e9", "Hyperparameter max_steps should be a whole number of at most 2147483647 (steps in all, "),
        ("hidden_units", "1e300", "Hyperparameter hidden_units should be a whole number of at most 2147483647 ("),
    ],
)
def test_wrong_values_are_refused(name, values, complaint):
    with pytest.raises(RefusalError) as refusal:
        hyperparameters.parse({name: values})
    assert str(refusal.value).startswith(complaint)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(RefusalError) as refusal:
        hyperparameters.parse({"max-steps": "10", "turbo": "1"})
    message = str(refusal.value)
    assert message.startswith("Hyperparameter max-steps is not known (nor is turbo). The nearest names: max_steps, ")
    nearest = message.partition("names: ")[2].partition(". ")[0].split(", ")
    assert len(nearest) == 5 and set(nearest) <= set(hyperparameters.KNOWN)
    assert f"There are {len(hyperparameters.KNOWN) - 5} others: `docker run IMAGE` prints" in message


def test_the_message_for_unknown_names_is_never_truncated():
    """SageMaker takes 100 hyperparameters, with names of 256 characters, and 1,024 characters of a failure's reason."""
    names = {f"{number:03d}" + "x" * 253: "1" for number in range(100)}
    with pytest.raises(RefusalError) as refusal:
        hyperparameters.parse(names)
    message = str(refusal.value)
    assert len(message) < 1024 and ", 94 more). The nearest names: " in message and message.endswith("lists the rest.")


@pytest.mark.parametrize("name", sorted(hyperparameters.KNOWN))
def test_the_message_for_a_long_value_is_never_truncated(name):
    """SageMaker takes values of 2,500 characters."""
    try:
        hyperparameters.parse({name: "x" * 2500})
    except RefusalError as refusal:
        message = str(refusal)
        assert len(message) < 1024 and message.endswith("'%s...'." % ("x" * 60))
    else:
        assert name == "env-args"  # words, as many as there may be


def test_the_file_is_optional_but_must_be_an_object(tmp_path):
    file = tmp_path / "hyperparameters.json"
    assert hyperparameters.load(str(file)) == {}
    file.write_text("{")
    with pytest.raises(RefusalError, match="is not JSON"):
        hyperparameters.load(str(file))
    for content in (b"\xff\xfe{\0}\0", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"):
        file.write_bytes(content)
        with pytest.raises(RefusalError, match="is not JSON"):
            hyperparameters.load(str(file))
    file.write_text("[]")
    with pytest.raises(RefusalError, match="but holds list"):
        hyperparameters.load(str(file))


def test_command_line_arguments():
    assert hyperparameters.read_arguments(["max_steps=5", "env-args=--name=a"]) == {
        "max_steps": "5",
        "env-args": "--name=a",
    }
    assert hyperparameters.read_arguments([]) == {}
    with pytest.raises(RefusalError, match="Expected NAME=VALUE after train, such as max_steps=50000, found 50000."):
        hyperparameters.read_arguments(["seed=1", "50000"])


PLAIN = "0 1 -1 5e4 1e999 -1e999 nan inf 1e-400 0x10 1_0 \u0661 true True null auto ppo a/b .. .a 3DBall=80 = a=b"
QUOTED = """ " "5" 'a [] {} "\\ud800" all 2020-01-01 constant simple"""
PIECES = [*PLAIN.split(), *QUOTED.split(), "", " 7 ", "9" * 400, "9" * 5000, "a\0b", "x" * 401, '"a b"', '["a", 1]']
PIECES += ["[" * 3000, "threads, waiting"]


NAMES = [*sorted(hyperparameters.KNOWN), "sagemaker_x"]
UNKNOWN = ["max_step", "", "\0", "n" * 5000]
VALUES = [*PIECES, float("nan"), float("inf"), 10**400, -1, 2.5, True, None, [1, "a"], {"a": 1}]


def check_both(name, value):
    """No value raises anything but a refusal on either side, and both judge alike."""
    _, _, wrong = checked.split({name: value})
    try:
        hyperparameters.parse({name: value if isinstance(value, str) else json.dumps(value)})
    except RefusalError as refusal:
        assert str(refusal).startswith("Hyperparameter ") and len(str(refusal)) <= 1024
        refused = True
    else:
        refused = False
    choices = getattr(hyperparameters.KNOWN.get(name), "choices", ())
    assert bool(wrong) == refused or (choices and refused), (name, value)  # those are judged with the trainer config


def test_the_container_refuses_values_that_the_check_refuses():
    for name, value in [*itertools.product(NAMES, VALUES), *itertools.product(UNKNOWN, ["1"])]:
        check_both(name, value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(NAMES), st.text() | st.floats() | st.integers() | st.lists(st.text(max_size=3), max_size=3))
def test_check_and_container_agree_on_any_value(name, value):
    check_both(name, value)
