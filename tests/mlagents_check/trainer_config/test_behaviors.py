"""What the check says of a `behaviors:` file, which the trainer 1.1.0 reads, with lines; and of the wrong format for a trainer."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlagents_check import trainer_config
from mlagents_check.trainer_config import behaviors
from mlagents_check.unity_build import Brain

BALL = """behaviors:
  Ball:
    trainer_type: ppo
    hyperparameters:
      batch_size: 64
      buffer_size: 640
    max_steps: 5000
    summary_freq: 1000
"""


def findings(write, text, **more):
    report = trainer_config.check(write(text), trainer="1.1.0", **more)
    return [f"{one.level} {one.line}: {one.what}" for one in report.findings]


def test_a_good_file_is_ready(write):
    report = trainer_config.check(write(BALL), ["Ball"], trainer="1.1.0")
    assert report.verdict == "The trainer config is ready." and report.findings == ()
    assert report.facts == (
        (
            "Ball",
            "section Ball, ppo: max_steps 5000 (steps of all agents), batch_size 64, buffer_size 640, time_horizon 64",
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("batch_size: 64", "bach_size: 64", ["error 5: bach_size is not known in hyperparameters."]),
        ("batch_size: 64", "batch_size: 1e2", ["error 5: batch_size is '1e2'."]),
        ("batch_size: 64", "tau: 0.1", ["error 5: tau is no hyperparameter of ppo."]),
        ("batch_size: 64", "batch_size: 6400", ["error 6: batch_size 6400 is more than buffer_size 640."]),
        ("buffer_size: 640", "buffer_size: 630", ["warning 6: buffer_size 630 is not a multiple of batch_size 64."]),
        ("max_steps: 5000", "max_steps: 600", ["error 7: max_steps 600 may end before the first update."]),
        ("trainer_type: ppo", "trainer: ppo", ["error 3: trainer is not known in Ball."]),
        ("max_steps: 5000", "hidden_units: 8", ["error 7: hidden_units is not known in Ball."]),
        (
            "max_steps: 5000",
            "network_settings: {hiden_units: 8}",
            ["warning 7: hiden_units is not known in network_settings."],
        ),
        ("max_steps: 5000", "network_settings: {memory: {memory_size: 7}}", ["error 7: memory_size is 7."]),
        ("max_steps: 5000", "self_play: {save_steps: 0}", ["warning 7: save_steps is 0."]),
        ("max_steps: 5000", "reward_signals: {gail: {}}", ["error 7: gail lacks demo_path."]),
        (
            "max_steps: 5000",
            "behavioral_cloning: {demo_path: a.demo}",
            ["error 7: The demonstration a.demo is missing."],
        ),
        ("behaviors:", "engine: {}\nbehaviors:", ["error 1: engine is not known in the file."]),
        ("behaviors:", "env_settings: {num_env: 2}\nbehaviors:", ["error 1: num_env is not known in env_settings."]),
        ("behaviors:", "checkpoint_settings: {inference: true}\nbehaviors:", ["error 1: inference is set."]),
        (
            "behaviors:",
            "torch_settings: {divice: cpu}\nbehaviors:",
            ["warning 1: divice is not known in torch_settings."],
        ),
    ],
)
def test_errors_have_their_lines(write, old, new, found):
    text = BALL.replace(old, new).replace("summary_freq: 1000", "summary_freq: 500")
    found_here = findings(write, text)
    assert found[0] in found_here, found_here


CURRICULUM = """environment_parameters:
  mass:
    curriculum:
      - name: light
        completion_criteria:
          behavior: Ball
          measure: progress
          threshold: 0.1
        value: 1
      - name: heavy
        value: {sampler_type: uniform, sampler_parameters: {min_value: 1, max_value: 2}}
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", []),
        ("threshold: 0.1", "threshold: 2", ["error 16: threshold is 2."]),
        ("behavior: Ball", "behavior: Bal", ["error 14: There is no behavior Bal."]),
        ("name: light", "nam: light", ["error 12: lesson lacks name.", "error 12: nam is not known in lesson."]),
        ("max_value: 2", "max_value: 0", ["error 19: min_value 1 is more than max_value 0."]),
        ("sampler_type: uniform", "sampler_type: unifrom", ["error 19: sampler_type is 'unifrom'."]),
        ("    curriculum:", "    speed: 1\n    curriculum:", ["error 11: speed is not known beside curriculum."]),
        ("        value: 1", "        value: light", ["error 17: value is 'light'."]),
    ],
)
def test_parameters_of_the_environment(write, old, new, found):
    assert sorted(findings(write, BALL + CURRICULUM.replace(old, new, 1))) == sorted(found)


def test_the_last_lesson_and_default_settings(write):
    text = BALL + CURRICULUM.replace(
        "      - name: heavy", "      - name: heavy\n        completion_criteria: {behavior: Ball}"
    )
    assert findings(write, text) == ["warning 19: The last lesson, 'heavy', has completion_criteria."]
    text = "default_settings: {trainer_type: sac, hyperparameters: {batch_size: 32}}\n" + BALL
    assert findings(write, text) == ["error 4: Ball is trained by ppo, but default_settings are those of sac."]
    brains = ["Ball", "Pall"]
    assert findings(write, BALL, brains=brains) == ["error 1: The behavior Pall is not in the file."]
    assert findings(write, "default_settings: {max_steps: 20000}\n", brains=brains) == [
        "warning 1: summary_freq 50000 is more than max_steps 20000."
    ]


def test_hyperparameters_of_a_job_override_a_behavior(write):
    report = trainer_config.check(
        write(BALL), trainer="1.1.0", hyperparameters={"batch_size": 6400, "hidden_units": 0, "lesson": 1, "tau": 0.1}
    )
    assert [(one.place, one.what) for one in report.errors] == [
        ("hyperparameter hidden_units", "hidden_units is 0."),
        ("hyperparameter lesson", "lesson is not a hyperparameter of this version."),
        ("hyperparameter tau", "tau is no hyperparameter of ppo."),
        ("trainer_config.yaml:6", "batch_size 6400 is more than buffer_size 640."),
    ]
    report = trainer_config.check(write(BALL), trainer="1.1.0", hyperparameters={"memory_size": "32", "max_steps": 900})
    assert report.ok and report.brains[0].settings["network_settings"] == {"memory": {"memory_size": 32}}
    assert report.brains[0].settings["max_steps"] == 900


OLD = {"beta": 0.01, "num_epoch": 3, "hidden_units": 32, "use_recurrent": True, "memory_size": 16, "sequence_length": 8}


def test_a_config_of_0_11_is_offered_as_behaviors(write, parts):
    config = {"default": parts.PPO, "Ball": OLD | {"learning_rate_schedule": "constant"}}
    brain = Brain("Ball", 4, 1, (), "continuous", (2,), 5)
    (error,) = trainer_config.check(write(config), [brain], trainer="1.1.0").errors
    assert error.what == "It is in the format of ML-Agents 0.16 and earlier (default: and a section for each brain)."
    assert error.todo.startswith("1.1.0 reads behaviors:, and its max_steps counts the steps of every agent")
    found = yaml.safe_load(error.text)["behaviors"]["Ball"]
    assert found["network_settings"]["memory"] == {"memory_size": 16, "sequence_length": 8}
    assert (found["max_steps"], found["summary_freq"]) == (5 * parts.PPO["max_steps"], 5 * parts.PPO["summary_freq"])
    assert found["hyperparameters"]["beta_schedule"] == "linear"
    assert "multiplied by its 5 agents" in error.text
    assert trainer_config.check(write(error.text), [brain], trainer="1.1.0").findings == ()


def test_sac_and_imitation_are_converted(parts):
    sac = parts.SAC | {"train_interval": 4, "num_update": 2, "reward_signals": {"curiosity": {"encoding_size": 8}}}
    text = trainer_config.convert_sections({"default": {}, "Ball": sac, "Alias": "Ball"}, {"Ball": 10})
    found = yaml.safe_load(text)["behaviors"]
    assert found["Ball"]["hyperparameters"]["steps_per_update"] == 20
    assert found["Alias"]["hyperparameters"]["steps_per_update"] == 24  # 12 agents are assumed
    assert found["Ball"]["reward_signals"] == {"curiosity": {"network_settings": {"hidden_units": 8}}}
    (cloned,) = yaml.safe_load(trainer_config.convert_sections({"default": {}, "Ball": parts.BC}))["behaviors"].values()
    assert cloned["trainer_type"] == "ppo" and cloned["behavioral_cloning"] == {
        "demo_path": "Ball.demo",
        "strength": 1.0,
    }


def test_demonstrations_say_which_trainer_reads_them(write, parts):
    later = BALL + "    behavioral_cloning: {demo_path: Ball.demo}\n"
    earlier = {"default": parts.PPO | {"pretraining": {"demo_path": "Ball.demo", "strength": 1.0, "steps": 100}}}
    brain = Brain("Ball", 4, 1, (), "continuous", (2,), 5)
    for content, fine, wrong in (
        (parts.demo_v1(), "1.1.0", "recorded with ML-Agents 0.12 or later, which the trainer 1.1.0 may read"),
        (parts.demo_v1(spec=False), "1.1.0", "recorded with ML-Agents 0.12 or later, which the trainer 1.1.0 may read"),
        (parts.demo(), "0.11.0", "recorded with ML-Agents 0.11 or earlier, which only the trainer 0.11.0 reads"),
    ):
        for trainer, config in (("1.1.0", later), ("0.11.0", earlier)):
            path = write(config)
            path.with_name("Ball.demo").write_bytes(content)
            report = trainer_config.check(path, [brain], trainer=trainer)
            expected = [] if trainer == fine else [f"Ball.demo is {wrong}."]
            assert [one.what for one in report.errors] == expected
            notes = [one.todo for one in report.findings if one.level == "note" and "Ball.demo" in one.what]
            assert notes == ["Observations and actions are those of brain Ball."] * (trainer == fine)
    write(parts.demo_v1(nan=[5]), "Ball.demo")
    assert "error 9: Ball.demo is unusable: a step contains infinite values or NaN." in findings(write, later)
    write(parts.demo_v1(observations=(3,)), "Ball.demo")
    assert "error 9: Ball.demo holds 3 observations, but brain Ball has 4 observations." in findings(
        write, later, brains=[brain]
    )


NAMES = sorted({key for name in behaviors.KEYS for key in behaviors.path_of(name)} | set(behaviors.FILE_KEYS))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "ppo", "sac", "1e3", "Ball", "uniform"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "Ball", 3]), inner, max_size=4)
    ),
    max_leaves=12,
)
FILES = st.dictionaries(st.sampled_from([*behaviors.FILE_KEYS, "default", 3]), VALUES, max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=FILES, inner=VALUES)
def test_no_file_breaks_the_check(write, content, inner):
    for config in (content, {"behaviors": {"Ball": inner}}, {"environment_parameters": {"mass": inner}} | content):
        report = trainer_config.check(write(config), ["Ball"], trainer="1.1.0")
        assert report.verdict and all(isinstance(one.line, int) or one.line is None for one in report.findings)


def test_hyperparameters_may_be_those_of_the_jobs_trainer_type(write):
    text = "behaviors:\n  Ball:\n    hyperparameters:\n      batch_size: 64\n"
    assert findings(write, text) == ["error 3: hyperparameters lack a trainer_type."]
    assert not [found for found in findings(write, text, hyperparameters={"trainer_type": "sac"}) if "error" in found]


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ("cpu", []),
        ("null", []),
        ("cuda:0", ["warning 10: device is 'cuda:0'."]),
        ("gpu", ["error 10: device is 'gpu'."]),
    ],
)
def test_the_device_is_one_that_pytorch_has(write, device, found):
    assert findings(write, f"{BALL}torch_settings:\n  device: {device}\n") == found


@pytest.mark.parametrize(
    "config",
    [
        "default: {trainer: ppo}\nBall: {max_steps: 5.0e4, batch_size: 64, buffer_size: 640}\n",
        "default: {trainer: sac, buffer_init_steps: 0}\n",
        "default: {trainer: ppo, use_recurrent: true, sequence_length: 8}\nBall: {use_recurrent: false}\n",
    ],
)
def test_a_config_of_0_11_without_a_network_is_converted(write, config):
    report = trainer_config.check(write(config), ["Ball"], trainer="1.1.0")
    assert [finding.level for finding in report.findings] == ["error"]
    assert "default_settings:" in report.findings[0].text
