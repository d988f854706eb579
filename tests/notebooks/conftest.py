"""A copy of the project's folders in which notebooks run, on an embedded AWS of their own."""

import json
import os
import sys
from pathlib import Path

import docker
import pytest

import reward_curves as rewards
import sagemaker_local as embedded
import sample_env
import training_image as image
from common import trainer_env
from helpers import aws, volume
from tools import tutorial

SHORT_SOLUTIONS = {10: {"max_steps": 500}}
"""Number of a lesson -> parameters with which its solution takes seconds, as `tutorial.SHORT` has them for lessons."""
SCRIPTED = Path(__file__).with_name("scripted_training.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a folder with notebooks/, container/ and an empty unity-volume/, as after a clone."""
    home = tmp_path_factory.mktemp("project")
    tutorial.copy_project(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(home / ".embedded"))
        patch.setenv("TRAINING_SETTINGS", str(home / "notebooks" / "settings.toml"))
        patch.delenv("MPLBACKEND")  # a kernel chooses its own, which shows pictures
        yield home
        embedded.stop()


@pytest.fixture(scope="module")
def connection(project):
    return aws.connect("embedded")


@pytest.fixture(scope="module")
def prepared(project):
    """Return the project with what notebooks 1 to 3 leave: a build, its upload, a pushed image."""
    sample_env.make_sample_build(project / "unity-volume")
    connection = aws.connect("embedded")
    volume.upload(connection.client("s3"), connection.bucket, project / "unity-volume")
    named, folder = image.read(connection, project / "container"), str(project / "container")
    with image.find_engine(connection) as environment:  # without one, jobs run as processes
        engine = docker.from_env(environment=environment, timeout=1800)
        image.build(engine, named, path=folder, tag=named.local, platform="linux/amd64")
        image.push(connection, engine, named)
    return project


@pytest.fixture(scope="module")
def scripted():
    """Let the jobs of this module run a program that reports made-up rewards at once; request it before `prepared`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {SCRIPTED}")
        patch.setenv("EMBEDDED_MAX_JOBS", "4")
        assert "EMBEDDED_HOME" not in os.environ
        yield


@pytest.fixture(scope="module")
def run(project):
    """Return a function that runs a notebook by its number, shortened, and returns the text that its cells put out."""

    def run_notebook(number, folder="executed", trainer=trainer_env.DEFAULT, **parameters):
        (notebook,) = (project / "notebooks").glob(f"{number:02}_*.ipynb")
        short = tutorial.choose_parameters(notebook, short=True, trainer=trainer)
        return read_output(tutorial.execute(notebook, {**short, **parameters}, project / folder))

    return run_notebook


@pytest.fixture(scope="module")
def solve(project):
    """Give a function that runs a lesson's solution; what a task is to show, the solution asserts."""

    def run_solution(number):
        (solution,) = (project / "notebooks/solutions").glob(f"{number:02}_*.ipynb")
        tutorial.execute(solution, SHORT_SOLUTIONS.get(number, {}), project / "solutions")

    return run_solution


def read_output(executed):
    outputs = [output for cell in json.loads(executed.read_text())["cells"] for output in cell.get("outputs", [])]
    return "\n".join(shown(output) for output in outputs)


def shown(output):
    assert output.get("name") != "stderr", output["text"]  # which JupyterLab shows in a red box
    data = output.get("data", {})
    return "".join(output.get("text") or data.get("text/html") or data.get("text/plain") or "")


@pytest.fixture(scope="session")
def agree():
    """Return a function that compares the log of a job with its events, row by row, and returns the rows of both."""
    return compare_log_with_events


def compare_log_with_events(folder):
    record = json.loads((folder / "training.json").read_text())
    events, joined = rewards.read_events(folder / "summaries", record["run_id"]), rewards.read(folder)
    logged = rewards.read_log((folder / "log.txt").read_text().splitlines())
    logged = logged.dropna(subset="mean_reward").reset_index(drop=True)
    rewarded = events[events["mean_reward"].notna() & (events["step"] >= logged["step"].iloc[0])].reset_index(drop=True)
    assert rewarded[["brain", "step"]].equals(logged[["brain", "step"]])
    for ours, theirs in zip(rewarded["mean_reward"], logged["mean_reward"], strict=True):
        assert f"{ours:.3f}" == f"{theirs:.3f}"
    assert joined.drop(columns=["elapsed", "std_reward"]).equals(events.drop(columns=["elapsed", "std_reward"]))
    both = joined.merge(logged, on=["brain", "step"], suffixes=("", "_logged"))
    assert both["std_reward"].equals(both["std_reward_logged"])
    assert joined["elapsed"].is_monotonic_increasing
    return both
