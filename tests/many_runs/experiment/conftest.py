"""Embedded AWSs whose jobs run the small program of tests/embedded."""

import contextlib
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

import sagemaker_local as embedded
from helpers import aws, training

PROGRAM = Path(__file__).parents[2] / "sagemaker_local" / "program.py"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlagents-0.11.0:0123456789abcdef"
SUMMARY = (
    "INFO:mlagents.trainers: run: 3DBall: Step: {}. Time Elapsed: {} s Mean Reward: {}. Std of Reward: 0.250. Training."
)


@contextlib.contextmanager
def serve(home, **settings):
    """Run an embedded AWS of one's own and connect to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(home))
        with pytest.MonkeyPatch.context() as for_the_server:
            for_the_server.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {PROGRAM}")
            for_the_server.setenv("EMBEDDED_MAX_JOBS", "6")
            for name, value in settings.items():
                for_the_server.setenv(name, str(value))
            embedded.start()
        try:
            yield aws.connect("embedded")
        finally:
            embedded.stop()


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("experiment-embedded")) as found:
        yield found


@pytest.fixture
def calls(connection):
    """Count the calls that clients made from now on make."""
    counted = Counter()

    def count(model, **_):
        counted[model.name] += 1

    emitter = connection.session.events
    emitter.register("before-call", count, unique_id="count")
    yield counted
    emitter.unregister("before-call", unique_id="count")


@pytest.fixture
def launch(request, make_trainer):
    """Return a function that launches an experiment, its name first, on `connection` or another."""

    def launch_experiment(name, settings, seeds=(1,), on=None, trainer=None, hyperparameters=None, **more):
        on = on or request.getfixturevalue("connection")
        on.client("s3").put_object(Bucket=on.bucket, Key="unity-volume/abc/3DBall.x86_64", Body=b"player")
        trainer_options = {"volume": f"s3://{on.bucket}/unity-volume/abc/", **(trainer or {})}
        common = {"max_steps": 2000} if hyperparameters is None else hyperparameters
        made = make_trainer(on, hyperparameters=common, **trainer_options)
        options = {"experiment": name, "folder": None, "at_once": 6, "poll_seconds": 0.1, **more}
        return training.launch_many(on, *made, settings=settings, seeds=list(seeds), **options)

    return launch_experiment


def follow(connection, name):
    return training.follow_many(connection, name, poll_seconds=0.1)


def say(*rewards, then=""):
    """Return the settings of a run that tells these mean rewards, a thousand steps from one to the next."""
    lines = [f"say {SUMMARY.format(1000 * (n + 1), n + 1, reward)}" for n, reward in enumerate(rewards)]
    return {"do": ";".join([*lines, "model trained", *filter(None, [then])])}


def describe(connection, name):
    return connection.client("sagemaker").describe_training_job(TrainingJobName=name)


tools = SimpleNamespace(serve=serve, follow=follow, say=say, describe=describe, IMAGE=IMAGE, SUMMARY=SUMMARY)


@pytest.fixture(scope="session")
def many():
    return tools
