"""Whatever speedup is applied, the trainer holds the same after every step, asks its networks the same, and learns the same.

Value for value and bit for bit: nothing here is compared with a tolerance.

With `normalize` ML-Agents doesn't repeat itself: the variables of the normalisation are assigned by operations of one
run that also read one another's, in the order in which TensorFlow's threads come to them. With one thread it does so
with the scripted player here, not always in whole jobs. So all are compared with ML-Agents with one thread, and that
with several where nothing is normalised.
"""

import json
import shutil
import subprocess
from itertools import zip_longest

import pandas as pd
import pytest
import speedups

import reward_curves as rewards
from sample_env import make_sample_build
from tests.container.conftest import PLAYER, SCRIPTED

BASE = {"player": {}, "settings": {}}
STOCK = ("threads",)
OTHERS = tuple(name for name in speedups.NAMES if name != "threads")
CASES = {
    "agents come and go": {"player": {"changing": True}, "settings": {}},
    "broken numbers": {"player": {"broken": True}, "settings": {"normalize": False}},
    "discrete": {"player": {"discrete": [3, 2], "masks": True}, "settings": {}},
    # Which brain decides first is left to chance by ML-Agents; discrete actions take no random numbers for it.
    "two brains": {"player": {"brains": ["Test", "Other"], "discrete": [3]}, "settings": {}},
    "recurrent": {"player": {}, "settings": {"use_recurrent": True}},
    "recurrent and discrete": {"player": {"discrete": [3]}, "settings": {"use_recurrent": True}},
    # Several threads share a convolution's sums in a way of their own each time.
    "images": {
        "player": {"images": 1, "agents": 3},
        "settings": {"max_steps": 25, "buffer_size": 32},
        "one_core": True,
    },
    "curiosity": {
        "player": {},
        "settings": {
            "reward_signals": {
                "extrinsic": {"strength": 1.0, "gamma": 0.9},
                "curiosity": {"strength": 0.1, "gamma": 0.99, "encoding_size": 8},
            }
        },
    },
}


QUICK = ("agents come and go", "discrete")
# SAC doesn't repeat itself with one thread either: its optimisers assign what the others read. So it learns too little
# here for numbers of this precision, and what remains of it, its losses, is left out.
SAC = {"trainer": "sac", "buffer_size": 200, "learning_rate": 1e-30}


@pytest.fixture(scope="module")
def train(trainer, tmp_path_factory):
    """Return a function that trains with a scripted player and returns what was noted of each training."""

    def run(trainings):
        folder = tmp_path_factory.mktemp("notes")
        done = subprocess.run(
            [trainer.python, SCRIPTED, folder], input=json.dumps(trainings), text=True, capture_output=True, timeout=240
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        return [json.loads((folder / f"{number}.json").read_text()) for number in range(len(trainings))]

    return run


@pytest.fixture(scope="module")
def quick(train):
    """Train what the ordinary suite compares, all of it in one go."""
    trainings = {"again": {**BASE, "speedups": STOCK}}
    for case in ("base", *QUICK):
        trainings[case, "stock"] = {**CASES.get(case, BASE), "speedups": STOCK}
        trainings[case, "all"] = {**CASES.get(case, BASE), "speedups": speedups.NAMES}
    return dict(zip(trainings, train(list(trainings.values())), strict=True))


def same(notes, stocks):
    """Compare from step to step, so that a difference is seen where it begins."""
    for name in ("turns", "asked", "answered"):
        ours, theirs = notes[name], stocks[name]
        for part, noted in theirs.items():
            differing = [n for n, (one, other) in enumerate(zip_longest(ours[part], noted)) if one != other]
            assert not differing, f"{name} of {part} differ from number {differing[0]} of {len(noted)} on"
    assert notes == {**stocks, "ahead": notes["ahead"]}


def test_a_training_without_speedups_can_be_repeated(quick):
    first = quick["base", "stock"]
    same(first, quick["again"])
    assert len(first["turns"]["experiences"]) == len(set(first["turns"]["experiences"])) == 61
    assert first["updates"] > 20


@pytest.mark.parametrize("case", ["base", *QUICK])
def test_all_speedups_change_nothing(quick, case):
    same(quick[case, "all"], quick[case, "stock"])
    assert quick[case, "stock"]["updates"] > 20


def test_players_compute_ahead_except_before_an_update(quick):
    assert quick["base", "stock"]["ahead"] == 0
    assert 30 < quick["base", "all"]["ahead"] < 60


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(set(CASES) - set(QUICK)))
def test_all_speedups_change_nothing_where(case, train):
    stocks, notes = train([{**CASES[case], "speedups": names} for names in (STOCK, speedups.NAMES)])
    same(notes, stocks)
    assert stocks["updates"] > 3


@pytest.mark.slow
def test_each_speedup_alone_changes_nothing(train):
    stocks, *results = train([{**BASE, "speedups": names} for names in (STOCK, *((*STOCK, name) for name in OTHERS))])
    for name, notes in zip(OTHERS, results, strict=True):
        same(notes, stocks)
        assert (notes["ahead"] > 0) is (name == "ahead")


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(train):
    trainings = [{"player": {}, "settings": {"normalize": False}, "speedups": names} for names in ((), ("threads",))]
    same(*train(trainings))


@pytest.mark.slow
def test_whole_jobs_of_the_sample_environment_learn_the_same(make_job, tmp_path):
    """With the real player, over ML-Agents' protocol, and everything around the learner.

    Nothing is normalised: with that, ML-Agents repeated itself in two of four such jobs, one thread or not.
    """
    curves = []
    for speedups_of_job in ("none", "all"):
        job = make_job(tmp_path / speedups_of_job)
        shutil.rmtree(job.channel)
        make_sample_build(job.channel)
        settings = {"max_steps": 600, "summary_freq": 100, "buffer_size": 1200, "normalize": False, "seed": 3}
        job.start_with({**settings, "env-args": "--agents 6", "speedups": speedups_of_job})
        assert job.finish() == 0, job.log
        curves.append(rewards.read_events(job.root / "output/data/summaries", "run").drop(columns="elapsed"))
    stock, ours = curves
    assert list(stock["step"]) == list(range(100, 601, 100))
    assert {"mean_reward", "policy_loss", "value_loss", "entropy"} <= set(stock)
    assert stock["policy_loss"].notna().any()
    pd.testing.assert_frame_equal(ours, stock, check_exact=True)


@pytest.mark.parametrize("trainer_name", ["gail", "offline_bc"])
def test_all_speedups_change_nothing_with_demonstrations(train, trainer, tmp_path, trainer_name):
    demo = tmp_path / "test.demo"
    subprocess.run([trainer.python, PLAYER, "--record", demo], check=True)
    signal = {"strength": 1.0, "gamma": 0.99, "encoding_size": 8, "demo_path": str(demo)}
    settings = {
        "gail": {
            "pretraining": {"strength": 0.5, "demo_path": str(demo), "steps": 40},
            "reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.9}, "gail": signal},
        },
        "offline_bc": {"trainer": "offline_bc", "demo_path": str(demo), "batch_size": 8},
    }[trainer_name]
    stocks, notes = train(
        [{"player": {}, "settings": settings, "speedups": names} for names in (STOCK, speedups.NAMES)]
    )
    same(notes, stocks)
    assert len(stocks["asked"]["Test"]) > 60


@pytest.mark.slow
@pytest.mark.parametrize("player, settings", [({}, {}), ({"discrete": [3]}, {"use_recurrent": True})])
def test_sac_gets_the_same_experiences_and_batches(train, player, settings):
    case = {"player": player, "settings": {**SAC, **settings}}
    stocks, notes = train([{**case, "speedups": names} for names in (STOCK, speedups.NAMES)])
    assert notes["asked"] == stocks["asked"] and len(stocks["asked"]["Test"]) > 100
    assert notes["turns"]["experiences"] == stocks["turns"]["experiences"]
    assert notes["updates"] == stocks["updates"] > 20
