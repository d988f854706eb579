"""What the check of a `behaviors:` file passes learns in the real trainer 1.1.0; what it refuses fails there, or learns nothing.

One process of that trainer's Python takes a whole batch: ML-Agents' own reading, trainers, experiences and updates, on an
environment of random numbers.
"""

import copy
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from mlagents_check import trainer_config
from mlagents_check.trainer_config import behaviors
from mlagents_check.trainer_config.behaviors import KEYS
from mlagents_check.trainer_config.demonstrations import check_demonstration, read_demonstration
from mlagents_check.unity_build import Brain

DEMO = {"demo_path": "Ball.demo"}
MEMORY = {"sequence_length": 4, "memory_size": 8}
INFINITE = float("inf")


def behavior(algorithm, **changes):
    """A behavior that learns within a few steps, with changes by group."""
    settings = {
        "trainer_type": algorithm,
        "hyperparameters": {"batch_size": 16, "buffer_size": 64, "learning_rate": 3.0e-4},
        "network_settings": {"hidden_units": 8, "num_layers": 1},
        "max_steps": 600,
        "time_horizon": 5,
        "summary_freq": 10,
    }
    settings["hyperparameters"] |= {"steps_per_update": 12} if algorithm == "sac" else {"num_epoch": 1}
    return behaviors.merged(settings, changes)


def file_of(algorithm, **changes):
    return {"behaviors": {"Ball": behavior(algorithm, **changes)}}


def lessons(*lessons):
    return {"environment_parameters": {"mass": {"curriculum": list(lessons)}}}


def lesson(name, value, **criteria):
    return {"name": name, "value": value} | ({"completion_criteria": criteria} if criteria else {})


def sampler(kind, **parameters):
    return {"environment_parameters": {"mass": {"sampler_type": kind, "sampler_parameters": parameters}}}


SIGNALS = {"extrinsic": {}, "curiosity": {"strength": 0.1}, "rnd": {}, "gail": DEMO}
DEFAULT = {"trainer_type": "ppo", "hyperparameters": {"batch_size": 16, "buffer_size": 64}, "summary_freq": 10}
LEARNS = [
    file_of("ppo", self_play={"save_steps": 20, "swap_steps": 10, "team_change": 50}),
    file_of("poca", network_settings={"memory": MEMORY}),
    file_of("sac", network_settings={"memory": MEMORY}, reward_signals=SIGNALS),
    file_of("ppo", hyperparameters={"learning_rate": "1e-3"}, max_steps="6e2", reward_signals=SIGNALS),
    file_of("ppo", behavioral_cloning=DEMO, network_settings={"normalize": True, "no_such_key": 1}),
    {"default_settings": DEFAULT},
    {"default_settings": DEFAULT, "behaviors": {"Ball": {"hyperparameters": {"num_epoch": 2}}, "Other": {}}},
    file_of("ppo") | lessons(lesson("a", 1, behavior="Ball", measure="progress", threshold=0.1), lesson("b", 2.0)),
    file_of("ppo")
    | sampler("uniform", min_value=1, max_value="2")
    | {"debug": True, "torch_settings": {"device": "cpu"}},
    file_of("ppo") | sampler("multirangeuniform", intervals=[[0, 1], [3, 4]]),
    file_of("ppo") | {"environment_parameters": {"mass": 3}, "engine_settings": {"time_scale": 10}},
]
FAILS = [
    {},
    {"behaviors": None},
    {"behaviors": {"Ball": None}},
    {"behaviors": {"Pall": {}}},
    {"behaviors": {"Ball": {"hyperparameters": {"batch_size": 16}}}},
    {"default_settings": {"hyperparameters": {"batch_size": 16}}, "behaviors": {"Ball": behavior("ppo")}},
    {"default_settings": DEFAULT, "behaviors": {"Ball": behavior("sac")}},
    {"default_settings": DEFAULT, "behaviors": {"Ball": behavior("poca")}},
    file_of("ppo") | {"curriculum": {}},
    file_of("ppo") | {"env_settings": None},
    file_of("ppo", trainer_type="PPO"),
    file_of("ppo", use_recurrent=True),
    file_of("ppo", hyperparameters={"batch_size": 600}),
    file_of("ppo", network_settings={"memory": {"memory_size": 7}}),
    file_of("ppo", network_settings={"memory": {"sequence_length": 17}}),
    file_of("sac", hyperparameters={"beta": 0.1}),
    file_of("sac", hyperparameters={"buffer_init_steps": 600}),
    file_of("ppo", reward_signals={"gail": {}}),
    file_of("ppo", reward_signals={"curiosity": {"encoding_size": None}}),
    file_of("ppo", reward_signals={"novelty": {}}),
    file_of("ppo", reward_signals={}),
    file_of("ppo") | lessons(lesson("a", 1), lesson("b", 2)),
    file_of("ppo") | lessons(lesson("a", 1) | {"completion_criteria": "soon"}, lesson("b", 2)),
    file_of("ppo") | lessons(lesson("a", 1, measure="progress"), lesson("b", 2)),
    file_of("ppo") | sampler("multirangeuniform", intervals="wide"),
    file_of("ppo") | sampler("gaussian", mean="heavy"),
    file_of("ppo") | lessons(lesson("a", 1, behavior="Ball", measure="progress", threshold=2), lesson("b", 2)),
    file_of("ppo") | lessons({"value": 1}),
    file_of("ppo") | lessons(),
    file_of("ppo") | sampler("uniform", min_value=2, max_value=1),
    file_of("ppo") | sampler("multirangeuniform", intervals=[[2, 1]]),
    file_of("ppo") | sampler("gauss"),
    file_of("ppo") | {"environment_parameters": {"mass": "heavy"}},
]


def run(trainer, folder, files):
    """Write each file and train on it; return what the check says, and what went wrong, None where nothing did."""
    paths = [folder / f"{number}.yaml" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    brain = Brain("Ball", 4, 1, (), "continuous", (2,), 12)
    reports = [trainer_config.check(path, [brain], trainer="1.1.0") for path in paths]
    return list(zip(reports, ask(trainer, folder, paths), strict=True))


def ask(trainer, folder, paths):
    """Return what the trainer's Python made of each file."""
    script = Path(__file__).with_name("real_trainer_v1.py")
    done = subprocess.run(
        [trainer.python, script],
        input=json.dumps([str(path) for path in paths]),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_accepted_files_learn_and_refused_ones_do_not(trainer_v1, parts, tmp_path):
    (tmp_path / "Ball.demo").write_bytes(parts.demo_v1())
    recurrent = {"Ball": {"use_recurrent": True, "learning_rate_schedule": "constant"}}
    converted = [
        yaml.safe_load(trainer_config.convert_sections(config, {"Ball": 12}))
        for config in (
            {"default": parts.PPO, **recurrent},
            {"default": parts.SAC, "Ball": {"pretraining": {**DEMO, "strength": 1.0, "steps": 100}}},
        )
    ]
    learns = LEARNS + converted
    for number, (report, failure) in enumerate(run(trainer_v1, tmp_path, learns + FAILS)):
        content = (learns + FAILS)[number]
        assert report.ok == (failure is None) == (number < len(learns)), f"{content}\n{report}\n{failure}"


@pytest.mark.long
def test_demonstrations_are_read_as_the_trainer_reads_them(trainer_v1, parts, tmp_path):
    whole = parts.demo_v1()
    contents = [
        whole,
        parts.demo_v1(spec=False),
        parts.demo_v1(promised=20),
        parts.demo_v1(promised=40),
        parts.demo_v1(steps=2),
        parts.demo_v1(steps=0),
        parts.demo_v1(observations=(3,)),
        parts.demo_v1(observations=(2, 2)),
        parts.demo_v1(actions=(1,)),
        parts.demo_v1(actions=(), branches=(2,)),
        parts.demo_v1(branches=(2,)),
        parts.demo_v1(nan=[3]),
        parts.demo(),
        parts.demo(later=True),
        whole[:-5],
        whole[:500],
        whole[:20],
        b"hello, this is text, and no demonstration at all",
        b"",
    ]
    brain = Brain("Ball", 4, 1, (), "continuous", (2,), 12, sensors=((4,),))
    paths = [tmp_path / f"{number}.demo" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    for path, found in zip(paths, ask(trainer_v1, tmp_path, paths), strict=True):
        findings = list(check_demonstration(tmp_path, path.name, "config", 1, brain, exact=True, trainer="1.1.0"))
        errors = [one.what for one in findings if one.level == "error"]
        assert bool(errors) == isinstance(found, str), f"{path.name}: {errors}, {found}"
        if not errors:
            assert read_demonstration(path, "1.1.0").steps == found


# Values at and over the edges, by how a key is read.
EDGES = {
    "int()": [0, -1, 1, 2.5, "8", "1e3", True, None, "many", 1000, INFINITE, [1]],
    "float()": [0, -1, 1, 2.5, "8", "1e-4", True, None, "many", 1000, INFINITE, float("nan"), 1e30],
    "truth": [1, 0, "false", None, []],
    "choice": ["", "many", 0, None],
    "path": ["absent.demo", "", 0, None],
    "mapping": [None, [], "many", {}],
    "list": [None, []],
}
LARGE = {"num_epoch": 5, "num_layers": 3}
# What the check refuses although the trainer goes on: values without a meaning, which it reads by chance.
REFUSED = {
    ("behavioral_cloning.samples_per_update", "-1"): "it imitates nothing",
    ("beta", "1e+30"): "losses become infinite sooner or later",
    ("checkpoint_interval", "-1"): "a checkpoint at every step",
    **{
        (f"reward_signals.{name}.gamma", "1e+30"): "returns become infinite sooner or later"
        for name in behaviors.SIGNALS
    },
    ("summary_freq", "-1"): "a summary at every step",
    ("torch_settings.device", "''"): "there is no such device",
    ("torch_settings.device", "0"): "there is no such device",
    **{
        (f"reward_signals.{name}.encoding_size", "0"): "a network without units"
        for name in ("curiosity", "gail", "rnd")
    },
}
PASSED = {("learning_rate", "1000"): "whether it becomes infinite depends on the rewards; there is a warning"}
# The stand-in has no window, and one environment.
UNUSED_HERE = ("engine_settings.", "env_settings.", "checkpoint_settings.")


def edges():
    """Yield every key with every value: algorithm, name, value and the file."""
    for name, row in KEYS.items():
        if name.startswith("environment_parameters") or name in ("trainer_type", "debug"):
            continue
        path, of_run = behaviors.path_of(name), name.startswith(("env_", "engine_", "checkpoint_s", "torch_"))
        if row.get("group") == "hyperparameters":
            algorithms = tuple(row["default"])
        else:
            algorithms = ("ppo",) if of_run else ("ppo", "sac") if "reward" in name else behaviors.ALGORITHMS
        base = {"reward_signals": {path[1]: DEMO if path[1] == "gail" else {}}} if name.count(".") == 2 else {}
        base |= {"behavioral_cloning": DEMO} if path[0] == "behavioral_cloning" and len(path) > 1 else {}
        base |= {"network_settings": {"memory": MEMORY}} if "memory" in path and len(path) > 2 else {}
        for algorithm in algorithms:
            for value in [*EDGES[row["in_config"]["read_as"]], *row.get("choices", ())]:
                value = LARGE.get(name, value) if value == 1000 else value
                content = file_of(algorithm, **copy.deepcopy(base))
                inner = content if of_run else content["behaviors"]["Ball"]
                for key in path[:-1]:
                    inner = inner.setdefault(key, {})
                inner[path[-1]] = value
                yield algorithm, name, value, content


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("algorithm", behaviors.ALGORITHMS)
def test_every_key_around_its_limits(trainer_v1, parts, tmp_path, algorithm):
    """Print a table; what the check passes learns, and what it refuses does not, but for the listed ones."""
    (tmp_path / "Ball.demo").write_bytes(parts.demo_v1())
    cases = [case for case in edges() if case[0] == algorithm]
    wrong = []
    for (_, name, value, _), (report, failure) in zip(
        cases, run(trainer_v1, tmp_path, [case[3] for case in cases]), strict=True
    ):
        verdict = next((f"{one.level}: {one.what}" for one in report.findings if one.level != "note"), "")
        print(f"{algorithm} {name} | {value!r} | {verdict or 'ready'} | {' '.join((failure or 'learns').split())[:80]}")
        if report.ok and failure and (name, repr(value)) not in PASSED:
            wrong.append(f"passed: {name} {value!r}, {failure}")
        is_number = not isinstance(value, float) or abs(value) < INFINITE
        if report.ok or failure or not is_number or name.startswith(UNUSED_HERE):
            continue
        if (name, repr(value)) not in REFUSED:
            wrong.append(f"refused: {name} {value!r}, {verdict}")
    assert wrong == []
