"""A `behaviors:` file is offered as 0.11.0 reads it, where the conversion passes the check, and not offered elsewhere."""

import json
import subprocess

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import findings
from mlagents_check import trainer_config
from mlagents_check.trainer_config import conversion
from training_jobs import job_request

NETWORK = {"normalize": False, "hidden_units": 32, "num_layers": 1, "vis_encode_type": "simple", "memory": None}
HYPERPARAMETERS = {"batch_size": 64, "buffer_size": 640, "learning_rate": 3e-4, "beta": 5e-3, "epsilon": 0.2}
HYPERPARAMETERS |= {"lambd": 0.95, "num_epoch": 3, "learning_rate_schedule": "linear"}
BALL = {
    "trainer_type": "ppo",
    "hyperparameters": HYPERPARAMETERS,
    "network_settings": NETWORK,
    "reward_signals": {"extrinsic": {"gamma": 0.99, "strength": 1.0, "network_settings": NETWORK}},
    "max_steps": 1000,
    "time_horizon": 64,
    "summary_freq": 200,
}
"""As results/*/configuration.yaml of 2.x holds it."""
SIGNAL = {"strength": 1.0, "gamma": 0.99}


def offered(write, config, **more):
    """Return what is offered in the place of a config, None if nothing is; the message's end besides."""
    (finding,) = trainer_config.check(write(config), **more).errors
    assert finding.what == "It is in the format of ML-Agents 0.17 and later (behaviors:)."
    return finding.text or None, finding.todo


def section(write, behavior, **more):
    text, todo = offered(write, {"behaviors": {"Ball": behavior}, **more})
    assert text, todo
    report = trainer_config.check(write(text), brains=["Ball"])
    assert report.errors == ()
    return report.brains[0].settings, text


def test_a_complete_file(write):
    got, text = section(write, BALL)
    flat = {key: value for key, value in {**HYPERPARAMETERS, **NETWORK}.items() if key != "memory"}
    flat |= {"trainer": "ppo", "max_steps": 1000, "time_horizon": 64, "summary_freq": 200}
    filled = {"use_recurrent": False, "memory_size": 256, "sequence_length": 64}
    assert got == {**flat, **filled, "reward_signals": {"extrinsic": SIGNAL}}
    (comment,) = {
        text[text.index("# max_steps") : text.index("  trainer: ppo\n  batch_size: 64")].replace("\n  # ", " ")
    }
    assert comment == (
        "# max_steps and summary_freq counted the steps of every agent, as 0.14 and later do. 0.11.0 counts those of "
        "the environment: divide both by the number of agents in the scene.\n"
    )


def test_missing_settings_are_filled_in_and_marked(write):
    got, text = section(write, {"trainer_type": "sac", "network_settings": {"hidden_units": 64}})
    assert {**got, **conversion.DEFAULTS["sac"], "trainer": "sac", "hidden_units": 64} == got
    lines = text[text.index("\nBall:\n") :].splitlines()[2:]
    mark = lines.index("  # Not in the file; as in the trainer config that comes with 0.11.0:")
    expected = ["trainer: sac", "hidden_units: 64", "num_update: 1", "train_interval: 1"]
    assert sorted(line.strip() for line in lines[:mark]) == sorted(expected)
    assert "  buffer_init_steps: 0" in lines[mark:] and "  learning_rate_schedule: constant" in lines[mark:]


def test_unsupported_settings_are_named_in_a_comment(write):
    own = {**HYPERPARAMETERS, "beta_schedule": "constant", "shared_critic": False}
    network = {**NETWORK, "vis_encode_type": "match3", "deterministic": True}
    more = {"keep_checkpoints": 5, "threaded": True, "self_play": {"window": 10}, "init_path": None, "no_key": 1}
    rnd = {"extrinsic": SIGNAL, "rnd": {**SIGNAL, "encoding_size": 5}}
    behavior = {**BALL, **more, "hyperparameters": own, "network_settings": network, "reward_signals": rnd}
    got, text = section(write, behavior, engine_settings={"width": 84}, env_settings=None)
    assert got["vis_encode_type"] == "simple" and got["reward_signals"] == {"extrinsic": SIGNAL}
    left_out = [line.strip(" #").split(". ")[0] for line in text.splitlines() if "Left out" in line]
    assert left_out == [f"Left out: {name}" for name in ["engine_settings", "beta_schedule"]] + [
        f"Left out: {name}"
        for name in ["shared_critic", "vis_encode_type match3", "deterministic", "keep_checkpoints", "threaded"]
    ] + [f"Left out: {name}" for name in ["self_play", "no_key", "reward_signals: rnd"]]
    assert "# Left out: no_key. 0.11.0 does not know it." in text
    assert "# Left out: threaded. 0.11.0 alternates between playing and learning." in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"network_settings": {"memory": {"memory_size": 20}}}, {"memory_size": 20, "use_recurrent": True}),
        ({"network_settings": {"memory": {"memory_size": 18}}}, {"memory_size": 20, "sequence_length": 64}),
        ({"network_settings": {"memory": {"memory_size": 20}}, "trainer_type": "sac"}, {"memory_size": 24}),
        ({"reward_signals": {"curiosity": {"network_settings": {"hidden_units": 32}}}}, {"encoding_size": 32}),
        ({"reward_signals": {"curiosity": {"strength": 0.5, "encoding_size": None}}}, {"encoding_size": 128}),
        ({"reward_signals": {"curiosity": {"learning_rate": "3e-4"}}}, {"learning_rate": 3e-4}),
        ({"max_steps": "5e5", "summary_freq": 1.0e4}, {"max_steps": 500000, "summary_freq": 10000}),
        ({"trainer_type": "sac", "hyperparameters": {"steps_per_update": 10.0}}, {"train_interval": 10}),
        (
            {
                "trainer_type": "sac",
                "hyperparameters": {"steps_per_update": 20, "reward_signal_steps_per_update": 5},
                "reward_signals": {"extrinsic": SIGNAL},
            },
            {"train_interval": 20, "reward_signal_num_update": 4},
        ),
        ({"behavioral_cloning": {"demo_path": "Ball.demo"}}, {"strength": 1.0, "steps": conversion.NEVER_FADES}),
        ({"behavioral_cloning": {"demo_path": "Ball.demo", "steps": 0}}, {"steps": conversion.NEVER_FADES}),
        ({"behavioral_cloning": {"demo_path": "Ball.demo", "steps": 9}}, {"demo_path": "Ball.demo", "steps": 9}),
        ({"reward_signals": {"gail": {"demo_path": "Ball.demo"}}}, {"demo_path": "Ball.demo", **SIGNAL}),
    ],
)
def test_one_setting(write, parts, change, expected):
    write(parts.demo(steps=1025), "Ball.demo")  # as many as a batch of gail
    got, _ = section(write, change)
    flat = {**got, **got["reward_signals"]}
    for group in ("curiosity", "gail", "pretraining"):
        flat |= flat.get(group, {})
    assert {key: flat[key] for key in expected} == expected
    assert {key: type(flat[key]) for key in expected} == {key: type(value) for key, value in expected.items()}


def test_behaviors_are_merged_into_default_settings_by_group(write):
    config = {
        "default_settings": {"hyperparameters": {"batch_size": 32, "buffer_size": 320}, "max_steps": 70},
        "behaviors": {"Ball": {"hyperparameters": {"batch_size": 64}}, "Größe: ü": None, 7: {"trainer_type": "sac"}},
    }
    report = trainer_config.check(write(offered(write, config)[0]), brains=["Ball", "Größe: ü", "7", "Other"])
    assert report.errors == ()
    assert [
        (brain.section, *(brain.settings[key] for key in ("trainer", "batch_size", "buffer_size", "max_steps")))
        for brain in report.brains
    ] == [
        ("Ball", "ppo", 64, 320, 70),
        ("Größe: ü", "ppo", 32, 320, 70),
        ("7", "sac", 32, 320, 70),
        ("default", "ppo", 32, 320, 70),
    ]


@pytest.mark.parametrize(
    ("behavior", "why"),
    [
        ({"trainer_type": "poca"}, "trainer is 'poca', which ML-Agents 0.25 and later have. Write ppo, "),
        ({"trainer_type": ["ppo"]}, "trainer is ['ppo']. "),
        ({"hyperparameters": {"batch_size": 99999}}, "batch_size 99999 is more than buffer_size 10240. "),
        ({"max_steps": 0}, "max_steps is 0. "),
        ({"reward_signals": {"gail": SIGNAL}}, "gail lacks demo_path. "),
        ({"reward_signals": {"gail": {"demo_path": "absent.demo"}}}, "The demonstration absent.demo is missing. "),
    ],
)
def test_a_conversion_with_errors_is_not_offered(write, behavior, why):
    text, todo = offered(write, {"behaviors": {"Ball": behavior}})
    start = "0.11.0 reads default: and a section for each brain. It can't be converted because of this error"
    assert text is None and todo.startswith(f"{start}: {why}")


def test_default_settings_alone_are_recognised(write):
    report = trainer_config.check(write({"default_settings": {"hyperparameters": {"batch_size": 32}}}))
    (finding,) = report.errors
    assert finding.what == "It is in the format of ML-Agents 0.17 and later (default_settings:)."
    assert trainer_config.check(write(finding.text), brains=["Ball"]).brains[0].settings["batch_size"] == 32


@pytest.mark.parametrize("behaviors", [3, [], [{"Ball": {}}], "Ball"])
def test_invalid_behaviors(write, behaviors):
    text, todo = offered(write, {"behaviors": behaviors})
    if behaviors == []:  # as good as none, so all of it is filled in
        assert yaml.safe_load(text) == {"default": {"trainer": "ppo", **conversion.DEFAULTS["ppo"]}}
    else:
        assert text is None and todo.endswith("This one names no behaviors.")


def test_the_conversion_is_shown_unchanged_with_the_error(write, tmp_path):
    (tmp_path / "unity-volume").mkdir()
    report = trainer_config.check(write({"behaviors": {"<b>Ball": BALL}}))
    (finding,) = report.errors
    assert f"\n{finding.text}" in f"{report}\n" and finding.text in f"{findings.join('All', report)}\n"
    assert "&lt;b&gt;Ball:\n  # max_steps" in report._repr_html_() and "<b>" not in report._repr_html_()
    with pytest.raises(trainer_config.TrainerConfigError) as raised:
        report.raise_for_errors()
    assert f"{raised.value}\n".endswith(finding.text)
    (problem,) = job_request.find_conflicts(tmp_path, {}, "mean_reward")
    assert f"{problem}\n".endswith(finding.text)


numbers = st.one_of(
    st.sampled_from([0, 1, 3, 8, 64, 128, 1024, 10240, 5.0e5, 0.5, 3e-4, -1, True]),
    st.sampled_from(["3e-4", "5e5", "1e999", "x", None, [], {}, float("inf"), float("nan"), "2020-01-01"]),
)
names = st.text(st.characters(codec="utf-8"), max_size=8)


def some(known, extra=numbers):
    return st.dictionaries(st.sampled_from(sorted(known)), extra, max_size=6)


signals = st.dictionaries(
    st.sampled_from(["extrinsic", "curiosity", "gail", "rnd"]),
    some({"strength", "gamma", "encoding_size", "learning_rate", "network_settings"}) | numbers,
    max_size=3,
)
hyperparameters = some(
    {*HYPERPARAMETERS, "tau", "buffer_init_steps", "steps_per_update", "beta_schedule", "num_update"}
)
networks = some({*NETWORK, "deterministic"}, numbers | some({"memory_size", "sequence_length"}))
behavior = st.fixed_dictionaries(
    {},
    optional={
        "trainer_type": st.sampled_from(["ppo", "ppo", "sac", "sac", "poca", None, "my.plugin"]),
        "hyperparameters": hyperparameters,
        "network_settings": networks,
        "reward_signals": signals,
        "behavioral_cloning": some({"steps", "strength", "batch_size", "samples_per_update"}) | st.none(),
        "max_steps": numbers,
        "summary_freq": numbers,
        "time_horizon": numbers,
        "keep_checkpoints": numbers,
        "self_play": st.just({"window": 10}) | st.none(),
        "\u2028\n# x": numbers,
    },
)
files = st.fixed_dictionaries(
    {"behaviors": st.dictionaries(names | st.just("default"), behavior | st.none(), max_size=3)},
    optional={"default_settings": behavior, "environment_parameters": st.just({"a": 1}), "debug": st.booleans()},
)

READ = """
import json, sys
from mlagents.trainers.trainer_util import load_config
print(json.dumps([load_config(path) for path in json.load(sys.stdin)]))
"""


def test_every_offered_conversion_passes_and_the_trainer_reads_the_same(trainer, tmp_path):
    """The trainer's own reader, in the trainer's Python, has each offer as the check has it."""
    path, texts = tmp_path / "trainer_config.yaml", []

    @settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(files)
    def convert(config):
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        (finding,) = trainer_config.check(path).errors
        if finding.text:
            texts.append(finding.text)
            path.write_text(finding.text)
            report = trainer_config.check(path)
            assert report.errors == ()

    convert()
    assert len(texts) > 20
    paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for own, text in zip(paths, texts, strict=True):
        own.write_text(text)
    done = subprocess.run(
        [trainer.python, "-c", READ],
        input=json.dumps([str(own) for own in paths]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps([yaml.safe_load(text) for text in texts]))
