"""Demonstrations, curricula and samplers: what mlagents-learn would stumble over is named."""

import itertools
import json
import random
import subprocess
from pathlib import Path

import pytest
import yaml

from common import ROOT
from mlagents_check import trainer_config
from mlagents_check.trainer_config.demonstrations import check_demonstration, read_demonstration
from mlagents_check.unity_build import Brain

CURRICULUM = {
    "measure": "progress",
    "thresholds": [0.1, 0.3],
    "min_lesson_length": 100,
    "signal_smoothing": True,
    "parameters": {"mass": [1.0, 2.0, 3.0]},
}
SAMPLER = {
    "resampling-interval": 5000,
    "mass": {"sampler-type": "uniform", "min_value": 0.5, "max_value": 10},
    "gravity": {"sampler-type": "multirange_uniform", "intervals": [[7, 10], [15, 20]]},
    "scale": {"sampler-type": "gaussian", "mean": 1, "st_dev": 0.3},
}
RESET = ("mass", "gravity", "scale")


@pytest.fixture
def found(write, parts, tmp_path):
    """Check a folder with a config, and give the findings' texts and places of a level."""

    def check(level="error", settings=None, brains=("Ball",), **hyperparameters):
        write({"default": settings or parts.PPO, "Ball": {}})
        report = trainer_config.check_folder(tmp_path, brains, hyperparameters, RESET)
        assert str(report) and report._repr_html_()
        return [(f.what, f.place) for f in report.findings if f.level == level]

    return check


def test_good_curriculum(write, found):
    write(json.dumps(CURRICULUM), "curricula/Ball.json")
    assert found(curriculum="curricula") == found("warning", curriculum="curricula") == []


@pytest.mark.parametrize(
    ("change", "message", "line"),
    [
        ({"measure": "rewards"}, "measure is 'rewards'.", 2),
        ({"measure": None}, "measure is missing.", None),
        ({"thresholds": None}, "thresholds is missing.", None),
        ({"signal_smoothing": None}, "signal_smoothing is missing.", None),
        ({"parameters": None}, "parameters is missing.", None),
        ({"thresholds": "0.1"}, "thresholds is not a list of numbers.", 3),
        ({"min_lesson_length": 0}, "min_lesson_length is 0.", 7),
        ({"min_lesson_length": 1.5}, "min_lesson_length is 1.5.", 7),
        ({"min_lesson_length": 2.0}, "min_lesson_length is 2.0.", 7),  # it becomes the length of a deque
        ({"min_lesson_length": 2**63}, f"min_lesson_length is {2**63}.", 7),
        ({"parameters": {"mass": [1, 2]}}, "mass has 2 values for 2 thresholds.", 10),
        ({"parameters": {"mass": [1, 2, "3"]}}, "mass is not a list of numbers.", 10),
        ({"parameters": {"mas": [1, 2, 3]}}, "The environment has no reset parameter mas.", 10),
        ({"parameters": [1]}, "parameters holds no settings.", 9),
    ],
)
def test_wrong_curriculum(write, found, change, message, line):
    data = {key: value for key, value in (CURRICULUM | change).items() if value is not None}
    write(json.dumps(data, indent=1), "curricula/Ball.json")
    ((findings, place),) = found(curriculum="curricula")
    assert findings == message and place == "curricula/Ball.json" + (f":{line}" if line else "")


def test_curricula_and_brains(write, found, tmp_path):
    assert found(curriculum="curricula") == [("curricula is not a folder.", "curricula")]
    write(json.dumps(CURRICULUM), "curricula/Bal.json")
    assert [findings for findings, _ in found(curriculum="curricula")] == [
        "The build has no brain Bal.",
        "curricula holds no curriculum for Ball.",
    ]
    (tmp_path / "curricula/Bal.json").unlink()
    write("{", "curricula/Ball.json")
    assert "It is not JSON" in found(curriculum="curricula")[0][0]
    write(b"\xff", "curricula/Ball.json")
    assert found(curriculum="curricula")[0][0] == "It can't be read: it is not UTF-8 text."
    write("[]", "curricula/Ball.json")
    assert found(curriculum="curricula")[0][0] == "It holds no settings."


HOSTILE = [
    "1e999",
    "-1e999",
    "NaN",
    "9" * 400,
    "9" * 5000,
    "[" * 3000 + "]" * 3000,
    "null",
    "[]",
    "{}",
    '"\\ud800"',
    "true",
]
HOSTILE += [
    "[1e999, NaN]",
    '{"mass": [NaN, 1, 1]}',
    '{"mass": [[1], 2, 3]}',
    '{"": null}',
    '"2020-01-01"',
    "\0",
    "-0.0",
]


@pytest.mark.parametrize("key", CURRICULUM)
def test_hostile_lessons_never_raise(write, found, key):
    for value in HOSTILE:
        rest = json.dumps({name: given for name, given in CURRICULUM.items() if name != key})
        write(f'{rest[:-1]}, "{key}": {value}}}', "curricula/Ball.json")
        # What smooths is only asked for its truth, and a lesson may change nothing.
        assert found(curriculum="curricula") or (key, value) == ("parameters", "{}") or key == "signal_smoothing", value


@pytest.mark.parametrize("content", [value for value in HOSTILE if value[0] != "{"], ids=str.__len__)
def test_a_hostile_lesson_file_is_one_error(write, found, content):
    write(content, "curricula/Ball.json")
    ((findings, _),) = found(curriculum="curricula")
    assert findings.startswith(("It holds no settings.", "It holds a value that can't be read.", "It is not JSON: "))


@pytest.mark.parametrize(
    "path", ["resampling-interval", "mass", "mass.sampler-type", "mass.max_value", "gravity.intervals"]
)
def test_hostile_samplers_never_raise(write, found, path):
    *above, last = path.split(".")
    for value in [
        *HOSTILE[:5],
        "null",
        "[]",
        "{}",
        ".inf",
        ".nan",
        "2020-01-01",
        "[[1, .inf]]",
        "[[{}, 1]]",
        "!!set {a}",
    ]:
        data = yaml.safe_load(yaml.safe_dump(SAMPLER))
        (data[above[0]] if above else data)[last] = "HERE"
        write(yaml.safe_dump(data).replace("HERE", value), "sampler.yaml")
        assert found(sampler="sampler.yaml"), value


def test_good_sampler(write, found):
    write(SAMPLER, "sampler.yaml")
    assert found(sampler="sampler.yaml") == found("warning", sampler="sampler.yaml") == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("resampling-interval", 0, "resampling-interval is 0."),
        ("resampling-interval", 2.5, "resampling-interval is 2.5."),
        ("resampling-interval", None, "resampling-interval is missing."),
        ("mass", 3, "mass has no sampler-type."),
        ("mass.sampler-type", "unifrom", "'unifrom' is not a sampler-type."),
        ("mass.max_value", None, "The uniform sampler of mass lacks max_value."),
        ("mass.max_value", "ten", "max_value of mass is 'ten'."),
        ("mass.maximum", 3, "The uniform sampler has no setting maximum."),
        ("gravity.intervals", [], "intervals of gravity is not a list of pairs."),
        ("gravity.intervals", [[1, 2, 3]], "intervals of gravity is not a list of pairs."),
        ("gravity.intervals", [[1, 1]], "The intervals of gravity have no width."),
        ("gravity.intervals", [[-1.7e308, 1.7e308]], "The intervals of gravity have a width too large to compute."),
        ("gravity.intervals", [[0, 1e308], [0, 1e308]], "The intervals of gravity have a width too large to compute."),
        (
            "mass",
            {"sampler-type": "uniform", "min_value": -1.7e308, "max_value": 1.7e308},
            "min_value and max_value of mass are too far apart for a floating-point number.",
        ),
        ("scale.st_dev", -1, "st_dev of scale is -1."),
        ("wind", {"sampler-type": "gaussian", "mean": 1, "st_dev": 1}, "The environment has no reset parameter wind."),
    ],
)
def test_wrong_sampler(write, found, path, value, message):
    data = yaml.safe_load(yaml.safe_dump(SAMPLER))
    *above, last = path.split(".")
    inner = data[above[0]] if above else data
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    write(data, "sampler.yaml")
    assert [findings for findings, _ in found(sampler="sampler.yaml")] == [message]


def test_a_seed_of_a_sampler_is_replaced(write, found):
    write({**SAMPLER, "mass": {**SAMPLER["mass"], "seed": 7}}, "sampler.yaml")
    assert found(sampler="sampler.yaml") == []
    assert [findings for findings, _ in found("warning", sampler="sampler.yaml")] == [
        "The uniform sampler of mass has a seed."
    ]


def test_unreadable_sampler(write, found):
    assert found(sampler="no.yaml")[0][0] == "no.yaml can't be read (FileNotFoundError)."
    write("a: [", "sampler.yaml")
    assert found(sampler="sampler.yaml")[0][0].startswith("It can't be read as YAML")
    write("3", "sampler.yaml")
    assert found(sampler="sampler.yaml")[0][0] == "It holds no settings."


def with_demo(parts, path):
    return parts.BC | {"demo_path": path}


def test_good_demonstration(write, parts, found):
    write(parts.demo(), "demos/Ball.demo")
    for path in ("demos/Ball.demo", "demos"):
        settings = with_demo(parts, path)
        assert found(settings=settings) == found("warning", settings=settings) == []
        assert ("demos/Ball.demo: 30 steps of brain Ball.", "trainer_config.yaml:13") in found(
            "note", settings=settings
        )


def test_similar_paths_are_suggested_for_a_missing_demonstration(write, parts):
    for place in ("Ball.demo", "demos/B.demo", "Ball_Data/deep/C.demo"):
        write(parts.demo(), place)
    (finding,) = trainer_config.check(write({"default": with_demo(parts, "absent.demo"), "Ball": {}})).errors
    assert finding.todo.endswith("Found: Ball.demo, demos/B.demo.")


def test_demonstrations_of_gail_and_pretraining(write, parts, found):
    gail = {"strength": 1, "gamma": 0.9, "demo_path": "a.demo"}
    pretraining = {"strength": 1, "steps": 100, "demo_path": "b.demo"}
    settings = parts.changed("ppo", ("reward_signals.gail", gail), ("pretraining", pretraining))
    assert [findings for findings, _ in found(settings=settings)] == [
        "The demonstration a.demo is missing.",
        "The demonstration b.demo is missing.",
    ]
    write(parts.demo(), "a.demo")
    write(parts.demo(), "b.demo")
    assert found(settings=settings) == []


BRAIN = Brain("Ball", 4, 1, (), "continuous", (2,), 1)
RECORDED = [  # what differs from BRAIN; what is said, and its level for a trainer that wants the very same, or not
    ({}, None, None, None),
    ({"brain": "Other"}, None, None, None),
    ({"observations": 5}, "5 observations, but brain Ball has 4 observations", "error", "error"),
    ({"observations": 2, "stacked": 2}, "2 observations x 2, but brain Ball has 4 observations", "error", None),
    ({"actions": (3,)}, "3 continuous actions, but brain Ball has 2 continuous actions", "error", "error"),
    (
        {"actions": (3, 2), "continuous": False},
        "3 x 2 discrete actions, but brain Ball has 2 continuous actions",
        "error",
        "warning",
    ),
    ({"actions": (3,), "continuous": False}, "3 discrete actions, but brain Ball has 2 continuous", "error", "error"),
    ({"cameras": [(30, 40, 3)]}, "camera 40 x 30 x 3, but brain Ball has no camera", "error", None),
]


@pytest.mark.parametrize(("recorded", "message", "exact", "else_"), RECORDED)
def test_demonstrations_of_another_brain(write, parts, found, recorded, message, exact, else_):
    write(parts.demo(**recorded), "Ball.demo")
    gail = {"strength": 1, "gamma": 0.9, "demo_path": "Ball.demo"}
    for settings, level in ((parts.BC, exact), (parts.changed("ppo", ("reward_signals.gail", gail)), else_)):
        for other in {"error", "warning"} - {level}:
            assert found(other, settings=settings, brains=[BRAIN]) == []
        if level:
            ((findings, place),) = found(level, settings=settings, brains=[BRAIN])
            assert findings.startswith(f"Ball.demo holds {message}") and place.startswith("trainer_config.yaml:")
        else:
            ((findings, _),) = found("note", settings=settings, brains=[BRAIN])
            assert findings == f"Ball.demo: 30 steps of brain {recorded.get('brain', 'Ball')}."


def test_demonstration_without_the_cameras_of_the_brain(write, parts, found):
    brain = Brain("Ball", 4, 1, ((30, 40, 3), (20, 20, 1)), "continuous", (2,), 1)
    write(parts.demo(cameras=[(30, 40, 3)]), "Ball.demo")
    ((findings, _),) = found(settings=parts.BC, brains=[brain])
    assert findings == "Ball.demo holds camera 40 x 30 x 3, but brain Ball has cameras 40 x 30 x 3, 20 x 20 x 1."
    write(parts.demo(cameras=brain.cameras), "Ball.demo")
    assert found(settings=parts.BC, brains=[brain]) == []


def test_demonstrations_in_a_folder_must_match(write, parts, found):
    write(parts.demo(), "demos/a.demo")
    write(parts.demo(observations=5), "demos/b.demo")
    ((findings, _),) = found(settings=with_demo(parts, "demos"))
    assert findings == "demos/b.demo holds 5 observations, but demos/a.demo has 4 observations."


def test_wrong_demonstrations(write, parts, found):
    whole = parts.demo()
    for content, expected in {
        whole[:20]: "Ball.demo is not a demonstration, or damaged.",
        whole[: len(whole) // 2]: "Ball.demo is truncated.",
        whole[:100] + b"\7" * 40 + whole[140:]: "Ball.demo is damaged.",
        parts.demo(later=True): "Ball.demo is recorded with ML-Agents 0.12 or later, which the trainer 1.1.0 may read.",
        parts.demo(header_bytes=20): "Ball.demo is not a demonstration, or damaged.",
        b"": "Ball.demo is not a demonstration, or damaged.",
        b"hello, this is text, and no demonstration at all": "Ball.demo is not a demonstration, or damaged.",
        parts.demo(steps=0): "Ball.demo is without any steps.",
    }.items():
        write(content, "Ball.demo")
        assert [findings for findings, _ in found(settings=parts.BC)] == [expected]
    write(parts.demo(promised=99, trailer=False), "Ball.demo")
    assert found("warning", settings=parts.BC)[0][0] == "Ball.demo holds 30 steps, its header names 99."


@pytest.mark.parametrize(
    ("recorded", "level", "message"),
    [
        ({"nan": {3: 1, 7: 4}}, "warning", "Observations are NaN in 2 of the 30 steps of Ball.demo."),
        ({"nan": dict.fromkeys(range(30), 3)}, "warning", "Observations are NaN in 30 of the 30 steps of Ball.demo."),
        ({"nan": dict.fromkeys(range(30), 4)}, "error", "All observations are NaN in 30 of the 30 steps of Ball.demo."),
        (
            {"nan": dict.fromkeys(range(30), 4), "cameras": [(20, 20, 3)]},
            *("warning", "Observations are NaN in 30 of the 30 steps of Ball.demo."),
        ),
        ({"nan": {29: 4}, "promised": 29}, None, None),
    ],
)
def test_demonstrations_with_nan_observations(tmp_path, write, parts, recorded, level, message):
    write(parts.demo(**recorded), "Ball.demo")
    todo = "mlagents-learn replaces them with 0. Fix CollectObservations in the scene, and record it again."
    found = [one for one in check_demonstration(tmp_path, "Ball.demo", "config", 1) if one.level != "note"]
    assert [(one.level, one.what, one.todo) for one in found] == ([(level, message, todo)] if level else [])


def test_demonstrations_elsewhere(write, parts, found):
    write(parts.demo(), "other/Found.demo")
    write("x", "text.txt")
    write("x", "empty/text.txt")
    for path, expected in {
        "Ball.demo": "The demonstration Ball.demo is missing.",
        "/etc/Ball.demo": "demo_path /etc/Ball.demo leads out of the folder.",
        "../Ball.demo": "demo_path ../Ball.demo leads out of the folder.",
        "text.txt": "text.txt does not end in .demo.",
        "empty": "empty/ holds no .demo file.",
    }.items():
        assert [findings for findings, _ in found(settings=with_demo(parts, path))] == [expected]


def damaged(parts, chance):
    """A demonstration with one to three places changed, left out or put in."""
    data = bytearray(parts.demo(**chance.choice(SHAPES)))
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randrange(len(data)), chance.choice([1, 1, 1, 2, 4, 30])
        put = chance.randbytes(size) if chance.random() < 0.7 else data[at : at + size]
        data[at : at + chance.choice([0, size, size])] = chance.choice([put, b""])
    return bytes(data)


SHAPES = [
    {},
    {"steps": 2},
    {"steps": 1},
    {"steps": 0},
    {"closed": False},
    {"trailer": False},
    {"promised": 9},
    {"promised": 9, "trailer": False},
    {"promised": 40},
    {"promised": 40, "trailer": False},
    {"actions": (3, 2), "continuous": False},
    {"cameras": [(20, 30, 3), (24, 24, 1)], "steps": 12},
    {"stacked": 3},
    {"observations": 0, "cameras": [(20, 20, 3)]},
    {"later": True},
    {"later": True, "observations": 5},  # of a length that could be one of packed floats
    {"later": True, "closed": False},
    {"header_bytes": 20},
    {"nan": {3: 1, 7: 4}},
]


@pytest.mark.parametrize("count", [600, pytest.param(12_000, marks=pytest.mark.slow)])
def test_demonstrations_are_read_as_the_trainer_does(trainer, parts, write, tmp_path, count):
    """What the wheel's own loader takes passes, with as many steps; what kills it, or its network, is refused."""
    chance = random.Random(count)
    files = [parts.demo(**shape) for shape in SHAPES]
    for shape in ({"steps": 3}, {"steps": 3, "actions": (3, 2), "continuous": False}):
        whole = parts.demo(**shape)
        files += [whole[:end] for end in range(len(whole))]
    files += [damaged(parts, chance) for _ in range(count)]
    folders = list(itertools.permutations(["", "closed", "short", "long"], 2))
    kinds = {"": {}, "closed": {"closed": False}, "short": {"promised": 40, "trailer": False}, "long": {"steps": 50}}
    targets = [write(content, f"{number}/0.demo") for number, content in enumerate(files)]
    for pair in folders:
        for number, kind in enumerate(pair):
            write(parts.demo(**kinds[kind]), f"{'-'.join(pair)}/{number}.demo")
        targets.append(tmp_path / "-".join(pair))
    done = subprocess.run(
        [trainer.python, Path(__file__).with_name("real_trainer.py"), ROOT / "container", "demonstrations"],
        input=json.dumps([str(path) for path in targets]),
        capture_output=True,
        text=True,
        check=True,
    )
    different = []
    for path, orders in zip(targets, json.loads(done.stdout), strict=True):
        named = path.relative_to(tmp_path).as_posix()
        findings = list(check_demonstration(tmp_path, named, "config", 1))
        errors = [finding.what for finding in findings if finding.level == "error"]
        killed = [outcome for outcome in orders if isinstance(outcome, str)]
        if bool(killed) != bool(errors):
            different.append((named, errors, orders))
        elif not killed and path.is_file() and read_demonstration(path).steps != orders[0]:
            different.append((named, read_demonstration(path).steps, orders))
    assert different == []
    assert 0.1 < sum(isinstance(orders[0], int) for orders in json.loads(done.stdout)) / len(targets) < 0.7


@pytest.mark.parametrize(
    ("trainer", "settings", "message"),
    [
        ("BC", {"batch_size": 29}, "batch_size 29 is too large for 29 steps of demonstrations."),
        ("BC", {"batch_size": 28}, None),
        # Three episodes of 9, 10 and 10 steps, filled up to 12 each.
        (
            "BC",
            {"use_recurrent": True, "batches_per_epoch": 3},
            "3 batches of 16 steps are more than the demonstrations' 36.",
        ),
        ("BC", {"use_recurrent": True, "batches_per_epoch": 2}, None),
        ("PPO", {"samples_per_update": 15}, "Pretraining draws no batch from 36 steps of demonstrations."),
        ("PPO", {"samples_per_update": 16}, None),
        ("GAIL", {"batch_size": 30}, "gail compares batches of 30 steps with only 29 steps of demonstrations."),
        ("GAIL", {"batch_size": 29}, None),
        ("GAIL", {"batch_size": 43, "use_recurrent": True}, "gail compares batches of 40 steps with only 36 steps of"),
        ("GAIL", {"batch_size": 39, "use_recurrent": True}, None),
        ("GAIL", {"batch_size": 30, "trainer": "sac"}, None),
    ],
)
def test_demonstrations_too_short_for_a_batch(write, parts, found, trainer, settings, message):
    write(parts.demo(), "Ball.demo")
    if trainer == "GAIL":
        signal = {"strength": 1, "gamma": 0.9, "demo_path": "Ball.demo"}
        trainer, settings = "SAC" if "trainer" in settings else "PPO", {**settings, "reward_signals": {"gail": signal}}
    elif trainer == "PPO":
        settings = {
            "use_recurrent": True,
            "pretraining": {"strength": 1, "steps": 9, "demo_path": "Ball.demo", **settings},
        }
    messages = [what[: len(message or what)] for what, _ in found(settings=getattr(parts, trainer) | settings)]
    assert messages == ([message] if message else [])
