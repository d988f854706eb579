"""The notebooks, run one after another with their own defaults; what they show is held against what really was."""

import base64
import dataclasses
import html
import io
import json
import re
import struct
import time

import nbformat
import pandas as pd
import pytest
from PIL import Image

import evaluation
import reward_curves as rewards
import training_image as image
import training_jobs as training
from common import ROOT
from helpers import advice, aws, interruptions, volume
from many_runs import experiment, tuning
from policy_files import model
from sagemaker_local.tuning import sampler
from tools import gallery, tutorial

SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))
SHORT_SOLUTIONS = {}
"""Number of a lesson -> parameters with which its solution takes seconds, as `road` has them for the lessons."""

pytestmark = pytest.mark.timeout(1500)  # the first test runs all notebooks, and so trains some twenty times


def test_1_makes_the_sample_and_finds_it_ready(road, project):
    assert "No build in ../unity-volume. Made the sample environment 3DBall.x86_64." in road[1]
    assert "The build is ready to train." in road[1]
    assert (project / "unity-volume/3DBall_Data").is_dir()


def test_2_uploads_every_file(road, project):
    read = volume.read(project / "unity-volume")
    assert f"{len(read.files)} files ({read.size / 1e6:.1f} MB) sent, 0 there already" in road[2]
    assert f"s3://mlagents-us-east-1-123456789012/unity-volume/{read.digest}/" in road[2]


def test_3_names_the_image(road):
    assert image.read(aws.connect("embedded")).uri in road[3]


def test_4_trains_to_the_end(road, result):
    name = result.name
    job = training.find(aws.connect("embedded"), name)
    assert job.status == "Completed"
    assert f"{name}: Completed after {job.training_seconds} s of training" in road[4]
    assert "Every brain reached its max_steps." in road[4]
    assert 'value="500" max="500"' in road[4]
    assert job.hyperparameters == {"max_steps": "500", "seed": "1", "env-args": "--agents 48", "no-graphics": "true"}
    assert job.metrics["step"] == 500.0


def test_4_prices_a_million_steps_by_the_speed_of_this_very_job(road, result):
    job = training.find(aws.connect("embedded"), result.name)
    speed = 500 / advice.training_seconds(job)
    assert f"<td>{speed:.1f}</td>" in road[4]
    assert f"measured: step 500 after {advice.training_seconds(job):.0f} s of {job.name}" in road[4]
    assert "extrapolated: as fast, for 1 player and the trainer keep 2 cores busy" in road[4]


def test_5_shows_what_the_job_did(road, result):
    record = json.loads((result / "training.json").read_text())
    assert record["status"] == "completed"
    assert record["mlagents"] == "0.11.0"
    assert record["brains"]["3DBall"]["steps"] == 500
    curve = rewards.read(result)
    assert list(curve["step"]) == [250, 500]
    row = curve.to_dict("records")[-1]
    job = training.find(aws.connect("embedded"), result.name)
    assert (row["brain"], row["step"]) == ("3DBall", 500)
    assert round(row["mean_reward"], 3) == round(job.metrics["mean_reward"], 3)
    assert row["std_reward"] == pytest.approx(job.metrics["std_reward"])
    assert round(record["brains"]["3DBall"]["mean_reward"], 3) == round(row["mean_reward"], 3)
    assert f"{row['mean_reward']:.3f}" in road[5]


def test_5_leaves_model_and_pictures(road, result):
    assert (result / "3DBall.nn").stat().st_size > 10_000
    png = (result / "rewards.png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (960, 540)
    assert b"<svg" in (result / "rewards.svg").read_bytes()


def test_5_keeps_what_it_takes_to_train_again(result):
    table = pd.read_csv(result / "curve.csv")
    pd.testing.assert_frame_equal(table, rewards.read(result))
    told = (result / "README.md").read_text()
    assert "hyperparameters={'env-args': '--agents 48', 'max_steps': '500', 'no-graphics': 'true', 'seed': '1'}" in told
    assert volume.read(result.parents[1] / "unity-volume").digest in told
    assert "max_minutes=30.0," in told


def test_5_checks_the_models(road, result):
    for fact in model.read(result / "3DBall.nn").facts:
        assert fact[1] in road[5]


def test_5_hides_no_value_of_its_table(road, result):
    last = rewards.read(result).iloc[-1]
    assert last["learning_rate"] < 0.0005  # three decimals would show none of it
    for column in ("learning_rate", "policy_loss", "entropy", "mean_reward", "std_reward"):
        assert f"{last[column]:.4g}</td>" in road[5]


def agree(folder):
    """Hold the log of a job to its events, row by row; give the rows of the log."""
    record = json.loads((folder / "training.json").read_text())
    events = rewards.read_events(folder / "summaries", record["run_id"])
    reader = rewards.LogReader()
    reader.feed((folder / "log.txt").read_text().splitlines())
    logged, joined = reader.table().dropna(subset="mean_reward").reset_index(drop=True), rewards.read(folder)
    rewarded = events[events["mean_reward"].notna()]
    ours = rewarded[rewarded["step"] >= logged["step"].iloc[0]].reset_index(drop=True)
    assert ours[["brain", "step"]].equals(logged[["brain", "step"]])
    assert [f"{reward:.3f}" for reward in ours["mean_reward"]] == [f"{reward:.3f}" for reward in logged["mean_reward"]]
    assert joined.drop(columns=["elapsed", "std_reward"]).equals(events.drop(columns=["elapsed", "std_reward"]))
    both = joined.merge(logged, on=["brain", "step"], suffixes=("", "_logged"))
    assert both["std_reward"].equals(both["std_reward_logged"])
    assert joined["elapsed"].is_monotonic_increasing
    return both


def test_log_and_events_of_a_run_agree_to_the_last_digit(result):
    both = agree(result)
    assert list(both["step"]) == [250, 500]
    assert both["elapsed"].equals(both["elapsed_logged"])
    assert both["attempt"].equals(both["attempt_logged"])


def test_the_events_of_a_job_are_read_from_s3_as_well(result):
    connection = aws.connect("embedded")
    job = training.find(connection, result.name)
    record = json.loads((result / "training.json").read_text())
    pd.testing.assert_frame_equal(
        training.read_running(connection, job), rewards.read_events(result / "summaries", record["run_id"])
    )
    board = dataclasses.replace(job, checkpoints="")
    pd.testing.assert_frame_equal(training.read_running(connection, board), training.read_running(connection, job))


def test_6_checks_the_model_and_measures_it(road, project):
    newest = max((project / "results").glob("*/watch.gif"), key=lambda path: path.stat().st_mtime).parent
    found = model.read(newest / "3DBall.nn")
    assert all(value in road[6] for _, value in found.facts)
    score = evaluation.evaluate([found], project / "unity-volume").scores["3DBall"]
    assert len(score.rewards) == 100
    assert str(score) in road[6]
    with Image.open(newest / "watch.gif") as gif:
        assert gif.n_frames == 100
    assert "| watch.gif | the model at work |" in (newest / "README.md").read_text()


def test_the_site_has_a_page_for_each_notebook(road, project):
    executed = sorted((project / "executed").glob("*.ipynb"))
    overview = gallery.write(executed, project / "site")
    assert sorted(path.name for path in (project / "site").iterdir()) == sorted(
        ["index.html", *(notebook.with_suffix(".html").name for notebook in executed)]
    )
    told = overview.read_text()
    for notebook in executed:
        assert f'href="{notebook.stem}.html"' in told
        page = (project / "site" / f"{notebook.stem}.html").read_text()
        assert "Traceback" not in page
        assert not re.search(r'href="[^"]+\.ipynb"', page)
        assert not re.search(r"<script[^>]+src=", page)  # nothing of it comes from elsewhere


def test_the_sites_cards_have_the_pictures_that_matter(road, project):
    executed = {int(path.stem[:2]): path for path in (project / "executed").glob("*.ipynb")}
    pages = {number: gallery.describe(path) for number, path in executed.items()}
    assert [number for number, page in sorted(pages.items()) if not page.picture and number not in (2, 3)] == []
    cells = nbformat.read(executed[5], as_version=4).cells
    (curve,) = [cell.outputs for cell in cells if "rewards.plot(curves, smooth=smooth)" in cell.source]
    assert pages[5].picture == curve[0].data["image/png"].replace("\n", "")
    newest = max((project / "results").glob("*/watch.gif"), key=lambda path: path.stat().st_mtime)
    with Image.open(newest) as gif, Image.open(io.BytesIO(base64.b64decode(pages[6].picture))) as card:
        assert card.format == "PNG"
        assert card.tobytes() == gif.convert("RGB").tobytes()
    overview = gallery.write_overview(project, [pages[5], pages[6]]).read_text()
    assert overview.count('<img alt="" src="data:image/png;base64,') == 2


@pytest.fixture(scope="module")
def spot_jobs(road, result):
    """Give the two jobs of notebook 7, the interrupted one and the one that trained further."""
    connection = aws.connect("embedded")
    newest = training.list_newest(connection.client("sagemaker"), 20)
    names = [name for name in newest if training.find(connection, name).spot]
    assert len(names) == 2
    assert result.name not in names
    return training.find(connection, names[1]), training.find(connection, names[0])


def test_7_goes_on_where_it_was_interrupted(road, project, spot_jobs):
    job, _ = spot_jobs
    assert (job.status, job.spot, job.interruptions) == ("Completed", True, 1)
    assert [phase.name for phase in job.phases][2:7] == [
        *("Training", "Interrupted", "Restarting", "Downloading", "Training"),
    ]
    record = json.loads((project / "results" / job.name / "training.json").read_text())
    step = record["resumed_from"]["3DBall"]
    assert 250 <= step < 600
    assert record["brains"]["3DBall"]["steps"] == 600
    assert list(rewards.read(project / "results" / job.name)["step"]) == [250, 500]
    assert interruptions.read_steps(project / "results" / job.name) == [step]
    first_life = job_log(job).split("brain 3DBall goes on from step")[0]
    assert f"train: stopped. Stopped by SIGTERM after step {step} of 3DBall." in first_life


def job_log(job):
    log = training.Log(aws.connect("embedded"), job.name)
    log.read()
    return "\n".join(log.lines)


def test_7_tells_what_spot_saved(road, spot_jobs):
    job, _ = spot_jobs
    saved = job.training_seconds - job.billable_seconds
    assert saved > 0
    assert f"trained {job.training_seconds} s, billed {job.billable_seconds} s" in road[7]
    assert f"saved   {saved} s, {100 * saved / job.training_seconds:.0f} %" in road[7]


def test_7_trains_the_model_further(road, project, spot_jobs):
    first, further = spot_jobs
    assert (further.status, further.goes_on_from) == ("Completed", f"job {first.name}")
    folder = project / "results" / further.name
    record = json.loads((folder / "training.json").read_text())
    assert record["resumed_from"] == {"3DBall": 601}  # ML-Agents ends one step after max_steps
    assert record["brains"]["3DBall"]["steps"] == 750
    assert list(rewards.read(folder)["step"]) == [250, 500, 750]
    before, after = rewards.read(project / "results" / first.name), rewards.read(folder)
    assert list(after["mean_reward"][:2]) == list(before["mean_reward"])
    assert (folder / "3DBall.nn").read_bytes() != (project / "results" / first.name / "3DBall.nn").read_bytes()


def test_7_log_and_events_agree_where_a_run_went_on(road, project, spot_jobs):
    interrupted, further = (agree(project / "results" / job.name) for job in spot_jobs)
    assert list(interrupted["step"]) == [250, 500]
    assert interrupted["elapsed"].equals(interrupted["elapsed_logged"])
    assert interrupted["attempt"].equals(interrupted["attempt_logged"])
    assert list(further["step"]) == [750]  # its log begins where the other job ended
    assert further["attempt"][0] > further["attempt_logged"][0] == 1


def test_7_tells_the_speed_of_the_job_that_trained_further(road, project, spot_jobs):
    _, job = spot_jobs
    (row,) = rewards.read_log((project / "results" / job.name / "log.txt").read_text().splitlines()).to_dict("records")
    speed = (750 - 601) / row["elapsed"]
    told = f"{speed:.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s"
    assert f"step 750 of 750 · {told} · mean reward {row['mean_reward']:.2f}" in road[7]


@pytest.fixture(scope="module")
def repeated(road):
    """Give the experiment of notebook 8."""
    return experiment.find(aws.connect("embedded"))


def test_8_trains_each_setting_with_each_seed(road, repeated):
    wanted = [("buffer 4800", 1), ("buffer 4800", 2), ("buffer 2400", 1), ("buffer 2400", 2)]
    assert [run.label for run in repeated.runs] == wanted
    assert str(repeated) == f"{repeated.name}: 4 runs (4 Completed)"
    assert str(repeated) in road[8]
    for run in repeated.runs:
        assert run.job.hyperparameters["buffer_size"] == run.settings.removeprefix("buffer ")
        assert f"<td>{pd.Series([run.job.metrics['mean_reward']]).round(2)[0]:.2f}</td>" in road[8]
    assert len({run.job.metrics["mean_reward"] for run in repeated.runs}) == 4


def test_8_compares_what_was_trained(road, repeated):
    curves = experiment.read_curves(aws.connect("embedded"), repeated)
    assert {len(curve) for runs in curves.groups.values() for curve in runs.values()} == {2}
    compared = experiment.compare(curves.score())
    assert f"<td>{compared.difference:+.2f}</td>" in road[8]
    assert html.escape(compared.verdict) in road[8]
    assert "2 and 2 runs are few" in road[8]


def test_8_searches_by_what_trainings_earned(road):
    """There are trainings left once those that are drawn at random have been tried."""
    connection = aws.connect("embedded")
    tuned = tuning.find(connection)
    assert str(tuned) in road[8]
    assert tuned.done == tuned.most_trainings > sampler.FIRST_AT_RANDOM + 1


def test_8_counts_the_cost_of_everything(road, repeated):
    connection = aws.connect("embedded")
    billed = sum(run.job.billable_seconds for run in repeated.runs)
    found = tuning.table(connection)
    usd = sum(experiment.tabulate(connection, repeated)["usd"]) + found["usd"].sum()
    row = rf"<th>in all</th>\s*<td>{billed + found['seconds'].sum()}</td>\s*<td>{usd:.6f}</td>"
    assert re.search(row, road[8])


def test_8_again_launches_nothing(run, repeated):
    sagemaker = aws.connect("embedded").client("sagemaker")
    before = training.list_newest(sagemaker, 100)
    assert str(repeated) in run(8, "again", max_steps=500, seeds=[1, 2])
    assert training.list_newest(sagemaker, 100) == before


def test_8_shows_what_a_stopped_search_left_and_names_what_is_not_compared(road, run, project, repeated):
    connection = aws.connect("embedded")
    name = tuning.launch(
        connection,
        volume=volume.locate(connection, project / "unity-volume"),
        image=image.locate(connection, project / "container"),
        hyperparameters={"max_steps": 500, "summary_freq": 250, "seed": 1},
        ranges={"learning_rate": (1e-4, 1e-2)},
        parallel=1,
    )
    while not tuning.find(connection, name).counts["Completed"]:
        time.sleep(0.2)  # there is no event to wait for
    tuning.stop(connection, name)
    tuned = tuning.follow(connection, name, poll_seconds=0.2)
    assert tuned.status == "Stopped"
    (notebook,) = (project / "notebooks").glob("08_*.ipynb")
    cells = json.loads(notebook.read_text())
    (cell,) = (cell for cell in cells["cells"] if cell["source"][0] == "settings = {\n")
    cell["source"].insert(1, '    "buffer 1200": {"buffer_size": 1200, "batch_size": 240},\n')
    (project / "notebooks/18_changed.ipynb").write_text(json.dumps(cells))
    told = run(18, "changed", max_steps=500, seeds=[1, 2], experiment_name=repeated.name, tuning_name=name)
    assert "Not compared: buffer 1200." in told
    assert str(tuned) in told
    assert told.count("<td>Completed</td>") == 6 + tuned.counts["Completed"]
    assert "<th>in all</th>" in told


@pytest.mark.parametrize("solution", [path.name for path in SOLUTIONS])
def test_a_solution_runs_after_its_lesson(road, project, solution):
    """What a task is to show, the solution asserts."""
    settings = SHORT_SOLUTIONS.get(int(solution[:2]), {})
    tutorial.execute(project / "notebooks/solutions" / solution, settings, project / "solutions")


def test_a_second_upload_sends_nothing(road, run):
    assert re.search(r"^0 files \(0\.0 MB\) sent, \d+ there already", run(2, "again"), re.MULTILINE)


def test_4_with_a_jobs_name_follows_it(road, run, result):
    sagemaker = aws.connect("embedded").client("sagemaker")
    before = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    told = run(4, "again", job_name=result.name)
    assert f"{result.name}: Completed" in told
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == len(before)


def test_5_with_a_jobs_name_plots_it(road, run, result):
    assert result.name in run(5, "again", job_names=result.name)


def test_4_of_a_job_that_failed_says_why(road, run, result):
    sagemaker = aws.connect("embedded").client("sagemaker")
    told = sagemaker.describe_training_job(TrainingJobName=result.name)
    asked = sagemaker.meta.service_model.operation_model("CreateTrainingJob").input_shape.members
    request = {name: value for name, value in told.items() if name in asked}
    request["TrainingJobName"] = "mlagents-failed"
    request["HyperParameters"] = {"max_steps": "0"}
    sagemaker.create_training_job(**request)
    with pytest.raises(tutorial.TutorialError) as error:
        run(4, "failed", job_name="mlagents-failed")
    assert re.search(r"04_train_on_sagemaker.*AssertionError: .*max_steps", str(error.value))


def test_4_before_2_says_so(project, run, tmp_path):
    (tmp_path / "3DBall.x86_64").write_bytes(b"never uploaded")
    with pytest.raises(tutorial.TutorialError, match=r"VolumeError: Expected the 1 files .* Run notebook 2"):
        run(4, "failed", unity_volume=str(tmp_path))


def test_5_of_an_unknown_job(road, run):
    with pytest.raises(tutorial.TutorialError, match="Expected a training job named mlagents-never, found none"):
        run(5, "failed", job_names="mlagents-never")


def test_1_refuses_two_builds(run, tmp_path):
    for name in ("A", "B"):
        (tmp_path / f"{name}.x86_64").write_bytes(b"\x7fELF")
        (tmp_path / f"{name}_Data").mkdir()
    with pytest.raises(tutorial.TutorialError, match="Expected one build, found 2: A.x86_64, B.x86_64"):
        run(1, "failed", unity_volume=str(tmp_path))


def test_aws_without_a_role_says_so(run, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # of the tests; without a role nothing is asked of AWS
    with pytest.raises(tutorial.TutorialError, match="ConnectError: Expected the name or ARN of an execution role"):
        run(2, "failed", target="aws")


def test_an_unknown_parameter_is_an_error(run):
    with pytest.raises(tutorial.TutorialError, match=r"04_train_on_sagemaker.ipynb has no parameter max_step\."):
        run(4, "failed", max_step=1)


def test_5_shows_a_job_in_which_no_episode_ended(road, run, project):
    connection = aws.connect("embedded")
    name = training.launch(
        connection,
        volume=volume.locate(connection, project / "unity-volume"),
        image=image.locate(connection),
        hyperparameters={"max_steps": 8, "summary_freq": 4, "env-args": "--agents 2"},
        instance_type="ml.c5.xlarge",
        max_minutes=5,
    )
    training.follow(connection, name)
    told = run(5, "endless", job_names=name)
    assert "No episode of 3DBall ended, so there is no mean reward" in told
    assert re.search(r">mean_reward</th>\s*<td[^>]*></td>", told)
    kept = pd.read_csv(project / "results" / name / "curve.csv")
    assert list(kept["step"]) == [4, 8] and kept["mean_reward"].isna().all()
