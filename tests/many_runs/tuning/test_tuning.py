"""Tuning jobs: launched through the SDK's own tuner, followed, stopped, and seen as a table and a picture."""

import re
import time
import uuid
from datetime import datetime, timezone
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

import training_jobs as training
from many_runs import tuning
from many_runs.tuning import job, launching, ranges
from many_runs.tuning.drawing import plot
from many_runs.tuning.job import make_table
from many_runs.tuning.ranges import Range
from training_jobs import following as looking
from training_jobs import polling

GAMMA = "reward_signals.extrinsic.gamma"


@pytest.fixture
def volume(connection):
    connection.client("s3").put_object(Bucket=connection.bucket, Key="unity-volume/abc/3DBall.x86_64", Body=b"player")
    return f"s3://{connection.bucket}/unity-volume/abc/"


def make_parameters(ranges):
    """Return the SDK's: of a tuple of floats a continuous one, of whole numbers an integer one, of a list categories."""
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

    def make(value):
        if isinstance(value, list):
            return CategoricalParameter(value)
        return (IntegerParameter if isinstance(value[0], int) else ContinuousParameter)(*value)

    return {name: make(value) for name, value in ranges.items()}


@pytest.fixture
def launch(make_trainer):
    """Return a function that launches a tuning job and returns its name."""
    from sagemaker.train.tuner import HyperparameterTuner

    def launch_tuning(
        connection,
        volume,
        do="tell lambd",
        ranges=None,
        hyperparameters=None,
        trainer=None,
        folder=None,
        again=False,
        **more,
    ):
        options = {
            "objective_metric_name": "mean_reward",
            "metric_definitions": [{"Name": name, "Regex": regex} for name, regex in training.METRICS.items()],
            "strategy": "Random",
            "max_jobs": 3,
            "max_parallel_jobs": 2,
            "early_stopping_type": "Auto",
            "random_seed": 1,
            **more,
        }
        common = {"do": do} if hyperparameters is None else hyperparameters
        made, channels = make_trainer(connection, volume, common, **(trainer or {}))
        parameters = make_parameters({"lambd": (0.9, 0.99)} if ranges is None else ranges)
        tuner = HyperparameterTuner(made, hyperparameter_ranges=parameters, **options)
        return tuning.launch(connection, tuner, channels, folder=folder, again=again).name

    return launch_tuning


def follow(connection, name):
    return tuning.follow(connection, name, poll_seconds=0.1)


def test_a_tuning_job_matches_its_tuner(connection, volume, launch):
    ranges = {
        "learning_rate": (1e-5, 1e-2, "Logarithmic"),
        GAMMA: (0.9, 0.9999, "ReverseLogarithmic"),
        "batch_size": (32, 64),
        "lambd": (0.9, 0.99),
        "normalize": [True, False],
    }
    name = launch(connection, volume, "tell lambd;model trained", ranges, hyperparameters={"do": "tell lambd", "x": 1})
    assert re.fullmatch(r"mlagents-tune-\d{11}-[0-9a-f]{6}", name)
    description = connection.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    config, definition = description["HyperParameterTuningJobConfig"], description["TrainingJobDefinition"]
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
            "CategoricalParameterRanges": [{"Name": "normalize", "Values": ["True", "False"]}],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "RandomSeed": 1,
    }
    objective = {"_tuning_objective_metric": "mean_reward"}  # SageMaker's own
    assert definition["StaticHyperParameters"] == {"do": "tell lambd", "x": "1", **objective}
    metrics = definition["AlgorithmSpecification"]["MetricDefinitions"]
    assert {metric["Name"]: metric["Regex"] for metric in metrics} == training.METRICS
    assert definition["EnableNetworkIsolation"] is True
    assert definition["StoppingCondition"] == {"MaxRuntimeInSeconds": 120}
    assert definition["ResourceConfig"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert "CheckpointConfig" not in definition

    tuned = follow(connection, name)
    assert (tuned.status, tuned.done, tuned.failed) == ("Completed", 3, 0)
    assert tuning.find(connection) == tuned  # the newest
    best = training.find(connection, tuned.best)
    assert best.status == "Completed"
    assert best.hyperparameters["lambd"] == tuned.best_parameters["lambd"]
    assert best.metrics["mean_reward"] == pytest.approx(float(tuned.best_parameters["lambd"]), abs=1e-6)
    tags = connection.client("sagemaker").list_tags(
        ResourceArn=f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{tuned.best}"
    )["Tags"]
    assert tags == [{"Key": "project", "Value": "mlagents"}]

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
    assert table["job"][0] == tuned.best
    assert list(table["mean_reward"]) == sorted(table["mean_reward"], reverse=True)
    assert list(table["status"]) == ["Completed"] * 3 and list(table["note"]) == [""] * 3
    assert table["batch_size"].between(32, 64).all() and table["learning_rate"].between(1e-5, 1e-2).all()
    trainings = job.list_trainings(connection, name)
    assert sum(table["usd"]) == pytest.approx(sum(map(job.count_seconds, trainings)) / 3600 * 0.204)
    assert f"Best mean_reward: {tuned.best_objective:.3f} with " in str(tuned)
    assert f"({tuned.best})" in str(tuned)


def test_the_same_is_not_launched_twice(connection, volume, capsys, launch):
    name = launch(connection, volume, "term;tell lambd;wait", early_stopping_type="Off")
    assert launch(connection, volume, "term;tell lambd;wait", early_stopping_type="Off") == name
    assert "No second one is launched." in capsys.readouterr().out
    other = launch(connection, volume, "term;tell lambd;wait", early_stopping_type="Off", random_seed=2)
    assert other != name
    for one in (name, other):
        tuning.stop(connection, one)
    for one in (name, other):
        assert follow(connection, one).status == "Stopped"


def test_a_completed_tuning_job_is_relaunched_only_on_request(connection, volume, capsys, launch):
    name = launch(connection, volume, "tell lambd", max_jobs=1, max_parallel_jobs=1)
    assert follow(connection, name).status == "Completed"
    assert launch(connection, volume, "tell lambd", max_jobs=1, max_parallel_jobs=1) == name
    assert f"{name} has completed with the same ranges and settings." in capsys.readouterr().out
    again = launch(connection, volume, "tell lambd", max_jobs=1, max_parallel_jobs=1, again=True)
    assert again != name
    assert follow(connection, again).status == "Completed"


def test_a_completed_tuning_job_is_found_on_a_later_page(connection, monkeypatch):
    mark, now = "abcdef", datetime.now(timezone.utc)

    def page(status, numbers):
        summary = {
            "HyperParameterTuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/x",
            "HyperParameterTuningJobStatus": status,
            "Strategy": "Random",
            "CreationTime": now,
            "TrainingJobStatusCounters": {},
            "ObjectiveStatusCounters": {},
        }
        return {
            "HyperParameterTuningJobSummaries": [
                {"HyperParameterTuningJobName": f"mlagents-tune-{number}-{mark}", **summary} for number in numbers
            ]
        }

    client = connection.client("sagemaker")
    request = {"NameContains": mark, "SortBy": "CreationTime", "SortOrder": "Descending"}
    with Stubber(client) as stub:
        for responses, response in (
            (request, {**page("Failed", range(11, 1, -1)), "NextToken": "more"}),
            ({**request, "NextToken": "more"}, page("Completed", [1])),
        ):
            stub.add_response("list_hyper_parameter_tuning_jobs", response, responses)
        monkeypatch.setattr(launching, "describe", lambda _, name: name)
        found = launching._find_same(SimpleNamespace(client=lambda name: client), mark)
    assert found == f"mlagents-tune-1-{mark}"


def test_only_tuning_jobs_of_this_project_are_listed(connection, failing):
    summary = {"HyperParameterTuningJobArn": "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/x"}
    names = ("team-mlagents-tune-1-abcdef", "mlagents-tuned-1", "mlagents-tune-1-abcdef")
    response = {
        "HyperParameterTuningJobSummaries": [{"HyperParameterTuningJobName": name, **summary} for name in names]
    }

    def others(**_):
        return AWSResponse("", 200, {}, None), response

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
def test_launching_retries_and_launches_once(connection, volume, failing, monkeypatch, event, answers, launch):
    before = tuning.job.list_newest(connection, 1000)
    with monkeypatch.context() as patch, failing(event, *answers) as aws:
        patch.setattr(polling.time, "sleep", lambda seconds: None)
        name = launch(aws, volume, max_jobs=1, max_parallel_jobs=1, random_seed=uuid.uuid4().int % 2**31)
    assert tuning.job.list_newest(connection, 1000) == [name, *before]
    expired = "credentials have expired.*aws sso login.*"
    for answers, ask, message in (
        ([None, ("ExpiredToken", 400)], tuning.follow, f"{name} and its trainings go on, and are billed meanwhile"),
        ([("ExpiredToken", 400)], tuning.stop, f"{name} was not stopped. It goes on, and is billed"),
    ):
        with (
            failing("before-call.sagemaker.DescribeHyperParameterTuningJob", *answers) as aws,
            pytest.raises(training.TrainingError, match=expired + message),
        ):
            ask(aws, name)
    follow(connection, name)


def test_stopped_in_the_middle(connection, volume, capsys, launch):
    ranges = {"num_layers": [1, 2]}
    name = launch(
        connection,
        volume,
        "say Mean Reward: 1.5;if num_layers 2;term;wait",
        ranges,
        strategy="Grid",
        max_jobs=None,
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
    assert f"{name} has ended already: Stopped." in capsys.readouterr().out
    plot(job, tuning.table(connection, name))


@pytest.mark.parametrize(
    "do, notes",
    [("failure no player;exit 1", "AlgorithmError: no player, exit code: 1"), ("", "reported no value of the metric")],
)
def test_without_a_value_of_the_metric(connection, volume, do, notes, launch):
    job = follow(connection, launch(connection, volume, do))
    assert job.status == "Failed"
    assert job.failure and job.failure in str(job)
    assert job.best == "" and job.best_objective is None
    table = tuning.table(connection, job.name)
    assert list(table["note"]) == [notes] * 3
    assert table["mean_reward"].isna().all()
    with pytest.raises(
        training.TrainingError,
        match=f"Expected trainings of {job.name} with a mean_reward to plot, found none. .*{notes}",
    ):
        plot(job, table)


def test_some_trainings_failed(connection, volume, launch):
    ranges = {"num_layers": [1, 2, 3]}
    do = "say Mean Reward: 1.5;if num_layers 2;failure too deep;exit 1"
    job = follow(connection, launch(connection, volume, do, ranges, strategy="Grid", max_jobs=None))
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


def test_interrupting_leaves_it_running(connection, volume, monkeypatch, capsys, launch):
    name = launch(connection, volume, "term;tell lambd;wait", max_parallel_jobs=1)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(looking.time, "sleep", interrupt)
    assert tuning.follow(connection, name).status == "InProgress"
    output = capsys.readouterr().out
    assert f"No longer following. {name} and its trainings go on." in output
    assert f'tuning.follow(connection, "{name}")' in output and f'tuning.stop(connection, "{name}")' in output
    monkeypatch.undo()
    tuning.stop(connection, name)
    follow(connection, name)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
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
            "Expected beta either in the trainer's hyperparameters, with one value, or in hyperparameter_ranges, found "
            "it in both. Leave it out of hyperparameters to tune it.",
        ),
        (
            {"ranges": {"learning_rate": (1e-2, 1e-5)}},
            "Expected the range of learning_rate to go from a lower to a higher value, found "
            "ContinuousParameter(0.01, 1e-05).",
        ),
        (
            {"ranges": {"learning_rate": (0.1, 0.1)}},
            "Expected the range of learning_rate to go from a lower to a higher value, found "
            "ContinuousParameter(0.1, 0.1).",
        ),
        (
            {"ranges": {"learning_rate": ["slow", "fast"]}},
            "learning_rate is 'slow'. It must be a number.\nlearning_rate is 'fast'. It must be a number.",
        ),
        (
            {"ranges": {"normalize": (0.0, 1.0)}},
            "Expected for normalize a CategoricalParameter, found ContinuousParameter(0, 1).",
        ),
        (
            {"ranges": {"batch_size": (16.0, 64.5)}},
            "Expected for batch_size an IntegerParameter, found ContinuousParameter(16, 64.5).",
        ),
        ({"ranges": {"beta": (1, 2)}}, "Expected for beta a ContinuousParameter, found IntegerParameter(1, 2)."),
        (
            {"ranges": {"vis_encode_type": ["simple", "resnets"]}},
            "vis_encode_type is 'resnets'. It must be one of simple, nature_cnn, resnet.",
        ),
        ({"ranges": {"num_layers": [2]}}, "Expected for num_layers 2 to 30 different values to try, found ['2']."),
        (
            {"ranges": {"num_layers": [2, "2"]}},
            "Expected for num_layers 2 to 30 different values to try, found ['2', '2'].",
        ),
        ({"ranges": {GAMMA: (0.9, 1.5)}}, f"{GAMMA} is 1.5. It must be 0 to 1."),
        (
            {"ranges": {"beta": (0.0, 1.0, "Logarithmic")}},
            "Expected a logarithmic range of beta above 0, found ContinuousParameter(0, 1). Raise its low end.",
        ),
        (
            {"ranges": {GAMMA: (0.9, 1.0, "ReverseLogarithmic")}},
            f"Expected a reverse logarithmic range of {GAMMA} within 0 <= x < 1, found ContinuousParameter(0.9, 1).",
        ),
        (
            {"ranges": {"beta": (0.1, 1.0, "log")}},
            "Expected the scaling_type of beta to be one of Auto, Linear, Logarithmic, ReverseLogarithmic, found 'log'.",
        ),
        (
            {"objective_metric_name": "mean_rewards"},
            "Expected objective_metric_name to be one of metric_definitions (mean_reward, std_reward, step), found "
            "'mean_rewards'. Did you mean mean_reward?",
        ),
        ({"again": "no"}, "Expected again to be True or False, found 'no'."),
        ({"objective_type": "up"}, "Expected objective_type to be one of Maximize, Minimize, found 'up'."),
        ({"strategy": "Hyperband"}, "Expected strategy to be one of Bayesian, Random, Grid, found 'Hyperband'."),
        ({"max_jobs": 0}, "Expected max_jobs of 1 or more, found none: the search would have no end."),
        ({"max_parallel_jobs": 4}, "Expected max_parallel_jobs of at most max_jobs (3), found 4."),
        ({"random_seed": 0}, "Expected random_seed to be 1 or more, found 0."),
        (
            {"ranges": {"num_layers": [1, 2]}},
            "Expected max_jobs of at most 2, the number of combinations, found 3. Widen the ranges.",
        ),
        (
            {"strategy": "Grid", "ranges": {"num_layers": (1, 2)}, "max_jobs": None},
            "Expected a CategoricalParameter of each key for a grid, found ranges of num_layers.",
        ),
        (
            {"strategy": "Grid", "ranges": {"num_layers": [1, 2]}, "max_jobs": 3},
            "Expected max_jobs to be left out, because a grid tries all 2 combinations, found 3.",
        ),
        ({"trainer": {"max_minutes": 0.5}}, "Expected max_runtime_in_seconds from 60 to 2419200 (28 days), found 30."),
        (
            {"trainer": {"run": "x"}},
            "Expected the tuner's trainer without checkpoint_config, because all trainings of ",
        ),
        ({"hyperparameters": {"a": None}}, "Expected a value for the hyperparameter a, found None. Leave it out to "),
    ],
)
def test_invalid_tuning_jobs_are_refused(connection, volume, changes, problem, launch):
    before = len(tuning.job.list_newest(connection, 100))
    with pytest.raises(training.TrainingError) as refused:
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
    ("name", "values", "problems"),
    [
        ("beta_schedule", ("constant", "linear"), []),
        ("num_layers", ("1", "2"), []),
        ("tau", ("0.1", "0.2"), ["tau is not read by the trainer ppo. Tune another key."]),
        ("use_recurrent", ("true",), ["Expected the ranges to be of keys that the trainer has, found use_recurrent."]),
    ],
)
def test_ranges_are_of_keys_of_the_trainer_that_the_image_holds(tmp_path, name, values, problems):
    one = [ranges.Range(name, "Categorical", values=values)]
    found = [*ranges.find_problems(one, {}, "1.1.0")]
    assert problems == (found or ranges.find_conflicts(tmp_path, one, {"max_steps": 20000}, "mean_reward", "1.1.0"))


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
        ({"learning_rate": (1e-5, 1e-2)}, {"max_stepz": 200}, "max_stepz is not a hyperparameter."),
    ],
)
def test_ranges_that_conflict_with_the_config(connection, volume, tmp_path, ranges, static, problem, launch):
    (tmp_path / "trainer_config.yaml").write_text(PPO)
    with pytest.raises(training.TrainingError) as refused:
        launch(connection, volume, ranges=ranges, hyperparameters=static, folder=tmp_path)
    assert str(refused.value).startswith(problem)


def test_unknown_instance_types_are_refused(connection, volume, launch):
    with pytest.raises(
        training.TrainingError, match=r"nothing was started: it does not know the instance type ml\.c5\.huge"
    ):
        launch(connection, volume, trainer={"instance_type": "ml.c5.huge"})


def test_an_unknown_tuning_job(connection):
    with pytest.raises(
        training.TrainingError, match="Expected a tuning job named nobody, found none on embedded. The newest"
    ):
        tuning.find(connection, "nobody")
    with pytest.raises(training.TrainingError, match="Name it, so that no other job is stopped"):
        tuning.stop(connection, "")


def made(**changes):
    ranges = (
        Range("learning_rate", "Continuous", 1e-5, 1e-2),
        Range("batch_size", "Integer", 32, 64),
        Range("normalize", "Categorical", values=("true", "false")),
    )
    fields = {
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
    return tuning.Tuning(**{**fields, **changes})


def trained(name, rate, objective, status="Completed", failure="", normalize="true"):
    summary = {
        "TrainingJobName": name,
        "TunedHyperParameters": {"learning_rate": rate, "batch_size": "32", "normalize": normalize},
        "TrainingJobStatus": status,
        "FailureReason": failure,
    }
    value = {"FinalHyperParameterTuningJobObjectiveMetric": {"Value": objective}}
    return summary if objective is None else {**summary, **value}


def test_the_picture():
    plt.close("all")  # of tests before this one
    job = made()
    table = make_table(
        job,
        [
            trained("a", "0.001", 5.0),
            trained("b", "0.0001", 9.0, normalize="false"),
            trained("c", "0.01", 1.0, "Stopped"),
            trained("d", "1e-05", None, "Failed", "AlgorithmError: no player"),
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


def test_the_smallest_value_is_best_when_minimising():
    job = made(maximise=False, best="a")
    table = make_table(job, [trained("a", "0.1", 1.0), trained("b", "0.2", 2.0)], 0.204)
    assert list(table["job"]) == ["a", "b"]
