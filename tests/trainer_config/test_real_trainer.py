"""What the check passes starts and learns in the real trainer; what it refuses fails there, or learns nothing.

One process of the trainer environment takes the whole batch: ML-Agents' own loading, trainer initialisation, experiences,
updates and summaries, on an environment of random numbers.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from helpers import ROOT, trainer_config

SIGNAL = {"strength": 1.0, "gamma": 0.9}

# Pairs of a trainer and changes to its good settings. Strange ones among them: what YAML takes for text, for instance.
LEARNS = [
    ("ppo", {"learning_rate": "3e-4", "max_steps": "1.0e3", "hidden_units": "8", "summary_freq": 2.5, "normalize": 1}),
    ("offline_bc", {"batch_size": 16.0}),
]
LEARNS_TOO = [
    ("ppo", {"use_recurrent": "yes", "memory_size": 16, "batch_size": 0, "num_layers": 0, "vis_encode_type": "resnet"}),
    ("ppo", {"reward_signals": {"curiosity": {**SIGNAL, "encoding_size": 8.0}}, "unknown": 1, "lambd": True}),
    ("sac", {"learning_rate_schedule": "linear", "train_interval": 0, "use_recurrent": True}),
    ("sac", {"reward_signals": {"extrinsic": SIGNAL, "reward_signal_num_update": 1, "other": 3}, "tau": 2}),
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
    ("offline_bc", {"demo_path": "absent.demo"}),
    ("offline_bc", {"batches_per_epoch": 0}),
]
FAILS_TOO = [
    ("ppo", {"batch_size": 16.0}),
    ("ppo", {"batch_size": 1000}),
    ("ppo", {"buffer_size": None}),
    ("ppo", {"hidden_units": 0}),
    ("ppo", {"max_steps": 0}),
    ("ppo", {"summary_freq": 0}),
    ("ppo", {"reward_signals": {"bonus": SIGNAL}}),
    ("ppo", {"reward_signals": {"extrinsic": {**SIGNAL, "typo": 1}}}),
    ("ppo", {"reward_signals": {"extrinsic": {"strength": 1.0}}}),
    ("ppo", {"reward_signals": {"curiosity": SIGNAL}}),
    ("ppo", {"reward_signals": {"extrinsic": SIGNAL, "reward_signal_num_update": 1}}),
    ("ppo", {"reward_signals": {"gail": {**SIGNAL, "demo_path": "absent.demo"}}}),
    ("ppo", {"pretraining": {"strength": 1.0}}),
    ("sac", {"num_update": "1"}),
    ("sac", {"batch_size": 0}),
    ("sac", {"buffer_init_steps": 1000}),
    ("sac", {"reward_signals": {"extrinsic": 3}}),
]
# Of the later format, as they are offered.
BEHAVIORS = [
    {"hyperparameters": {"batch_size": 16, "buffer_size": 64}, "network_settings": {"memory": {"memory_size": 18}}},
    {
        "trainer_type": "sac",
        "hyperparameters": {"batch_size": 16, "buffer_size": 64, "steps_per_update": 5.0},
        "network_settings": {"memory": {"memory_size": 20, "sequence_length": 4}},
        "reward_signals": {"curiosity": {"network_settings": {"hidden_units": 8}}},
        "time_horizon": 5,
    },
]
if os.environ.get("REAL_TRAINER_CASES") == "all":  # two seconds for each
    LEARNS, FAILS = LEARNS + LEARNS_TOO, FAILS + FAILS_TOO
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
    done = subprocess.run(
        [trainer.python, Path(__file__).with_name("real_trainer.py"), ROOT / "container"],
        input=json.dumps([str(path) for path in paths]),
        cwd=folder,  # where relative demonstrations are looked for
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    reports = [trainer_config.check(path, brains=["Ball"]) for path in paths]
    return list(zip(texts + WHOLE_FILES, reports, json.loads(done.stdout), strict=True))


def test_what_passes_learns(outcomes):
    for text, report, failure in outcomes[: len(BEHAVIORS) + len(LEARNS)]:
        assert report.ok, f"{text}\n{report}"
        assert failure is None, f"{text}\n{failure}"


def test_what_is_refused_fails(outcomes):
    for text, report, failure in outcomes[len(BEHAVIORS) + len(LEARNS) :]:
        assert not report.ok, text
        assert failure is not None, f"{text}\n{report}"
