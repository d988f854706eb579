"""Tuning jobs: launched through the SDK's own tuner, followed, stopped, and seen as a table and a picture."""

import re
import time
import uuid
from datetime import datetime, timezone
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

import training_jobs as training
from many_runs import tuning
from many_runs.tuning import following, job, launching
from many_runs.tuning.drawing import plot
from many_runs.tuning.job import make_table
from training_image import Image
from training_jobs import patience

IMAGE = Image("123456789012.dkr.ecr.us-east-1.amazonaws.com", "0123456789abcdef")
GAMMA = "reward_signals.extrinsic.gamma"


@pytest.fixture
def volume(connection):
    connection.client("s3").put_object(Bucket=connection.bucket, Key="unity-volume/abc/3DBall.x86_64", Body=b"player")
    return f"s3://{connection.bucket}/unity-volume/abc/"


def launch(connection, volume, do="tell lambd", ranges=None, **more):
    given = {
        "hyperparameters": {"do": do},
        "ranges": {"lambd": (0.9, 0.99)} if ranges is None else ranges,
        "strategy": "Random",
        "max_trainings": 3,
        "seed": 1,
        "max_minutes": 2,
        **more,
    }
    return tuning.launch(connection, volume=volume, image=IMAGE, **given)


def follow(connection, name):
    return tuning.follow(connection, name, poll_seconds=0.1)


def test_a_tuning_job_is_what_was_asked_for(connection, volume):
    ranges = {
        "learning_rate": (1e-5, 1e-2, "Logarithmic"),
        GAMMA: (0.9, 0.9999, "ReverseLogarithmic"),
        "batch_size": (32, 64),
        "lambd": (0.9, 0.99),
        "normalize": [True, False],
    }
    name = launch(connection, volume, "tell lambd;model trained", ranges, hyperparameters={"do": "tell lambd", "x": 1})
    assert re.fullmatch(r"mlagents-tune-\d{11}-[0-9a-f]{6}", name)
    told = connection.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    config, definition = told["HyperParameterTuningJobConfig"], told["TrainingJobDefinition"]
    assert config == {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "mean_reward"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "IntegerParameterRanges": [
                {"Name": "batch_size", "MinValue": "32", "MaxValue": "64", "ScalingType": "Auto"}
            ],
            "ContinuousParameterRanges": [
                {"Name": "learning_rate", "MinValue": "1e-05", "MaxValue": "0.01", "ScalingType": "Logarithmic"},
                {"Name": GAMMA, "MinValue": "0.9", "MaxValue": "0.9999", "ScalingType": "ReverseLogarithmic"},
                {"Name": "lambd", "MinValue": "0.9", "MaxValue": "0.99", "ScalingType": "Auto"},
            ],
            "CategoricalParameterRanges": [{"Name": "normalize", "Values": ["true", "false"]}],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "RandomSeed": 1,
    }
    objective = {"_tuning_objective_metric": "mean_reward"}  # the SDK's own
    assert definition["StaticHyperParameters"] == {"do": "tell lambd", "x": "1", **objective}
    metrics = definition["AlgorithmSpecification"]["MetricDefinitions"]
    assert {metric["Name"]: metric["Regex"] for metric in metrics} == training.METRICS
    assert definition["EnableNetworkIsolation"] is True
    assert definition["StoppingCondition"] == {"MaxRuntimeInSeconds": 120}
    assert definition["ResourceConfig"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert "CheckpointConfig" not in definition

    job = follow(connection, name)
    assert (job.status, job.done, job.failed) == ("Completed", 3, 0)
    assert tuning.find(connection) == job  # the newest
    best = training.find(connection, job.best)
    assert best.status == "Completed"
    assert best.hyperparameters["lambd"] == job.best_parameters["lambd"]
    assert best.metrics["mean_reward"] == pytest.approx(float(job.best_parameters["lambd"]), abs=1e-6)
    tags = connection.client("sagemaker").list_tags(
        ResourceArn=f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{job.best}"
    )["Tags"]
    assert tags == [{"Key": "project", "Value": "mlagents"}, {"Key": "image", "Value": IMAGE.tag}]

    table = tuning.table(connection, name)
    assert list(table) == [
        "job",
        "learning_rate",
        GAMMA,
        "lambd",
        "batch_size",
        "normalize",
        "mean_reward",
        "status",
        "seconds",
        "usd",
        "note",
    ]
    assert table["job"][0] == job.best
    assert list(table["mean_reward"]) == sorted(table["mean_reward"], reverse=True)
    assert list(table["status"]) == ["Completed"] * 3 and list(table["note"]) == [""] * 3
    assert table["batch_size"].between(32, 64).all() and table["learning_rate"].between(1e-5, 1e-2).all()
    trainings = tuning.find_trainings(connection, name)
    assert sum(table["usd"]) == pytest.approx(sum(one.seconds for one in trainings) / 3600 * 0.204)
    assert f"Best mean_reward: {job.best_objective:.3f} with " in str(job)
    assert f"({job.best})" in str(job)


def test_the_same_is_not_launched_twice(connection, volume, capsys):
    name = launch(connection, volume, "term;tell lambd;wait", early_stopping=False)
    assert launch(connection, volume, "term;tell lambd;wait", early_stopping=False) == name
    assert "No second one is launched." in capsys.readouterr().out
    other = launch(connection, volume, "term;tell lambd;wait", early_stopping=False, seed=2)
    assert other != name
    for one in (name, other):
        tuning.stop(connection, one)
    for one in (name, other):
        assert follow(connection, one).status == "Stopped"


def test_one_that_completed_is_launched_again_only_if_asked(connection, volume, capsys):
    name = launch(connection, volume, "tell lambd", max_trainings=1)
    assert follow(connection, name).status == "Completed"
    assert launch(connection, volume, "tell lambd", max_trainings=1) == name
    assert f"{name} has completed with the same ranges and settings." in capsys.readouterr().out
    again = launch(connection, volume, "tell lambd", max_trainings=1, again=True)
    assert again != name
    assert follow(connection, again).status == "Completed"


def test_one_that_completed_is_found_behind_a_page_of_others(connection):
    mark, now = "abcdef", datetime.now(timezone.utc)

    def page(status, numbers):
        told = {
            "HyperParameterTuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/x",
            "HyperParameterTuningJobStatus": status,
            "Strategy": "Random",
            "CreationTime": now,
            "TrainingJobStatusCounters": {},
            "ObjectiveStatusCounters": {},
        }
        return {
            "HyperParameterTuningJobSummaries": [
                {"HyperParameterTuningJobName": f"mlagents-tune-{number}-{mark}", **told} for number in numbers
            ]
        }

    client = connection.client("sagemaker")
    asked = {"NameContains": mark, "SortBy": "CreationTime", "SortOrder": "Descending"}
    with Stubber(client) as stub:
        for given, answer in (
            (asked, {**page("Failed", range(11, 1, -1)), "NextToken": "more"}),
            ({**asked, "NextToken": "more"}, page("Completed", [1])),
        ):
            stub.add_response("list_hyper_parameter_tuning_jobs", answer, given)
        found = launching._find_same(SimpleNamespace(client=lambda name: client), mark)
    assert (found.name, found.running) == (f"mlagents-tune-1-{mark}", False)


def test_only_tuning_jobs_of_this_project_are_listed(connection, failing):
    summary = {"HyperParameterTuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/x"}
    names = ("team-mlagents-tune-1-abcdef", "mlagents-tuned-1", "mlagents-tune-1-abcdef")
    answer = {"HyperParameterTuningJobSummaries": [{"HyperParameterTuningJobName": name, **summary} for name in names]}

    def others(**_):
        return AWSResponse("", 200, {}, None), answer

    event = "before-call.sagemaker.ListHyperParameterTuningJobs"
    connection.session.events.register(event, others, unique_id="others")
    assert tuning.job.list_newest(connection, 3) == ["mlagents-tune-1-abcdef"]
    connection.session.events.unregister(event, unique_id="others")


LOST = ReadTimeoutError(endpoint_url="https://sagemaker")


@pytest.mark.parametrize(
    "event, answers",
    [
        ("before-call.sagemaker.ListHyperParameterTuningJobs", [("ThrottlingException", 400), LOST, None]),
        ("after-call.sagemaker.CreateHyperParameterTuningJob", [LOST, None]),
    ],
)
def test_launching_is_patient_and_launches_once(connection, volume, failing, monkeypatch, event, answers):
    before = tuning.job.list_newest(connection, 1000)
    with monkeypatch.context() as patch, failing(event, *answers) as aws:
        patch.setattr(patience.time, "sleep", lambda seconds: None)
        name = launch(aws, volume, max_trainings=1, parallel=1, seed=uuid.uuid4().int % 2**31)
    assert tuning.job.list_newest(connection, 1000) == [name, *before]
    expired = "credentials have expired.*aws sso login.*"
    for answers, ask, told in (
        ([None, ("ExpiredToken", 400)], tuning.follow, f"{name} and its trainings go on, and are billed meanwhile"),
        ([("ExpiredToken", 400)], tuning.stop, f"{name} was not stopped. It goes on, and is billed"),
    ):
        with (
            failing("before-call.sagemaker.DescribeHyperParameterTuningJob", *answers) as aws,
            pytest.raises(tuning.TuningError, match=expired + told),
        ):
            ask(aws, name)
    follow(connection, name)


def test_stopped_in_the_middle(connection, volume, capsys):
    ranges = {"num_layers": [1, 2]}
    name = launch(
        connection,
        volume,
        "say Mean Reward: 1.5;if num_layers 2;term;wait",
        ranges,
        strategy="Grid",
        max_trainings=None,
    )
    end = time.monotonic() + 30
    while tuning.find(connection, name).counts["Completed"] < 1:
        assert time.monotonic() < end
        time.sleep(0.1)  # AWS has no event to wait for
    tuning.stop(connection, name)
    assert f"Stopping {name} and its 1 running trainings." in capsys.readouterr().out
    job = follow(connection, name)
    assert (job.status, job.counts["Completed"], job.counts["Stopped"]) == ("Stopped", 1, 1)
    assert job.best_parameters == {"num_layers": "1"}
    tuning.stop(connection, name)
    assert f"{name} is Stopped already." in capsys.readouterr().out
    plot(job, tuning.table(connection, name))


@pytest.mark.parametrize(
    "do, notes",
    [("failure no player;exit 1", "AlgorithmError: no player, exit code: 1"), ("", "reported no value of the metric")],
)
def test_nothing_to_go_by(connection, volume, do, notes):
    job = follow(connection, launch(connection, volume, do))
    assert job.status == "Failed"
    assert job.failure and job.failure in str(job)
    assert job.best == "" and job.best_objective is None
    table = tuning.table(connection, job.name)
    assert list(table["note"]) == [notes] * 3
    assert table["mean_reward"].isna().all()
    with pytest.raises(
        tuning.TuningError, match=f"Expected trainings of {job.name} with a mean_reward to plot, found none. .*{notes}"
    ):
        plot(job, table)


def test_some_trainings_failed(connection, volume):
    ranges = {"num_layers": [1, 2, 3]}
    do = "say Mean Reward: 1.5;if num_layers 2;failure too deep;exit 1"
    job = follow(connection, launch(connection, volume, do, ranges, strategy="Grid", max_trainings=None))
    assert (job.status, job.done, job.failed) == ("Completed", 3, 1)
    assert ", 2 completed, 1 failed" in str(job)
    table = tuning.table(connection, job.name)
    assert list(table["status"]) == ["Completed", "Completed", "Failed"]  # shown, and last
    assert table["note"][2] == "AlgorithmError: too deep, exit code: 1"
    assert table["mean_reward"].isna().tolist() == [False, False, True]
    axes = plot(job, table).axes[0]
    assert {line.get_label(): len(line.get_xdata()) for line in axes.lines} == {
        "completed": 1,
        "best": 1,
        "no mean_reward": 1,
    }


def test_interrupting_leaves_it_running(connection, volume, monkeypatch, capsys):
    name = launch(connection, volume, "term;tell lambd;wait", parallel=1)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    assert tuning.follow(connection, name).status == "InProgress"
    told = capsys.readouterr().out
    assert f"No longer following. {name} and its trainings go on." in told
    assert f'tuning_name = "{name}"' in told and f'tuning.stop(connection, "{name}")' in told
    monkeypatch.undo()
    tuning.stop(connection, name)
    follow(connection, name)


def test_being_told_to_slow_down(connection, volume, monkeypatch):
    name = launch(connection, volume)
    pauses, answers = [], iter([True, True, False])
    describe = following.describe

    def throttled(*given):
        if pauses and next(answers, False):
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Describe")
        return describe(*given)

    sleep = time.sleep
    monkeypatch.setattr(following, "describe", throttled)
    monkeypatch.setattr(following.time, "sleep", lambda seconds: (pauses.append(seconds), sleep(0.2)))
    assert tuning.follow(connection, name, poll_seconds=0.5).status == "Completed"
    assert pauses[:3] == [0.5, 1.0, 2.0] and set(pauses[3:]) <= {0.5}  # and fast again once it may


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ranges": {}}, "Expected ranges to be 1 to 30 keys and what to try for each, such as"),
        (
            {"ranges": {"lerning_rate": (0.1, 0.2)}},
            "Expected the ranges to be of keys that the trainer has, found lerning_rate. Did you mean learning_rate?",
        ),
        (
            {"ranges": {"num-envs": (1, 4)}},
            "Expected the ranges to be of keys that the trainer has, found num-envs. It is an option of the run, not a "
            "key of the trainer.",
        ),
        (
            {"ranges": {"beta": (0.1, 0.2)}, "hyperparameters": {"beta": 0.1}},
            "Expected beta either in hyperparameters, with one value, or in ranges, found it in both. Leave it out of "
            "hyperparameters to tune it.",
        ),
        (
            {"ranges": {"learning_rate": (1e-2, 1e-5)}},
            "Expected the range of learning_rate to go from low to high, found (0.01, 1e-05). Write (1e-05, 0.01).",
        ),
        (
            {"ranges": {"learning_rate": (0.1, 0.1)}},
            "Expected the range of learning_rate to hold more than one value, found (0.1, 0.1). Put it into "
            "hyperparameters.",
        ),
        (
            {"ranges": {"learning_rate": ["slow", "fast"]}},
            "learning_rate is 'slow'. It must be a number.\nlearning_rate is 'fast'. It must be a number.",
        ),
        (
            {"ranges": {"learning_rate": ("slow", "fast")}},
            "Expected for learning_rate a range of two numbers, (low, high), found ('slow', 'fast'). Values that are no "
            "range stand in a list, with square brackets.",
        ),
        (
            {"ranges": {"normalize": (True, False)}},
            "Expected for normalize a list of the values to try, because it is no number, found the range (True, False). "
            "Write [True, False] if you mean these.",
        ),
        (
            {"ranges": {"vis_encode_type": ["simple", "resnets"]}},
            "vis_encode_type is 'resnets'. It must be one of simple, nature_cnn, resnet.",
        ),
        (
            {"ranges": {"num_layers": 2}},
            "Expected for num_layers a range such as (low, high), or a list of values to try",
        ),
        ({"ranges": {"num_layers": [2]}}, "Expected for num_layers 2 to 30 different values to try, found [2]."),
        (
            {"ranges": {"num_layers": [2, "2"]}},
            "Expected for num_layers 2 to 30 different values to try, found [2, '2'].",
        ),
        (
            {"ranges": {"batch_size": (16, 64.5)}},
            "batch_size is '64.5'. It must be a whole number of at most 2147483647.",
        ),
        ({"ranges": {GAMMA: (0.9, 1.5)}}, f"{GAMMA} is 1.5. It must be 0 to 1."),
        (
            {"ranges": {"beta": (0, 1, "Logarithmic")}},
            "Expected a logarithmic range of beta above 0, found (0, 1, 'Logarithmic'). Raise its low end.",
        ),
        (
            {"ranges": {GAMMA: (0.9, 1.0, "ReverseLogarithmic")}},
            f"Expected a reverse logarithmic range of {GAMMA} within 0 <= x < 1, found (0.9, 1.0, 'ReverseLogarithmic').",
        ),
        (
            {"ranges": {"beta": (0.1, 1, "log")}},
            "Expected the scale of beta to be one of Auto, Linear, Logarithmic, ReverseLogarithmic, found 'log'.",
        ),
        (
            {"metric": "mean_rewards"},
            "Expected metric to be one that a training reports, mean_reward, std_reward, step, found 'mean_rewards'. "
            "Did you mean mean_reward?",
        ),
        (
            {"metric": ["mean_reward"]},
            "Expected metric to be one that a training reports, mean_reward, std_reward, step, f",
        ),
        ({"early_stopping": "no"}, "Expected early_stopping to be True or False, found 'no'."),
        ({"again": "no"}, "Expected again to be True or False, found 'no'."),
        ({"direction": "up"}, "Expected direction to be one of Maximize, Minimize, found 'up'."),
        ({"strategy": "Hyperband"}, "Expected strategy to be one of Bayesian, Random, Grid, found 'Hyperband'."),
        ({"max_trainings": 0}, "Expected max_trainings to be a whole number, 1 or more, found 0."),
        ({"parallel": None}, "Expected parallel to be a whole number, 1 or more, found None."),
        ({"seed": -1}, "Expected seed to be a whole number from 1 to 2147483647, found -1."),
        (
            {"ranges": {"num_layers": [1, 2]}, "max_trainings": None},
            "Expected max_trainings of at most 2, for there are no more combinations, found 10. Set it, or widen the "
            "ranges.",
        ),
        (
            {"strategy": "Grid", "ranges": {"num_layers": (1, 2)}},
            "Expected lists of values for a grid, found ranges of num_layers. List what is to be tried.",
        ),
        (
            {"strategy": "Grid", "ranges": {"num_layers": [1, 2]}, "max_trainings": 3},
            "Expected max_trainings to be left out, a grid tries all 2 combinations, found 3.",
        ),
        ({"max_minutes": 0}, "Expected max_minutes to be a number from 1 to"),
    ],
)
def test_what_cannot_be_meant_is_refused(connection, volume, changes, problem):
    before = len(tuning.job.list_newest(connection, 100))
    with pytest.raises(tuning.TuningError) as refused:
        launch(connection, volume, **changes)
    assert str(refused.value).startswith(problem)
    assert len(tuning.job.list_newest(connection, 100)) == before


PPO = """
default:
  trainer: ppo
  batch_size: 128
  beta: 0.001
  buffer_size: 2048
  epsilon: 0.2
  hidden_units: 128
  lambd: 0.95
  learning_rate: 0.001
  max_steps: 4500
  memory_size: 256
  normalize: true
  num_epoch: 3
  num_layers: 2
  time_horizon: 1000
  sequence_length: 64
  summary_freq: 250
  use_recurrent: false
  reward_signals: {extrinsic: {strength: 1.0, gamma: 0.99}}
"""


@pytest.mark.parametrize(
    ("ranges", "static", "problem"),
    [
        ({"tau": (0.001, 0.01)}, {}, "tau is not read by the trainer ppo. Tune another key."),
        (
            {"batch_size": (64, 65536)},
            {},
            "With batch_size 65536: batch_size 65536 is more than buffer_size 2048. A batch is full only when 64 agents",
        ),
        (
            {"reward_signals.curiosity.strength": (0.01, 0.1)},
            {},
            "With reward_signals.curiosity.strength 0.01: curiosity lacks encoding_size.",
        ),
        (
            {"learning_rate": (1e-5, 1e-2)},
            {"max_steps": 200},
            "default trains 200 steps and writes a summary every 250: no training would report mean_reward.",
        ),
        ({"learning_rate": (1e-5, 1e-2)}, {"max_stepz": 200}, "max_stepz is no hyperparameter."),
    ],
)
def test_ranges_that_do_not_go_with_the_config(connection, volume, tmp_path, ranges, static, problem):
    (tmp_path / "trainer_config.yaml").write_text(PPO)
    with pytest.raises(tuning.TuningError) as refused:
        launch(connection, volume, ranges=ranges, hyperparameters=static, folder=tmp_path)
    assert str(refused.value).startswith(problem)


def test_an_instance_type_that_does_not_exist(connection, volume):
    with pytest.raises(
        tuning.TuningError, match=r"nothing was started: it does not know the instance type ml\.c5\.huge"
    ):
        launch(connection, volume, instance_type="ml.c5.huge")


def test_a_tuning_job_that_is_not_there(connection):
    with pytest.raises(
        tuning.TuningError, match="Expected a tuning job named nobody, found none on embedded. The newest"
    ):
        tuning.find(connection, "nobody")
    with pytest.raises(tuning.TuningError, match="Name it, so that no other is stopped"):
        tuning.stop(connection, "")


def made(**changes):
    ranges = (
        tuning.Range("learning_rate", "Continuous", 1e-5, 1e-2),
        tuning.Range("batch_size", "Integer", 32, 64),
        tuning.Range("normalize", "Categorical", values=("true", "false")),
    )
    given = {
        "name": "mlagents-tune-1",
        "status": "Completed",
        "failure": "",
        "strategy": "Random",
        "metric": "mean_reward",
        "maximise": True,
        "ranges": ranges,
        "most_trainings": 4,
        "parallel": 2,
        "counts": {},
        "best": "b",
        "best_objective": 9.0,
        "best_parameters": {},
        "instance_type": "ml.c5.xlarge",
        "created": None,
    }
    return tuning.Tuning(**{**given, **changes})


def trained(name, rate, objective, status="Completed", failure="", counts=True, normalize="true"):
    parameters = {"learning_rate": rate, "batch_size": "32", "normalize": normalize}
    return tuning.Training(name, parameters, objective, status, failure, counts, None, None)


def test_the_picture():
    plt.close("all")  # of tests before this one
    job = made()
    table = make_table(
        job,
        [
            trained("a", "0.001", 5.0),
            trained("b", "0.0001", 9.0, normalize="false"),
            trained("c", "0.01", 1.0, "Stopped"),
            trained("d", "1e-05", None, "Failed", "AlgorithmError: no player", False),
        ],
        None,
    )
    assert list(table["job"]) == ["b", "a", "c", "d"]
    assert table["usd"].isna().all()
    figure = plot(job, table)
    assert not plt.get_fignums()  # a notebook would show it twice
    rate, size, normalize = figure.axes
    assert (rate.get_xlabel(), rate.get_ylabel(), rate.get_xscale()) == (
        "learning_rate",
        "mean cumulative reward",
        "log",
    )
    assert size.get_xscale() == "linear"
    assert size.get_xlim() == pytest.approx((30.4, 65.6))  # the whole range, with some room
    assert rate.get_xlim() == pytest.approx((1e-5 / 1000**0.05, 1e-2 * 1000**0.05))
    drawn = {line.get_label(): [list(map(float, axis)) for axis in line.get_data()] for line in rate.lines}
    assert drawn == {
        "completed": [[0.001], [5.0]],
        "stopped": [[0.01], [1.0]],
        "best": [[0.0001], [9.0]],
        "no mean_reward": [[1e-05], [0.0]],
    }
    assert [tick.get_text() for tick in normalize.get_xticklabels()] == ["true", "false"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["completed", "stopped", "best", "no mean_reward"]


def test_the_least_is_best_where_it_is_minimised():
    job = made(maximise=False, best="a")
    table = make_table(job, [trained("a", "0.1", 1.0), trained("b", "0.2", 2.0)], 0.204)
    assert list(table["job"]) == ["a", "b"]


@pytest.mark.parametrize("after", ["Stopping", "Stopped", "InProgress"])
def test_a_stop_that_comes_second(connection, monkeypatch, capsys, after):
    """Somebody else stops it between the look at it and the request."""
    statuses = iter(["InProgress", after])
    monkeypatch.setattr(job, "describe", lambda *_: SimpleNamespace(status=next(statuses)))
    refused = {"Error": {"Code": "ValidationException", "Message": "The request was rejected"}}

    def stop(**request):
        assert request == {"HyperParameterTuningJobName": "mlagents-tune-1"}
        raise ClientError(refused, "StopHyperParameterTuningJob")

    client = SimpleNamespace(stop_hyper_parameter_tuning_job=stop)
    monkeypatch.setattr(type(connection), "client", lambda *_: client)
    if after == "InProgress":  # refused for another reason
        with pytest.raises(ClientError, match="The request was rejected"):
            tuning.stop(connection, "mlagents-tune-1")
    else:
        tuning.stop(connection, "mlagents-tune-1")
        assert capsys.readouterr().out == f"mlagents-tune-1 is {after} already.\n"
