"""Notebooks 1 to 6, one after another with their own defaults; what they show is held against what really was."""

import base64
import dataclasses
import io
import json
import re
import struct

import pandas as pd
import pytest
from PIL import Image

import evaluation
import reward_curves as rewards
import training_image as image
import training_jobs as training
from helpers import advice, volume
from policy_files import model
from tools import gallery, tutorial

pytestmark = pytest.mark.timeout(600)  # the first test runs six notebooks, one of which trains


@pytest.fixture(scope="module")
def road(run):
    return {number: run(number) for number in range(1, 7)}


@pytest.fixture(scope="module")
def result(project, road):
    """Return the folder that notebook 5 wrote."""
    (picture,) = (project / "results").glob("*/rewards.png")
    return picture.parent


@pytest.fixture(scope="module")
def job(connection, result):
    return training.find(connection, result.name)


@pytest.fixture(scope="module")
def curve(result):
    return rewards.read(result)


def test_1_makes_the_sample_and_finds_it_ready(road, project):
    assert "No build in ../unity-volume. Made the sample environment 3DBall.x86_64." in road[1]
    assert "The build is ready to train." in road[1]
    assert (project / "unity-volume/3DBall_Data").is_dir()


def test_2_uploads_every_file(road, project):
    read = volume.read(project / "unity-volume")
    assert f"{len(read.files)} files ({read.size / 1e6:.1f} MB) sent, 0 there already" in road[2]
    assert f"s3://mlagents-us-east-1-123456789012/unity-volume/{read.digest}/" in road[2]


def test_3_names_the_image(road, connection):
    assert image.read(connection).uri in road[3]


def test_4_trains_to_the_end(road, job):
    assert job.status == "Completed"
    assert f"{job.name}: Completed after {job.training_seconds} s of training" in road[4]
    assert "Every brain reached its max_steps." in road[4]
    assert 'value="500" max="500"' in road[4]
    assert job.hyperparameters == {"max_steps": "500", "seed": "1", "env-args": "--agents 48", "no-graphics": "true"}
    assert job.metrics["step"] == 500.0


def test_4_prices_a_million_steps_by_the_speed_of_this_very_job(road, job):
    assert f"<td>{500 / advice.training_seconds(job):.1f}</td>" in road[4]
    assert f"<td>{job.name}</td><td>this machine</td><td>1</td>" in road[4]
    assert "1 player and the trainer keep 2 cores busy at most" in road[4]


def test_5_shows_what_the_job_did(road, result, job, curve):
    record = json.loads((result / "training.json").read_text())
    assert (record["status"], record["mlagents"], record["brains"]["3DBall"]["steps"]) == ("completed", "0.11.0", 500)
    assert list(curve["step"]) == [250, 500]
    row = curve.iloc[-1]
    assert row["brain"] == "3DBall"
    assert round(row["mean_reward"], 3) == round(job.metrics["mean_reward"], 3)
    assert row["std_reward"] == pytest.approx(job.metrics["std_reward"])
    assert round(record["brains"]["3DBall"]["mean_reward"], 3) == round(row["mean_reward"], 3)
    assert f"{row['mean_reward']:.4g}" in road[5]


def test_5_leaves_models_pictures_and_what_it_takes_to_train_again(result, project, road, curve):
    assert (result / "3DBall.nn").stat().st_size > 10_000
    assert struct.unpack(">II", (result / "rewards.png").read_bytes()[16:24]) == (960, 540)
    assert b"<svg" in (result / "rewards.svg").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(result / "curve.csv"), curve)
    readme = (result / "README.md").read_text()
    assert "{'env-args': '--agents 48', 'max_steps': '500', 'no-graphics': 'true', 'seed': '1'}" in readme
    assert volume.read(project / "unity-volume").digest in readme
    assert "max_runtime_in_seconds=1800" in readme


def test_5_lists_artifacts_and_metrics_as_aws_has_them(road, connection, job):
    described = connection.client("sagemaker").describe_training_job(TrainingJobName=job.name)
    assert {metric["MetricName"] for metric in described["FinalMetricDataList"]} >= {"mean_reward", "step"}
    for metric in described["FinalMetricDataList"]:
        assert f"<td>{metric['MetricName']}</td>" in road[5]
    assert f"training/{job.name}/output/" in road[5]
    for archive in ("model.tar.gz", "output.tar.gz"):
        assert f"<td>{archive}</td>" in road[5]


def test_5_hides_no_value_of_its_table(road, curve):
    last = curve.iloc[-1]
    assert last["learning_rate"] < 0.0005  # three decimals would show none of it
    for column in ("learning_rate", "policy_loss", "entropy", "mean_reward", "std_reward"):
        assert f"{last[column]:.4g}</td>" in road[5]


def test_log_and_events_of_a_run_agree_to_the_last_digit(result, agree):
    both = agree(result)
    assert list(both["step"]) == [250, 500]
    assert both["elapsed"].equals(both["elapsed_logged"])
    assert both["attempt"].equals(both["attempt_logged"])


def test_the_events_of_a_job_are_read_from_s3_as_well(result, connection, job):
    record = json.loads((result / "training.json").read_text())
    events = rewards.read_events(result / "summaries", record["run_id"])
    pd.testing.assert_frame_equal(training.read_running(connection, job), events)
    without_checkpoints = dataclasses.replace(job, checkpoints="")
    pd.testing.assert_frame_equal(training.read_running(connection, without_checkpoints), events)


def test_6_checks_the_model_and_measures_it(road, project, result):
    found = model.read(result / "3DBall.nn")
    assert all(value in road[6] for _, value in found.facts)
    score = evaluation.evaluate([found], project / "unity-volume", episodes=50).scores["3DBall"]
    assert len(score.rewards) == 50
    assert str(score) in road[6]
    with Image.open(result / "watch.gif") as gif:
        assert gif.n_frames == 100
    assert "| watch.gif | the model at work |" in (result / "README.md").read_text()


def test_the_site_has_a_page_for_each_notebook(road, project):
    executed = sorted((project / "executed").glob("*.ipynb"))
    overview = gallery.write(executed, project / "site")
    pages = {notebook.with_suffix(".html").name for notebook in executed}
    docs = {f"{name}.html" for name in gallery.DOCS}
    assert {path.name for path in (project / "site").iterdir()} == {"index.html", *pages, *docs}
    for name in pages:
        assert f'href="{name}"' in overview.read_text()
        page = (project / "site" / name).read_text()
        assert "Traceback" not in page
        assert not re.search(r'href="[^"]+\.ipynb"', page)
        assert not re.search(r"<script[^>]+src=", page)  # nothing of it comes from elsewhere
        assert page.count('<details class="contents">') == 1
    assert "data:image/svg+xml;base64," in (project / "site/01_check_unity_build.html").read_text()
    (middle,) = (project / "site").glob("03_*.html")
    assert re.findall(r'href="(\d\d)[^"]*" rel="(\w+)"', middle.read_text()) == [("02", "prev"), ("04", "next")]


def test_the_sites_cards_have_the_pictures_that_matter(road, project, result):
    executed = {int(path.stem[:2]): path for path in (project / "executed").glob("*.ipynb")}
    pages = {number: gallery.describe(path) for number, path in executed.items()}
    assert {number for number, page in pages.items() if not page.picture} == {2}
    assert "3DBall_Data/player/main.py" in pages[2].excerpt
    cells = json.loads(executed[5].read_text())["cells"]
    (curve,) = [cell["outputs"] for cell in cells if "rewards.plot_training(" in "".join(cell["source"])]
    assert pages[5].picture == "".join(curve[0]["data"]["image/png"]).replace("\n", "")
    with Image.open(result / "watch.gif") as gif, Image.open(io.BytesIO(base64.b64decode(pages[6].picture))) as card:
        assert card.format == "PNG"
        assert card.tobytes() == gif.convert("RGB").tobytes()
    overview = gallery.write_overview(project, [pages[5], pages[6]]).read_text()
    assert overview.count('<img alt="" src="data:image/png;base64,') == 2


@pytest.mark.parametrize("number", [1, 2, 3, 5, pytest.param(6, marks=pytest.mark.long)])
def test_its_solution_runs(road, solve, number):
    solve(number)


def test_4_follows_a_job_by_its_name_and_says_why_it_failed(connection, job, run):
    sagemaker = connection.client("sagemaker")
    described = sagemaker.describe_training_job(TrainingJobName=job.name)
    members = sagemaker.meta.service_model.operation_model("CreateTrainingJob").input_shape.members
    request = {name: value for name, value in described.items() if name in members}
    sagemaker.create_training_job(
        **{**request, "TrainingJobName": "mlagents-failed", "HyperParameters": {"max_steps": "0"}}
    )
    with pytest.raises(tutorial.TutorialError, match=r"04_train_on_sagemaker.*AssertionError: .*max_steps"):
        run(4, "failed", job_name="mlagents-failed")
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 2  # it launched none


def test_1_refuses_two_builds(run, tmp_path):
    for name in ("A", "B"):
        (tmp_path / f"{name}.x86_64").write_bytes(b"\x7fELF")
        (tmp_path / f"{name}_Data").mkdir()
    with pytest.raises(tutorial.TutorialError, match="Expected one build, found 2: A.x86_64, B.x86_64"):
        run(1, "failed", unity_volume=str(tmp_path))


def test_an_unknown_parameter_is_an_error(run):
    with pytest.raises(tutorial.TutorialError, match=r"04_train_on_sagemaker.ipynb has no parameter max_step\."):
        run(4, "failed", max_step=1)
