"""The README and the curve that are written next to a model."""

import contextlib
import json
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace

import pandas as pd
import pytest

import reward_curves as rewards
import training_image as image
from helpers import aws, reproduction, training, volume
from training_jobs import Job

RECORD = {
    "reason": "Every brain reached its max_steps.",
    "mlagents": "0.11.0",
    "tensorflow": "1.15.5",
    "python": "3.7.16",
    "restarts": [],
    "brains": {
        "3DBall": {"steps": 4500, "mean_reward": 88.25},
        "Idle": {"steps": 0, "mean_reward": None},
        "Slow": {"steps": 500, "mean_reward": None},
    },
}
JOB = Job(
    name="mlagents-1",
    status="Completed",
    phase="Completed",
    message="",
    failure="",
    hyperparameters={"max_steps": "4500", "env-args": "--agents 48"},
    volume="s3://bucket/unity-volume/0123abcd/",
    image="registry/mlagents-0.11.0@sha256:77",
    output="s3://bucket/training/mlagents-1/output",
    created=datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc),
    training_seconds=180,
    billable_seconds=60,
    metrics={},
    instance_type="ml.c5.xlarge",
    max_seconds=1800,
)


@pytest.fixture
def written(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps(RECORD))
    (tmp_path / "3DBall.nn").write_bytes(b"x")
    (tmp_path / "watch.gif").write_bytes(b"x")
    return write(tmp_path)


def write(folder, **changes):
    rows = [("3DBall", 1, 4500, 170.0, 88.25, 3.5), ("Slow", 1, 500, 20.0, float("nan"), float("nan"))]
    curve = pd.DataFrame(rows, columns=rewards.COLUMNS)
    return reproduction.write_readme(replace(JOB, **changes), folder, curve)


def test_the_readme_describes_the_training(written):
    text = written.read_text()
    for row in (
        "| build | content hash 0123abcd |",
        "| image | registry/mlagents-0.11.0@sha256:77 |",
        "| instance | ml.c5.xlarge, 180 s of training, 60 s billed |",
        "| trainer | ML-Agents 0.11.0, TensorFlow 1.15.5, Python 3.7.16 |",
        "| created | 2026-01-31 12:00 UTC |",
        "| went on from | nothing |",
        "| max_steps | 4500 |",
        "| 3DBall | 4,500 | 88.250 |",
        "| Idle | 0 | never trained |",
        "| Slow | 500 | no episode ended |",
        "| 3DBall.nn | the model, for Unity's Model field |",
        "| watch.gif | the model at work |",
    ):
        assert row in text.splitlines()


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("a|b\n# c", r"a\|b # c"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("`$x$` *_a_b_* ~~", r"\`\$x\$\` \*\_a_b\_\* \~\~"),
        ("\\`\x1b[2J", r"\\\`\\x1b\[2J"),
    ],
)
def test_untrusted_text_is_escaped(tmp_path, name, cell):
    record = {**RECORD, "reason": name, "brains": {name: {"steps": 1, "mean_reward": None}}}
    (tmp_path / "training.json").write_text(json.dumps(record))
    lines = write(tmp_path, hyperparameters={"env-args": name}, goes_on_from=f"job {name}").read_text().splitlines()
    for row in (
        f"| status | Completed. {cell} |",
        f"| {cell} | 1 | never trained |",
        f"| env-args | {cell} |",
        f"| went on from | job {cell} |",
    ):
        assert row in lines
    code = " ".join(name.split()).replace("`", "'").replace("\x1b", r"\x1b")
    assert f"Train `{code}` first, as its own README says, and put the name that it gets into `start_from`." in lines


@pytest.fixture
def run_code(monkeypatch):
    """Return a function that runs a README's code, and returns what it launches."""

    def run(readme):
        launched = {}
        connection = SimpleNamespace(session="session", bucket="mine", role="role", sdk=contextlib.nullcontext)
        # First, because it imports the class, whose fields would else be of the Session that replaces the real one.
        monkeypatch.setattr("sagemaker.train.ModelTrainer", lambda **arguments: launched.update(arguments))
        monkeypatch.setattr("sagemaker.core.helper.session_helper.Session", lambda **arguments: arguments)
        monkeypatch.setattr(aws, "connect", lambda target: connection)
        monkeypatch.setattr(volume, "locate", lambda connection, folder: f"s3://{folder}/")
        monkeypatch.setattr(image, "locate", lambda _, **variant: SimpleNamespace(uri=f"image {variant}"))
        new = SimpleNamespace(name="new")
        monkeypatch.setattr(
            training, "launch", lambda *args, **options: launched.update(options, channels=args[2]) or new
        )
        monkeypatch.setattr(training, "follow", lambda connection, name: launched.update(followed=name))
        exec(readme.read_text().partition("```python\n")[2].partition("```")[0], {})
        return launched

    return run


def test_the_readmes_code_launches_the_same_job(written, run_code):
    launched = run_code(written)
    assert (launched["hyperparameters"], launched["training_image"]) == (JOB.hyperparameters, "image {}")
    compute, (channel,) = launched["compute"], launched["channels"]
    assert (compute.instance_type, compute.enable_managed_spot_training) == ("ml.c5.xlarge", False)
    assert launched["stopping_condition"].max_runtime_in_seconds == 1800
    assert (channel.channel_name, channel.data_source) == ("unity-volume", "s3://unity-volume/")
    assert (launched["folder"], launched["followed"]) == ("unity-volume", "new")
    assert not {"start_from", "checkpoint_config"} & set(launched)
    assert JOB.volume not in written.read_text()  # nobody else has that bucket


def test_the_readmes_code_has_all_options_of_the_launch(written, run_code):
    hyperparameters = {**JOB.hyperparameters, "no-graphics": "false"}
    readme = write(
        written.parent, spot=True, max_wait_seconds=7200, goes_on_from="job first", hyperparameters=hyperparameters
    )
    launched = run_code(readme)
    limits = launched["stopping_condition"]
    assert launched["compute"].enable_managed_spot_training is True
    assert (limits.max_runtime_in_seconds, limits.max_wait_time_in_seconds) == (1800, 7200)
    assert (launched["training_image"], launched["start_from"]) == ("image {'graphics': True}", "first")
    assert "Train `first` first, as its own README says" in readme.read_text()
    readme = write(written.parent, goes_on_from="run walker")
    assert run_code(readme)["checkpoint_config"].s3_uri == "s3://mine/checkpoints/walker/"
    assert "Where jobs of the run `walker` came before this one" in readme.read_text()


def test_an_image_without_a_digest(written):
    readme = write(written.parent, image="registry/mlagents-0.11.0:77")
    row = "| image | registry/mlagents-0.11.0:77 (no registry held it: the tag is its content hash) |"
    assert row in readme.read_text().splitlines()


def test_the_curve_is_saved_with_full_precision(written):
    read = pd.read_csv(written.with_name("curve.csv"))
    assert list(read.columns) == rewards.COLUMNS
    assert read["mean_reward"][0] == 88.25
    assert read["mean_reward"].isna()[1]


@pytest.mark.parametrize(
    "record", ["", "[]", "null", "{}", "[" * 100_000, '{"reason": "", "brains": 3}', "9" * 5000, "\xff"], ids=range(8)
)
def test_an_invalid_record(tmp_path, record):
    (tmp_path / "training.json").write_bytes(record.encode("latin-1"))
    with pytest.raises(
        rewards.RewardsError, match=r"Expected the record of a training in .*training\.json, but it can't"
    ):
        write(tmp_path)
