"""What the check passes starts and learns in the real trainer; what it refuses fails there, or learns nothing.

One process of the trainer environment takes the whole batch: ML-Agents' own loading, trainer initialisation, experiences,
updates and summaries, on an environment of random numbers.
"""

import copy
import itertools
import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from common import ROOT
from mlagents_check import trainer_config
from mlagents_check.trainer_config import keys
from mlagents_check.unity_build import Brain

SIGNAL = {"strength": 1.0, "gamma": 0.9}

# Pairs of a trainer and changes to its good settings. Strange ones among them: what YAML takes for text, for instance.
LEARNS = [
    ("ppo", {"learning_rate": "3e-4", "max_steps": "1.0e3", "hidden_units": "8", "summary_freq": 2.5, "normalize": 1}),
    ("offline_bc", {"batch_size": 16.0}),
]
# What fails before a network is built costs no time.
FAILS = [
    ("ppo", {"batch_size": "16"}),
    ("ppo", {"num_epoch": 0}),
    ("ppo", {"hidden_units": "8.5"}),
    ("ppo", {"learning_rate": "fast"}),
    ("ppo", {"vis_encode_type": "big"}),
    ("ppo", {"learning_rate_schedule": "cosine"}),
    ("ppo", {"reward_signals": {}}),
    ("ppo", {"use_recurrent": True, "memory_size": 10}),
    ("ppo", {"use_recurrent": True, "memory_size": 0}),
    ("ppo", {"trainer": "PPO"}),
    ("ppo", {"pretraining": {"demo_path": "Ball.demo", "strength": 1.0, "steps": 0}}),
    ("offline_bc", {"demo_path": "absent.demo"}),
    ("offline_bc", {"batches_per_epoch": 0}),
]
# Of the later format, as they are offered.
BEHAVIORS = [
    {
        "hyperparameters": {"batch_size": 16, "buffer_size": 64, "num_epoch": 1},
        "behavioral_cloning": {"demo_path": "Ball.demo"},
        "network_settings": {"hidden_units": 8, "memory": {"memory_size": 18, "sequence_length": 4}},
        "time_horizon": 5,
        "max_steps": 15,
    },
    {
        "trainer_type": "sac",
        "hyperparameters": {"batch_size": 16, "buffer_size": 64, "steps_per_update": 5.0},
        "network_settings": {"hidden_units": 8, "memory": {"memory_size": 20, "sequence_length": 4}},
        "reward_signals": {"curiosity": {"network_settings": {"hidden_units": 8}}},
        "time_horizon": 5,
        "max_steps": 15,
    },
]
WHOLE_FILES = [
    "",
    "- a\n",
    "Ball: {}\n",
    "default:\nBall: {}\n",
    "default: {a: 1}\nBall: Pall\n",
    "default: {a: 1}\nBall: 3\n",
    "default: {a: 1}\nBall:\n",
    "default: {a: [1\nb: 2\n",
    "behaviors: {Ball: {trainer_type: ppo}}\n",
    "default: {trainer: ppo}\n---\na: 1\n",
]


def run(trainer, paths):
    """Train on each config; give what went wrong, None where nothing did."""
    done = subprocess.run(
        [trainer.python, Path(__file__).with_name("real_trainer.py"), ROOT / "container"],
        input=json.dumps([str(path) for path in paths]),
        cwd=paths[0].parent,  # where relative demonstrations are looked for
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def outcomes(trainer, parts, tmp_path_factory):
    """Write every config; give what the check says of it, and what the trainer made of it."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "Ball.demo").write_bytes(parts.demo())
    texts = [trainer_config.convert_behaviors({"behaviors": {"Ball": behavior}}) for behavior in BEHAVIORS]
    texts += [
        json.dumps({"default": parts.changed(name), "Ball": changes})  # JSON is YAML
        for name, changes in (*LEARNS, *FAILS)
    ]
    paths = []
    for number, text in enumerate([*texts, *WHOLE_FILES]):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(text)
    outcomes = run(trainer, paths)
    reports = [trainer_config.check(path, brains=["Ball"]) for path in paths]
    return list(zip(texts + WHOLE_FILES, reports, outcomes, strict=True))


@pytest.mark.long
def test_accepted_configs_learn(outcomes):
    for text, report, failure in outcomes[: len(BEHAVIORS) + len(LEARNS)]:
        assert report.ok, f"{text}\n{report}"
        assert failure is None, f"{text}\n{failure}"


@pytest.mark.long
def test_refused_configs_fail(outcomes):
    for text, report, failure in outcomes[len(BEHAVIORS) + len(LEARNS) :]:
        assert not report.ok, text
        assert failure is not None, f"{text}\n{report}"


# Values at and over the edges, by how a key is used: each key of a trainer's own gets the first and, in turn, one of the
# others; what is shared by the trainers, such as a reward signal, gets one in turn.
EDGES = {
    "float()": [0, 1000, "many", "8", -1, None, 2.5],
    "int()": [0, 2.5, "many", "8", -1, None, 1000],
    "whole": [0, 8.0, -1, "8", 1000, True, None],
    "number": [0, 1000, 2.5, -1, "8", True, None],
    "truth": [1, 0, 2, "false", None],
    "choice": ["", "many", 0, True, None],
    "mapping": [{}, None, [], "many"],
    "path": ["absent.demo", "", 0, None, "."],
}
INFINITE = float("inf")
LARGE = {"num_epoch": 5, "num_update": 5, "num_layers": 3, "reward_signal_num_update": 5, "sequence_length": 100}
DEMO = {"demo_path": "Ball.demo"}
RECURRENT = {"use_recurrent": True}
PRETRAINING = {"pretraining": {**DEMO, "strength": 1.0, "steps": 40}}
CURIOSITY = {"reward_signals": {"extrinsic": SIGNAL, "curiosity": {**SIGNAL, "encoding_size": 8}}}
GAIL_SIGNAL = {**SIGNAL, **DEMO, "encoding_size": 8}
GAIL = {"reward_signals": {"extrinsic": SIGNAL, "gail": GAIL_SIGNAL}}

# Where check and trainer need not agree: what nobody can know before, of which the check warns, and what learns by
# chance, or in the wrong direction, and is refused all the same.
ENDS_BEFORE = "whether the agents bring enough before the end depends on how many they are"
DIVERGES = "whether it becomes infinite depends on the rewards"
WARNED = {
    "ppo buffer_size": ([1000], ENDS_BEFORE),
    "ppo learning_rate": (["8"], DIVERGES),
    "sac learning_rate": ([2.5], DIVERGES),
}
UNLEARNS = "it goes away from what is rewarded"
REFUSED = {
    "sac learning_rate": ([0], "the target network alone follows the others; " + UNLEARNS),
    "offline_bc max_steps": ([0], "one step is done all the same"),
}

# Settings that no single key shows: as `edges` yields them.
COMBINED = [
    (
        f"{name} gail demonstration, batch",
        size,
        name,
        {"batch_size": size, "reward_signals": {"gail": GAIL_SIGNAL}, **more},
    )
    for name, size, more in (
        ("ppo", 29, {}),
        ("ppo", 30, {}),
        ("ppo", 39, RECURRENT),
        ("ppo", 40, RECURRENT),
        ("sac", 30, {}),
    )
]
COMBINED += [
    (f"{name} {key}", value, name, {key: value})
    for name, key, values in (
        ("ppo", "beta", [INFINITE, 1e30]),
        ("ppo", "lambd", [INFINITE, 1e30]),
        ("ppo", "epsilon", [INFINITE, -INFINITE]),
        ("ppo", "learning_rate", [INFINITE]),
        ("ppo", "buffer_size", [INFINITE]),
        ("ppo", "time_horizon", [INFINITE]),
        ("ppo", "summary_freq", [INFINITE]),
        ("sac", "buffer_size", [INFINITE]),
        ("sac", "init_entcoef", [INFINITE]),
        ("sac", "tau", [INFINITE, 1e9]),
        ("sac", "train_interval", [INFINITE]),
    )
    for value in values
]
COMBINED += [
    (f"{name} extrinsic strength", value, name, {"reward_signals": {"extrinsic": {**SIGNAL, "strength": value}}})
    for name in ("ppo", "sac")
    for value in (0, 1e30)
]
COMBINED += [
    *(
        (
            *("ppo gail with use_vail, encoding_size", size, "ppo"),
            {"reward_signals": {"gail": {**GAIL_SIGNAL, "use_vail": True, "encoding_size": size}}},
        )
        for size in (0, -1)
    ),
    ("ppo pretraining.steps", INFINITE, "ppo", {"pretraining": {**DEMO, "strength": 1.0, "steps": INFINITE}}),
    ("ppo pretraining.steps", 1, "ppo", {"pretraining": {**DEMO, "strength": 1.0, "steps": 1}}),
    ("ppo pretraining.strength", 1e9, "ppo", {"pretraining": {**DEMO, "strength": 1e9, "steps": 40}}),
]


def edges():
    """Every key of every trainer with every value: its label, the value, the trainer and the changes to its settings."""
    groups, turns = [], defaultdict(itertools.count)
    for name in keys.ALGORITHMS:
        every = (keys.REQUIRED[name] | keys.OPTIONAL[name]) - {"pretraining"}
        some = {"memory_size", "sequence_length", "batch_size", "buffer_size", "time_horizon", "batches_per_epoch"}
        groups += [(name, {}, (), every), (f"{name} recurrent", RECURRENT, (), every & some)]
    for name in ("ppo", "sac"):
        for base, signal in ((CURIOSITY, "extrinsic"), (CURIOSITY, "curiosity"), (GAIL, "gail")):
            members = frozenset.union(*keys.REWARD_SIGNALS[signal])
            groups.append((name, base, ("reward_signals", signal), members))
        groups.append((name, PRETRAINING, ("pretraining",), frozenset.union(*keys.PRETRAINING)))
        members = {"batch_size", "samples_per_update"}
        groups.append((f"{name} recurrent", PRETRAINING | RECURRENT, ("pretraining",), members))
    groups.append(("sac", CURIOSITY, ("reward_signals",), {keys.SAC_SIGNAL_SETTING}))
    for label, base, path, members in groups:
        for key in sorted(members):
            kind = keys.RULES[".".join((*path, key))].kind
            first, *others = EDGES[kind]
            sampled = (*others, first) if path else others
            values = [sampled[next(turns[kind]) % len(sampled)], *keys.CHOICES.get(key, ())]
            for value in values if path else [first, *values]:
                changes = copy.deepcopy(base)
                inner = changes
                for step in path:
                    inner = inner[step]
                inner[key] = value = LARGE.get(key, value) if value == 1000 else value
                yield f"{label} {'.'.join((*path, key))}", value, label.split()[0], changes
    yield from COMBINED


def is_listed(listed, label, value):
    return any(value == one and type(value) is type(one) for one in listed.get(label, ([],))[0])


def test_every_listed_disagreement_is_tried():
    tried = {(label, type(value), value) for label, value, _, _ in edges() if not isinstance(value, (list, dict))}
    listed = {
        (label, type(value), value) for table in (WARNED, REFUSED) for label in table for value in table[label][0]
    }
    assert listed <= tried


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", keys.ALGORITHMS)
def test_every_key_around_its_limits(trainer, parts, tmp_path, name):
    """What the check passes trains to its end and is exported; what it refuses dies, or learns nothing."""
    (tmp_path / "Ball.demo").write_bytes(parts.demo())
    brain = Brain("Ball", 4, 1, (), "continuous", (2,), 12)
    cases = [case for case in edges() if case[2] == name]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(cases))]
    for path, (_, _, _, changes) in zip(paths, cases, strict=True):
        path.write_text(yaml.safe_dump({"default": {**parts.changed(name), "max_steps": 50}, "Ball": changes}))
    wrong = []
    for path, (label, value, _, _), failure in zip(paths, cases, run(trainer, paths), strict=True):
        report = trainer_config.check(path, brains=[brain])
        verdict = next(
            (f"{finding.level}: {finding.what}" for finding in report.findings if finding.level != "note"), ""
        )
        print(f"{label} | {value!r} | {verdict or 'ready'} | {' '.join((failure or 'learns').split())[:80]}")
        if report.ok and failure and not (report.warnings and is_listed(WARNED, label, value)):
            wrong.append(f"passed: {label} {value!r}, {failure}")
        if not report.ok and not failure and not is_listed(REFUSED, label, value):
            wrong.append(f"refused: {label} {value!r}, {verdict}")
    assert wrong == []
