"""What is wrong with a trainer config is named, with its line and what to do."""

import math
import time

import pytest
import yaml

from mlagents_check import trainer_config
from mlagents_check.trainer_config import keys
from mlagents_check.unity_build import Brain


def found(report, level="error"):
    return [finding.what for finding in report.findings if finding.level == level]


def check(write, settings, **more):
    more.setdefault("brains", ["Ball"])
    return trainer_config.check(write(settings), **more)


@pytest.mark.parametrize("trainer", ["PPO", "SAC"])
def test_good_config(write, parts, trainer):
    report = check(write, {"default": getattr(parts, trainer), "Ball": {}})
    assert report.findings == () and report.verdict == "The trainer config is ready."
    (brain,) = report.brains
    assert (brain.name, brain.section, brain.trainer) == ("Ball", "Ball", trainer.lower())
    assert dict(brain.settings) == getattr(parts, trainer)
    assert set(brain.origins.values()) == {"default"}


def test_brain_without_a_section_uses_default_with_a_note(write, parts):
    report = check(write, {"default": parts.PPO})
    assert report.ok and found(report, "note") == ["Ball has no section: it is trained with default:."]
    assert report.brains[0].section == "default"


def test_section_with_a_similar_name_is_a_warning(write, parts):
    report = check(write, {"default": parts.PPO, "Bal": {}})
    (finding,) = report.warnings
    assert finding.what.startswith("Ball has no section") and finding.todo == "Is it misspelt as Bal?"
    assert found(report, "note") == ["No brain of the build uses the section Bal."]


def test_section_wins_over_default_and_hyperparameters_over_both(write, parts):
    config = {"default": parts.PPO, "Ball": "Family", "Family": {"batch_size": 32, "beta": 0.01}}
    hyperparameters = {
        "beta": "0.02",
        "reward_signals.extrinsic.gamma": "0.9",
        "max_steps": "5e3",
        "normalize": '"true"',
    }
    (brain,) = check(write, config, hyperparameters=hyperparameters).brains
    assert brain.section == "Family"
    assert (brain.settings["batch_size"], brain.origins["batch_size"]) == (32, "Family")
    assert (brain.settings["beta"], brain.origins["beta"]) == (0.02, "hyperparameter")
    assert brain.settings["reward_signals"] == {"extrinsic": {"strength": 1.0, "gamma": 0.9}}
    assert brain.settings["max_steps"] == 5000 and brain.settings["normalize"] is True
    assert brain.origins["hidden_units"] == "default"


def test_without_brains_each_section_is_checked(write, parts):
    config = {"default": parts.PPO, "A": {"num_epoch": 0}, "B": {"num_epoch": 3}}
    report = trainer_config.check(write(config))
    assert [brain.name for brain in report.brains] == ["A", "B"]
    assert [(finding.line, finding.what) for finding in report.errors] == [(24, "num_epoch is 0.")]


def test_sections_of_other_brains_are_not_checked(write, parts):
    config = {"default": parts.PPO, "Ball": {}, "Wall": {"batch_size": "x"}, "Pit": None}
    report = check(write, config)
    assert report.ok and found(report, "note") == ["No brain of the build uses the sections Wall, Pit."]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "It is empty."),
        ("- a\n- b\n", None, "It holds no sections."),
        ("Ball:\n  x: 1\n", None, "The section default: is missing."),
        ("# c\ndefault:\nBall: {}\n", 2, "The section default: holds no settings."),
        ("default: {}\nbehaviors:\n  Ball: {}\n", 2, "It is in the format of ML-Agents 0.17 and later (behaviors:)."),
        ("default:\n  a: [1\nb: 2\n", 3, "It can't be read as YAML: "),
        ("default:\n\tx: 1\n", 2, "It can't be read as YAML: "),
        ("a: 1\n---\nb: 2\n", 2, "It can't be read as YAML: "),
        ("default: !!python/object:os.system {}\n", 1, "It can't be read as YAML: "),
        ("default: &a\n  x: *a\n", None, "It can't be read as YAML: the anchor a contains itself."),
        ("default: {? [a]: 1}\n", None, "It can't be read as YAML: "),
        ("default: \x00\n", None, "It can't be read as YAML: "),
    ],
)
def test_unreadable(write, text, line, message):
    (finding,) = trainer_config.check(write(text)).errors
    assert finding.what.startswith(message)
    assert line is None or finding.line == line


def test_missing_file(tmp_path):
    (finding,) = trainer_config.check(tmp_path / "no.yaml").errors
    assert finding.what == f"{tmp_path}/no.yaml can't be read (No such file or directory)."


def test_not_utf8(write):
    assert found(trainer_config.check(write(b"default: \xff\xfe"))) == [
        "It can't be read as YAML: it is not UTF-8 text."
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("Pall", "The section Ball points to 'Pall', which is not a section."),
        (None, "The section Ball is empty."),
        (3, "The section Ball points to 3, which is not a section."),
        ([1], "The section Ball points to [1], which is not a section."),
        ("Ball", "The section Ball points to itself."),
        ("Ring", "The section Ring points to itself."),
    ],
)
def test_section_that_leads_nowhere(write, parts, section, message):
    report = check(write, {"default": parts.PPO, "Ball": section, "Ring": "Ball"})
    assert found(report) == [message]


def test_lines_of_findings(write, parts):
    text = yaml.safe_dump({"default": parts.PPO}, sort_keys=False) + "Ball:\n  # why\n  num_epoch: 0\n  betta: 1\n"
    report = check(write, text)
    assert [(finding.what, finding.place) for finding in report.findings] == [
        ("num_epoch is 0.", "trainer_config.yaml:25"),
        ("betta is not known.", "trainer_config.yaml:26"),
    ]
    assert report.warnings[0].todo == "mlagents-learn ignores it. Did you mean beta?"


def test_missing_key_suggests_a_misspelt_one(write, parts):
    report = check(write, {"default": parts.changed("ppo", ("num_epoch", parts.GONE), ("num_epochs", 3)), "Ball": {}})
    assert report.errors[0].what == "num_epoch is missing in section Ball and in default."
    assert report.errors[0].todo.endswith("Is it misspelt as num_epochs?")


def test_repeated_keys(write, parts):
    report = check(write, yaml.safe_dump({"default": parts.PPO}) + "Ball:\n  beta: 0.1\n  beta: 0.2\n")
    assert [(f.what, f.line) for f in report.warnings] == [("Ball.beta appears twice.", 25)]


def test_merge_keys_are_followed(write, parts):
    text = yaml.safe_dump({"default": parts.PPO}) + "A: &a\n  num_epoch: 0\nBall:\n  <<: *a\n  beta: 0.1\n"
    report = check(write, text)
    assert [(f.what, f.line) for f in report.errors] == [("num_epoch is 0.", 24)]
    report = check(write, text.replace("beta: 0.1", "num_epoch: 3"))
    assert [finding.level for finding in report.findings] == ["note"]  # what is set anew does not stand twice


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        (("learning_rate", "1e-4"), None, None),  # text to YAML, but the trainer converts it
        (("learning_rate", "fast"), "error", "learning_rate is 'fast'."),
        (("batch_size", "16"), "error", "batch_size is '16'."),
        (("batch_size", 16.0), "error", "batch_size is 16.0."),
        (("batch_size", 0), "warning", "batch_size is 0."),
        (("batch_size", 100), "warning", "batch_size 100 is more than buffer_size 64."),  # 6 agents fill it at once
        (("batch_size", 1000), "error", "batch_size 1000 is more than buffer_size 64."),
        (("buffer_size", 50), "note", "buffer_size 50 is not a multiple of batch_size 16."),
        (("normalize", "false"), "warning", "normalize is 'false', which counts as true."),
        (("hidden_units", 8.7), "warning", "hidden_units is 8.7."),
        (("hidden_units", True), "warning", "hidden_units is True."),
        (("lambd", 2), "warning", "lambd is 2."),
        (("max_steps", 0), "error", "max_steps is 0."),
        (("summary_freq", 0), "error", "summary_freq is 0, which mlagents-learn divides by."),
        (("summary_freq", 1001), "warning", "summary_freq 1001 is more than max_steps 1000."),
        (("trainer", "PPO"), "error", "trainer is 'PPO'."),
        (("trainer", "offline-bc"), "error", "trainer is 'offline-bc'."),
        (("vis_encode_type", "resnett"), "error", "vis_encode_type is 'resnett'."),
        (("learning_rate_schedule", "cosine"), "error", "learning_rate_schedule is 'cosine'."),
        (("model_path", "x"), "warning", "model_path is set."),
        (("reward_signals", {}), "error", "reward_signals names no signal."),
        (("reward_signals", None), "error", "reward_signals is empty."),
        (("reward_signals.extrinsic.gama", 1), "error", "extrinsic has no setting gama."),
        (("reward_signals.extrinsic.strength", "1"), "error", "strength is '1'."),
        (("reward_signals.curiousity", {}), "error", "curiousity is no reward signal."),
        (("reward_signals.curiosity", {"strength": 1, "gamma": 0.9}), "error", "curiosity lacks encoding_size."),
        (("pretraining", {"strength": 1}), "error", "pretraining lacks demo_path."),
        (("max_steps", "1e999"), "error", "max_steps is '1e999'."),
        (("max_steps", 1e30), "warning", "max_steps is 1e+30."),
        *(((key, math.inf), "error", f"{key} is inf.") for key in ("max_steps", "learning_rate", "beta", "lambd")),
        (("beta", 1e30), "error", "beta is 1e+30."),
        (("lambd", 1e30), "error", "lambd is 1e+30."),
        (("epsilon", -math.inf), "error", "epsilon is -inf."),
        (("time_horizon", math.inf), None, ""),
        (("reward_signals.extrinsic.strength", 1e30), "error", "strength is 1e+30."),
        (("reward_signals.extrinsic.strength", 0), "warning", "Every reward signal has strength 0."),
        (
            ("reward_signals.curiosity", {"strength": 0, "gamma": 0.9, "encoding_size": 8}),
            *("warning", "curiosity has strength 0."),
        ),
    ],
)
def test_one_setting(write, parts, change, level, message):
    report = check(write, {"default": parts.changed("ppo", change), "Ball": {}})
    if level is None:
        assert report.findings == ()
    else:
        assert (report.findings[0].level, report.findings[0].what) == (level, message)
        assert report.findings[0].line


@pytest.mark.parametrize(
    ("trainer", "memory", "error"),
    [
        ("ppo", 16, []),
        ("ppo", 20, []),
        ("ppo", 10, ["memory_size is 10."]),
        ("ppo", 0, ["memory_size is 0."]),
        ("ppo", "x", ["memory_size is 'x'."]),
        ("sac", 24, []),
        ("sac", 20, ["memory_size is 20."]),
    ],
)
def test_recurrent_memory(write, parts, trainer, memory, error):
    plain = parts.changed(trainer, ("memory_size", memory))
    assert found(check(write, {"default": plain, "Ball": {}})) == []  # not read
    assert found(check(write, {"default": plain, "Ball": {"use_recurrent": True}})) == error


def test_sac_has_its_own_rules(write, parts):
    setting = ("reward_signals.reward_signal_num_update", 2)
    assert check(write, {"default": parts.changed("sac", setting), "Ball": {}}).findings == ()
    report = check(write, {"default": parts.changed("ppo", setting), "Ball": {}})
    assert found(report) == ["reward_signal_num_update is no reward signal."]
    demo = {"strength": 1, "demo_path": "Ball.demo", "steps": 9, "samples_per_update": 5}
    write(parts.demo(), "Ball.demo")
    report = check(write, {"default": parts.changed("sac", ("pretraining", demo)), "Ball": {}})
    assert found(report) == ["samples_per_update is set for SAC."]
    assert check(write, {"default": parts.changed("ppo", ("pretraining", demo)), "Ball": {}}).ok
    rare = parts.changed("sac", ("train_interval", 1002))
    assert found(check(write, {"default": rare, "Ball": {}})) == [
        "No step up to max_steps 1000 is a multiple of train_interval 1002."
    ]
    assert check(write, {"default": parts.changed("sac", ("train_interval", 1001)), "Ball": {}}).ok
    late = parts.changed("sac", ("buffer_init_steps", 1000))
    assert found(check(write, {"default": late, "Ball": {}})) == [
        "max_steps 1000 is not more than buffer_init_steps 1000."
    ]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("'16'", "The quotes make it text: remove them."),
        ("1e2", "YAML reads a number like 1e2 as text: write 100."),
        ("5.0e4", "YAML reads a number like 5.0e4 as text: write 50000."),
        ("1e-7", "YAML reads a number like 1e-7 as text: write 1.0e-07."),
        ("many", "It must be a number."),
        ("[", None),
    ],
)
def test_numbers_that_yaml_reads_as_text(write, parts, written, hint):
    text = yaml.safe_dump({"default": parts.PPO}) + f"Ball:\n  buffer_size: {written}\n"
    report = check(write, text)
    (finding,) = report.errors
    assert finding.todo.endswith(hint or "Fix it there.")
    if hint and "write " in hint:
        assert isinstance(yaml.safe_load(hint.rpartition("write ")[2].rstrip(".")), (int, float))


def test_infinite_buffer_size(write, parts):
    report = check(write, {"default": parts.PPO, "Ball": {"buffer_size": float("inf")}})
    assert found(report) == ["buffer_size is inf."]
    assert report.errors[0].todo == "It is never full, so nothing is learned."


@pytest.mark.parametrize("size", [0, -1])  # the trainer works with both
def test_the_encoding_of_vail(write, parts, size):
    write(parts.demo(), "Ball.demo")
    gail = {"strength": 1, "gamma": 0.9, "demo_path": "Ball.demo", "use_vail": True, "encoding_size": size}
    report = check(write, {"default": parts.changed("ppo", ("reward_signals.gail", gail)), "Ball": {}})
    assert report.ok and f"encoding_size is {size}." in found(report, "warning")


def test_infinite_and_huge_values_of_sac(write, parts):
    huge = {"tau": 1e9, "init_entcoef": math.inf, "train_interval": math.inf}
    assert found(check(write, {"default": parts.SAC, "Ball": huge})) == [
        "init_entcoef is inf.",
        "tau is 1000000000.0.",
        "train_interval is inf.",
    ]
    assert found(check(write, {"default": parts.SAC, "Ball": {"buffer_size": math.inf}})) == []  # it is never emptied


def test_pretraining_over_before_the_first_update(write, parts):
    write(parts.demo(), "Ball.demo")
    pretraining = {"strength": 0, "demo_path": "Ball.demo", "steps": 133}
    ball = Brain("Ball", 4, 1, (), "continuous", (2,), 1)
    settings = {"default": {**parts.PPO, "pretraining": pretraining}, "Ball": {}}
    report = check(write, settings, brains=[ball])
    assert found(report, "warning") == [
        "pretraining may end before the first update: its steps are 133.",
        "pretraining has strength 0.",
    ]
    pretraining |= {"strength": 1, "steps": 134}
    assert found(check(write, settings, brains=[ball]), "warning") == []
    settings["default"] = {**parts.SAC, "buffer_init_steps": 500, "pretraining": pretraining}
    assert found(check(write, settings, brains=[ball]), "warning") == [
        "pretraining may end before the first update: its steps are 134."
    ]


def test_pretraining_needs_a_learning_rate_that_is_a_number(write, parts):
    write(parts.demo(), "Ball.demo")
    pretraining = ("pretraining", {"strength": 1, "demo_path": "Ball.demo", "steps": 9})
    settings = parts.changed("ppo", pretraining, ("learning_rate", "3e-4"))
    report = check(write, {"default": settings, "Ball": {}})
    assert found(report) == ["learning_rate is '3e-4', a text."]
    assert report.errors[0].todo.endswith("write 1.0e-4.")


def test_cameras_too_small_for_the_encoder(write, parts):
    brain = Brain("Ball", 0, 1, ((30, 84, 3),), "discrete", (3,), 1)
    config = {"default": parts.PPO, "Ball": {"vis_encode_type": "nature_cnn"}}
    report = check(write, config, brains=[brain])
    assert found(report) == ["The encoder nature_cnn can't read an image of 84 x 30."]
    config["Ball"]["vis_encode_type"] = "resnet"
    assert check(write, config, brains=[brain]).findings == ()


@pytest.mark.parametrize("key", keys.ELSEWHERE)
def test_a_key_of_another_release_is_explained(write, parts, key):
    row = keys.ELSEWHERE[key]
    report = check(write, {"default": parts.PPO, "Ball": {key: 1}})
    how = "set by mlagents-learn here" if key == "keep_checkpoints" else "ignored"
    found = {finding.what: finding.todo for finding in report.warnings}
    assert found.pop(f"{key} is from ML-Agents {row.releases}, and {how}.") == f"{row.todo}."
    assert [message.startswith(f"{key} is from ML-Agents {row.releases}: there max_steps") for message in found] == (
        [True] if row.counts_each_agent else []
    )
    assert row.key in {"", *(name.rpartition(".")[2] for name in keys.RULES)} and key not in keys.KNOWN


def test_a_finding_has_no_control_characters(write, parts):
    report = check(write, {"default": parts.PPO, "Ball": {"\x1b[2Jkey": 1}})
    assert [str(finding).partition(": ")[2] for finding in report.warnings] == [
        "\\x1b[2Jkey is not known. mlagents-learn ignores it."
    ]


def test_steps_counted_per_agent_are_reported_from_0_14_on():
    assert [key for key, row in keys.ELSEWHERE.items() if not row.counts_each_agent] == [
        *("gamma", "use_curiosity", "curiosity_strength", "curiosity_enc_size", "graph_scope", "brain_to_imitate"),
        "behavioral_cloning",
    ]


def test_the_signals_of_0_8_are_converted(write, parts):
    old = parts.changed("ppo", ("reward_signals", parts.GONE)) | {"gamma": 0.99, "use_curiosity": False}
    own = {"gamma": 0.995, "use_curiosity": True, "curiosity_strength": 0.02, "curiosity_enc_size": 256}
    (finding,) = check(write, {"default": old, "Ball": own}).errors
    assert finding.what == "reward_signals is missing in section Ball and in default."
    extrinsic = {"strength": 1.0, "gamma": 0.995}
    curiosity = {"strength": 0.02, "gamma": 0.995, "encoding_size": 256}
    assert yaml.safe_load(finding.text) == {"reward_signals": {"extrinsic": extrinsic, "curiosity": curiosity}}
    (finding,) = check(write, {"default": old, "Ball": {}}).errors
    assert yaml.safe_load(finding.text) == {"reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.99}}}
    assert check(write, {"default": old, "Ball": yaml.safe_load(finding.text)}).ok
    (finding,) = check(write, {"default": parts.changed("ppo", ("reward_signals", parts.GONE)), "Ball": {}}).errors
    assert finding.todo.endswith("can't start without it. For the environment's own reward, write:")
    assert yaml.safe_load(finding.text) == {"reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.99}}}


SIGNAL = {"strength": 1.0, "gamma": 0.99}


@pytest.mark.parametrize(
    ("trainer", "gone", "own", "message", "todo"),
    [
        (
            "ppo",
            (),
            {"trainer": "imitation"},
            "trainer is 'imitation', which ML-Agents 0.3 to 0.5 have.",
            "Record a demon",
        ),
        ("ppo", (), {"trainer": "online_bc"}, "trainer is 'online_bc', which ML-Agents 0.6 to 0.10 have.", "Record a"),
        ("ppo", (), {"trainer": "poca"}, "trainer is 'poca', which ML-Agents 0.25 and later have.", "Write ppo, "),
        (
            "ppo",
            (),
            {"vis_encode_type": "match3"},
            "vis_encode_type is 'match3', which ML-Agents 0.20 and ",
            "Write simp",
        ),
        (
            "ppo",
            (),
            {"reward_signals": {"rnd": SIGNAL}},
            "rnd is from ML-Agents 0.21 and later, and no rew",
            "Write curio",
        ),
        (
            *("ppo", (), {"reward_signals": {"extrinsic": {**SIGNAL, "network_settings": {}}}}),
            *("network_settings is from ML-Agents 0.25 and later, and an error here.", "Write its hidden_units as enc"),
        ),
        (
            *(
                "sac",
                ("num_update",),
                {"steps_per_update": 10},
                "num_update is missing in section Ball and in default.",
            ),
            "The sac trainer can't start without it. ML-Agents 0.16 and later use steps_per_update instead. Write num_",
        ),
        (
            *(
                "ppo",
                ("batch_size",),
                {"hyperparameters": {"batch_size": 5}},
                "batch_size is missing in section Ball and",
            ),
            "The ppo trainer can't start without it. ML-Agents 0.17 and later use hyperparameters instead. Write its k",
        ),
    ],
)
def test_values_and_missing_keys_of_other_releases(write, parts, trainer, gone, own, message, todo):
    settings = parts.changed(trainer, *((key, parts.GONE) for key in gone))
    finding = check(write, {"default": settings, "Ball": own}).errors[0]
    assert (finding.what[: len(message)], finding.todo[: len(todo)]) == (message, todo)


def test_keys_of_0_9_0_in_reward_signals(write, parts):
    epochs = {**SIGNAL, "num_epoch": 3}
    signals = {"extrinsic": epochs, "curiosity": {**epochs, "encoding_size": 8}}
    signals["gail"] = {**epochs, "samples_per_update": 0, "demo_path": "Ball.demo"}
    write(parts.demo(), "Ball.demo")
    errors = check(write, {"default": parts.PPO | {"batch_size": 8}, "Ball": {"reward_signals": signals}}).errors
    epochs_here = "Delete it: 0.11.0 trains the signal with the policy, as often as num_epoch of the section says."
    assert [(error.what, error.todo) for error in errors] == [
        ("extrinsic has no setting num_epoch.", "mlagents-learn fails on it."),
        ("num_epoch is from ML-Agents 0.9.0, and an error here.", epochs_here),
        ("num_epoch is from ML-Agents 0.9.0, and an error here.", epochs_here),
        (
            "samples_per_update is from ML-Agents 0.9.0, and an error here.",
            "Delete it: 0.11.0 trains gail on every batch of the policy.",
        ),
    ]


def test_top_level_keys_of_other_releases_are_not_sections(write, parts):
    config = {"default": parts.PPO, "Ball": {}} | {key: {"x": 1} for key in keys.FILE_KEYS}
    report = trainer_config.check(write(config))
    assert found(report, "warning") == [
        f"{name} is from ML-Agents {row.releases}, and ignored." for name, row in keys.FILE_KEYS.items()
    ]
    assert report.ok and [brain.name for brain in report.brains] == ["Ball"]


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"max_step": 3}, "max_step is not a hyperparameter."),
        ({"num_envs": "2"}, "num_envs is not a hyperparameter."),
        ({"max_steps": "many"}, "max_steps is 'many'."),
        ({"max_steps": "0.5"}, "max_steps is '0.5'."),
        ({"batch_size": "0"}, "batch_size is 0."),
        ({"lambd": 1.5}, "lambd is 1.5."),
        ({"reward_signals.gail.gama": 1}, "reward_signals.gail.gama is not a hyperparameter."),
        ({"max_steps": 0}, "max_steps is 0."),
        ({"normalize": "yes"}, "normalize is 'yes'."),
        ({"num-envs": "0"}, "num-envs is 0."),
        ({"num-envs": "some"}, "num-envs is 'some'."),
        ({"run-id": "a/b"}, "run-id is 'a/b'."),
        ({"run-id": "-b"}, "run-id is '-b'."),
        ({"run-id": "x" * 61}, f"run-id is '{'x' * 61}'."),
        ({"run-id": ""}, "run-id is ''."),
        ({"env": ""}, "env is ''."),
        ({"max_steps": "3e9"}, "max_steps is '3e9'."),
        ({"env-args": "a\0"}, "env-args is 'a\\x00'."),
        ({"slow": "1"}, "slow is '1'."),
        ({"stop-at-reward": "high"}, "stop-at-reward is 'high'."),
        ({"trainer": "dqn"}, "trainer is 'dqn'."),
    ],
)
def test_wrong_hyperparameters(write, parts, hyperparameters, message):
    report = check(write, {"default": parts.PPO, "Ball": {}}, hyperparameters=hyperparameters)
    assert found(report) == [message]
    assert report.errors[0].path == f"hyperparameter {next(iter(hyperparameters))}"


def test_good_hyperparameters(write, parts):
    hyperparameters = {
        "run-id": '"first"',
        "num-envs": "auto",
        "base-port": 5005,
        "no-graphics": True,
        "stop-at-reward": "Ball=80",
    }
    hyperparameters |= {
        "sagemaker_program": "x",
        "_tuning_objective_metric": "y",
        "learning_rate": "1e-3",
        "env-args": "--agents 4",
    }
    assert check(write, {"default": parts.PPO, "Ball": {}}, hyperparameters=hyperparameters).findings == ()
    report = check(write, {"default": parts.PPO, "Ball": {}}, hyperparameters={"max_step": 3})
    assert report.errors[0].todo == "The job would fail immediately. Did you mean max_steps?"


def test_check_folder_uses_the_same_file_as_the_job(write, parts, tmp_path):
    report = trainer_config.check_folder(tmp_path, brains=["3DBall"])
    assert report.ok and report.path.name == "trainer_config.yaml" and report.path.parent.name == "v0_11"
    assert any(notes.startswith("There is no trainer_config.yaml in ") for notes in found(report, "note"))
    write({"default": parts.PPO})
    assert trainer_config.check_folder(tmp_path).path == tmp_path / "trainer_config.yaml"
    write({"default": parts.SAC}, "config/sac.yaml")
    hyperparameters = {"trainer-config": "config/sac.yaml"}
    assert trainer_config.check_folder(tmp_path, hyperparameters=hyperparameters).brains[0].trainer == "sac"
    hyperparameters = {"trainer-config": "no.yaml"}
    assert "can't be read" in trainer_config.check_folder(tmp_path, hyperparameters=hyperparameters).errors[0].what


def test_large_config_is_checked_quickly(write, parts):
    config = {"default": parts.PPO} | {f"Brain{number}": parts.PPO for number in range(30)}
    path = write(config)
    start = time.process_time()  # a busy machine must not fail this
    assert trainer_config.check(path).ok
    assert time.process_time() - start < 0.2
