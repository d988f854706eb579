"""Experiments: launched through the real SDK, each run once, in the room there is, found again, stopped."""

import os
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError, SSOTokenLoadError

from common.cores import cores_here
from helpers import training
from many_runs import experiment
from many_runs.experiment import launching
from many_runs.experiment.runs import gather
from sagemaker_local.jobs import Jobs
from training_jobs import following, polling


def test_the_tags_of_each_job_identify_its_run(connection, launch, many):
    found = launch(
        "tags", {"A": many.say(1.0), "B": many.say(2.0)}, [1, 2], trainer={"spot": True, "max_wait_minutes": 3}
    )
    assert [run.label for run in found.runs] == [("A", 1), ("A", 2), ("B", 1), ("B", 2)]
    job = many.describe(connection, found.runs[3].name)
    tags = connection.client("sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "project": "mlagents",
        "experiment": "tags",
        "settings": "B",
        "seed": "2",
    }
    assert job["HyperParameters"] == {"max_steps": "2000", "seed": "2", **many.say(2.0)}
    assert job["AlgorithmSpecification"]["TrainingImage"] == many.IMAGE
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 120, "MaxWaitTimeInSeconds": 180}
    assert job["EnableNetworkIsolation"] is True
    assert job["EnableManagedSpotTraining"] is True
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://{connection.bucket}/checkpoints/{found.runs[3].name}/"
    assert job["TensorBoardOutputConfig"]["S3OutputPath"] == f"s3://{connection.bucket}/training"
    assert [metric["Name"] for metric in job["AlgorithmSpecification"]["MetricDefinitions"]] == [
        "mean_reward",
        "std_reward",
        "step",
    ]
    ended = many.follow(connection, "tags")
    assert ended.ended
    assert [run.job.metrics["mean_reward"] for run in ended.runs] == [1.0, 1.0, 2.0, 2.0]


def test_a_job_of_an_experiment_is_like_one_from_launch(connection, launch, many, make_trainer):
    """The request is the SDK's for one job; only what tells the runs apart is put into it."""
    volume, arguments = f"s3://{connection.bucket}/unity-volume/abc/", {"max_steps": 2000, "seed": 5, **many.say(0.5)}
    alone = training.launch(connection, *make_trainer(connection, volume, arguments), folder=None).name
    (run,) = launch("alike", {"A": many.say(0.5)}, [5]).runs
    one, other = many.describe(connection, alone), many.describe(connection, run.name)
    own = {"TrainingJobName", "TrainingJobArn", "CheckpointConfig", "ModelArtifacts", "ResponseMetadata"}
    fixed = {key for key in {*one, *other} if not key.endswith(("Time", "Status", "Transitions", "Seconds", "List"))}
    assert {key: one.get(key) for key in fixed - own} == {key: other.get(key) for key in fixed - own}
    many.follow(connection, "alike")


def test_a_second_call_launches_nothing_twice(connection, launch, many, calls):
    settings = {"A": many.say(1.0, then="term;wait"), "B": many.say(2.0)}
    first = launch("twice", settings, [1, 2])
    assert calls["CreateTrainingJob"] == 4
    again = launch("twice", settings, [1, 2])
    assert calls["CreateTrainingJob"] == 4
    assert {run.name for run in again.runs} == {run.name for run in first.runs}
    more = launch("twice", settings, [1, 2, 3])
    assert calls["CreateTrainingJob"] == 6
    assert len(more.runs) == 6
    training.stop_many(connection, "twice")
    many.follow(connection, "twice")


def test_runs_that_search_does_not_find_yet_are_not_launched_twice(connection, launch, many, monkeypatch):
    launch("late", {"A": many.say(1.0)})
    many.follow(connection, "late")
    monkeypatch.setattr("many_runs.experiment.watch.find_all", lambda *_: iter(()))
    monkeypatch.setattr("many_runs.experiment.watch.read_page", lambda *_: ([], ""))
    (run,) = launch("late", {"A": many.say(1.0)}).runs  # SageMaker itself says that the name is taken
    assert len(experiment.find(connection, "late").launches[run.label]) == 1


def test_at_most_at_once_runs_are_in_progress(connection, launch, many, monkeypatch):
    counts, create = [], launching.Launcher._try

    def count(self, watch, remaining):
        note = create(self, watch, remaining)
        listed = connection.client("sagemaker").list_training_jobs(
            NameContains="mlagents-few-", StatusEquals="InProgress"
        )
        counts.append(len(listed["TrainingJobSummaries"]))
        return note

    monkeypatch.setattr(launching.Launcher, "_try", count)
    launch("few", {"A": many.say(1.0, then="wait 0.3")}, range(5), at_once=2)
    assert len(counts) == 5
    assert max(counts) <= 2
    assert len(many.follow(connection, "few").completed) == 5


def test_the_number_of_cores_is_the_default_on_the_embedded_target(connection, monkeypatch, tmp_path):
    monkeypatch.delenv("EMBEDDED_MAX_JOBS", raising=False)
    for cores, runs in ((1, 1), (2, 2), (4, 3), (16, 9)):
        monkeypatch.setattr("common.cores.cores_here", lambda cores=cores: cores)
        assert launching.choose_at_once(connection) == runs
        assert Jobs(tmp_path / f"{cores}", lambda _: None).at_once == runs


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are not given to processes here")
def test_only_usable_cores_are_counted(connection):
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert launching.choose_at_once(connection) == 1
        assert cores_here() == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_failed_runs_are_shown_and_relaunched_on_request(connection, launch, many, capsys):
    settings = {"good": many.say(1.0), "bad": {"do": "failure out of order;exit 1"}}
    launch("again", settings)
    found = many.follow(connection, "again")
    assert "1 failed" in capsys.readouterr().out
    assert str(found).splitlines() == [
        "again: 2 runs (1 Completed, 1 Failed)",
        "bad, seed 1 Failed: AlgorithmError: out of order, exit code: 1",
    ]
    assert len(launch("again", settings).launches[("bad", 1)]) == 1
    launch("again", settings, again=True)
    found = many.follow(connection, "again")
    assert [len(found.launches[run.label]) for run in found.runs] == [1, 2]
    table = experiment.tabulate(connection, found)
    assert list(table["status"]) == ["Completed", "Failed"]
    assert list(table["launched"]) == [1, 2]
    launches = [found.launches[run.label] for run in found.runs]
    assert list(table["billed_seconds"]) == [sum(run.job.billable_seconds for run in runs) for runs in launches]
    assert all(run.job.billable_seconds >= 1 for runs in launches for run in runs)
    assert list(table["mean_reward"].isna()) == [False, True]
    assert table["reason"][1] == "AlgorithmError: out of order, exit code: 1"
    assert list(table["usd"] / table["billed_seconds"] * 3600) == pytest.approx([0.204, 0.204])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hyperparameters": {"max_steps": 3000}}, "other hyperparameters for A, seed 1 (max_steps 2000, now 3000)"),
        ({"trainer": {"volume": "s3://bucket/unity-volume/def/"}}, "another build ("),
        ({"trainer": {"image": "registry/other:tag"}}, "another image ("),
    ],
)
def test_runs_that_differ_from_earlier_ones_are_refused(connection, launch, many, change, message):
    launch("mixed", {"A": many.say(1.0)})
    with pytest.raises(training.TrainingError) as caught:
        launch("mixed", {"A": many.say(1.0)}, [1, 2], **change)
    assert message in str(caught.value)
    assert "use another name" in str(caught.value)


def test_failed_runs_may_be_relaunched_with_changes(connection, launch, many):
    wrong = {"A": many.say(1.0, then="exit 1"), "B": many.say(1.0)}
    launch("repaired", wrong)
    many.follow(connection, "repaired")
    right = {**wrong, "A": many.say(2.0)}
    with pytest.raises(training.TrainingError) as caught:
        launch("repaired", right)
    assert "again=True launches them again, because none of them completed." in str(caught.value)
    launch("repaired", right, again=True)
    found = many.follow(connection, "repaired")
    assert [run.job.metrics["mean_reward"] for run in found.runs] == [2.0, 1.0]
    assert [len(found.launches[run.label]) for run in found.runs] == [2, 1]
    with pytest.raises(training.TrainingError, match="use another name"):  # what completed is in a mean
        launch("repaired", {**right, "B": many.say(3.0)}, again=True)


def test_the_trainer_config_is_checked_before_anything_is_launched(launch, many, calls, tmp_path):
    settings = {"a": {"lerning_rate": 0.1}, "b": {"batch_size": 99999}, "c": {"batch_size": 240}}
    with pytest.raises(training.TrainingError) as caught:
        launch("doomed", settings, folder=tmp_path)
    one, two = str(caught.value).splitlines()
    assert (
        one
        == "With a: lerning_rate is not a hyperparameter. The job would fail immediately. Did you mean learning_rate?"
    )
    assert two.startswith("With b: batch_size 99999 is more than buffer_size 12032.")
    with pytest.raises(training.TrainingError) as caught:
        launch("doomed", {"a": {}, "b": {"batch_size": 240}}, folder=tmp_path, hyperparameters={"max_steps": 100})
    assert str(caught.value).startswith("With a, b: 3DBall trains 100 steps and writes a summary every ")
    with pytest.raises(
        training.TrainingError, match="Expected folder to be the folder that was uploaded, found 'gone'."
    ):
        launch("doomed", {"a": {}}, folder="gone")
    assert calls["CreateTrainingJob"] == 0


def test_stopping_runs_elsewhere_ends_launching(connection, launch, many, capsys, monkeypatch):
    waited, sleep = [], following.time.sleep

    def stop(seconds):
        if not waited:
            assert training.stop_many(connection, "halted") == 2
        waited.append(len(experiment.find(connection, "halted").runs))
        sleep(seconds)

    monkeypatch.setattr(following.time, "sleep", stop)
    found = launch("halted", {"A": many.say(1.0, then="term;wait")}, range(5), at_once=2)
    assert set(waited) == {2}
    assert len(found.runs) == 2
    output = capsys.readouterr().out
    assert "was stopped elsewhere: no longer launching." in output
    assert "3 are not launched yet: run this cell again to continue with them." in output
    monkeypatch.undo()
    assert (
        len(launch("halted", {"A": many.say(1.0, then="term;wait")}, range(5)).runs) == 5
    )  # those of before count not
    assert training.stop_many(connection, "halted") == 3
    many.follow(connection, "halted")


def test_a_run_that_reached_its_maximum_runtime_does_not_end_launching():
    def run(name, status, phase):
        description = {
            "TrainingJobName": name,
            "TrainingJobStatus": status,
            "SecondaryStatus": phase,
            "CreationTime": 1,
        }
        more = {"AlgorithmSpecification": {}, "OutputDataConfig": {"S3OutputPath": "s3://b"}, "ResourceConfig": {}}
        return launching.Run("A", 1, launching.from_description({**description, **more}), None)

    runs = [
        run("a", "InProgress", "Training"),
        run("b", "Stopping", "Uploading"),
        run("c", "Stopped", "MaxRuntimeExceeded"),
        run("d", "Stopped", "Stopped"),
    ]
    found = launching.find_stopped(SimpleNamespace(runs={run.name: run for run in runs}))
    assert found == {"b": "Stopping", "c": "MaxRuntimeExceeded", "d": "Stopped"}


def test_temporary_network_failures_do_not_end_launching(connection, launch, many, capsys):
    failures = [EndpointConnectionError(endpoint_url="https://sagemaker"), ReadTimeoutError(endpoint_url="https://s")]

    def fail(**_):
        if failures:
            raise failures.pop()

    emitter = connection.session.events
    emitter.register("before-call.sagemaker.CreateTrainingJob", fail, unique_id="fail")
    try:
        assert len(launch("net", {"A": many.say(1.0)}, [1, 2], on=replace(connection, endpoint=None)).runs) == 2
        assert "no response: retrying" in capsys.readouterr().out
        failures += [EndpointConnectionError(endpoint_url="https://sagemaker")] * (polling.FAILURES + 1)
        with pytest.raises(training.TrainingError, match="no longer answers.* 1 are not launched yet") as caught:
            launch("net", {"A": many.say(1.0)}, [1, 2, 3])  # the embedded AWS is not waited for
        assert isinstance(caught.value.__cause__, EndpointConnectionError)
    finally:
        emitter.unregister("before-call.sagemaker.CreateTrainingJob", unique_id="fail")
    many.follow(connection, "net")


@pytest.mark.parametrize(
    "error, message",
    [
        (
            EndpointConnectionError(endpoint_url="https://sagemaker"),
            "AWS cannot be reached: Could not connect .* Run this again later. What was launched goes on, and is billed.",
        ),
        (
            ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "Search"),
            "AWS limits the rate of requests, yours and others': .*Rate exceeded. Wait a minute and run this again.",
        ),
    ],
)
def test_a_single_request_without_a_response_is_an_error(connection, launch, many, error, message):
    def fail(**_):
        raise error

    aws = replace(connection, endpoint=None)
    connection.session.events.register("before-call.sagemaker.Search", fail, unique_id="fail")
    try:
        for ask in (
            lambda: experiment.find(aws, "x"),
            lambda: experiment.list_names(aws),
            lambda: training.follow_many(aws, "x"),
            lambda: training.stop_many(aws, "x"),
            lambda: launch("x", {"A": many.say(1.0)}, on=aws),
        ):
            with pytest.raises(training.TrainingError, match=message):
                ask()
    finally:
        connection.session.events.unregister("before-call.sagemaker.Search", unique_id="fail")


@pytest.mark.parametrize(
    "error",
    [ClientError({"Error": {"Code": "ExpiredTokenException"}}, "Search"), SSOTokenLoadError(error_msg="none")],
)
def test_credentials_that_expire_while_runs_train(connection, launch, many, error):
    def fail(**_):
        raise error

    name = f"expiring-{type(error).__name__}"
    aws, emitter = replace(connection, endpoint=None), connection.session.events
    launch(name, {"A": {"do": "term;wait"}})
    events = {"before-call.sagemaker.CreateTrainingJob": launch, "before-call.logs.FilterLogEvents": many.follow}
    for event, do in events.items():
        emitter.register(event, fail, unique_id="fail")
        with pytest.raises(training.TrainingError) as caught:
            do(name, {"A": {"do": "term;wait"}}, [1, 2], on=aws) if do is launch else do(aws, name)
        emitter.unregister(event, unique_id="fail")
        remaining = " 1 are not launched yet: run this cell again to continue with them." if do is launch else ""
        assert str(caught.value).startswith(f"Your AWS credentials have expired, or are no longer valid: {error}")
        assert f"1 runs of {name} go on, and are billed meanwhile.{remaining} To follow them again:\n" in str(
            caught.value
        )
        assert f'training.follow_many(connection, "{name}")' in str(caught.value)
    training.stop_many(connection, name)
    many.follow(connection, name)


def test_jobs_of_others_are_not_runs(connection, launch, many):
    """Another's job may have a tag of this name, and even an experiment's."""
    launch("ours", {"A": many.say(1.0)})
    follow = many.follow(connection, "ours")
    described = many.describe(connection, follow.runs[0].name)
    members = ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    connection.client("sagemaker").create_training_job(
        TrainingJobName=f"team-{follow.runs[0].name}",
        HyperParameters={"do": "term;wait"},
        Tags=[{"Key": "experiment", "Value": "ours"}, {"Key": "seed", "Value": "7"}],
        **{name: described[name] for name in members},
    )
    assert [run.seed for run in experiment.find(connection, "ours").runs] == [1]
    assert training.stop_many(connection, "ours") == 0
    other = connection.client("sagemaker").describe_training_job(TrainingJobName=f"team-{follow.runs[0].name}")
    assert other["TrainingJobStatus"] == "InProgress"
    connection.client("sagemaker").stop_training_job(TrainingJobName=f"team-{follow.runs[0].name}")


def test_invalid_arguments_are_reported_and_nothing_is_launched(launch, many, calls):
    with pytest.raises(training.TrainingError) as caught:
        launch("bad/name", {"A": {"seed": 1}}, [1, 1])
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(training.TrainingError) as caught:
        launch("bad", {"A": many.say(1.0), "B": {"x": None}}, at_once=-1)
    assert "at_once" in str(caught.value)
    with pytest.raises(training.TrainingError) as caught:
        launch("bad", {"A": many.say(1.0), "B": {"x": None}})
    assert str(caught.value).startswith("Expected a value for the hyperparameter x")
    with pytest.raises(training.TrainingError) as caught:
        launch("bad", {"A": {5: 1, "x": {1, 2}}}, again="no")
    assert str(caught.value) == "Expected again to be True or False, found 'no'."
    with pytest.raises(training.TrainingError) as caught:
        launch("bad", {"A": {5: 1, "x": {1, 2}}})
    one, two = str(caught.value).splitlines()
    assert one.startswith("Expected hyperparameters with names of 1 to 256 characters, found 5.")
    assert two == "Expected the hyperparameter x to be text, a number, True or False, found {1, 2}."
    assert calls["CreateTrainingJob"] == 0


def test_interrupting_does_not_stop_runs(connection, launch, many, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    settings = {"A": many.say(1.0, then="term;wait")}
    with monkeypatch.context() as patch:
        patch.setattr(following.time, "sleep", interrupt)
        found = launch("cut", settings, [1, 2, 3], at_once=2)
        output = capsys.readouterr().out
        assert "No longer launching. 2 runs of cut go on. 1 are not launched yet: run this cell again" in output
        assert len(many.follow(connection, "cut").runs) == 2
        output = capsys.readouterr().out
        assert "No longer following. 2 runs of cut go on." in output
        assert 'training.follow_many(connection, "cut")' in output
    assert not found.ended
    assert len(launch("cut", settings, [1, 2, 3], at_once=3).runs) == 3
    assert training.stop_many(connection, "cut") == 3
    assert {run.job.status for run in many.follow(connection, "cut").runs} == {"Stopped"}
    capsys.readouterr()
    assert training.stop_many(connection, "cut") == 0
    assert "No run of cut is in progress; 3 ended before." in capsys.readouterr().out


def test_runs_that_are_already_stopping_are_counted_separately(connection, launch, many, capsys, monkeypatch):
    launch("slow", {"A": many.say(1.0), "B": many.say(2.0), "C": many.say(3.0)})
    found = many.follow(connection, "slow")
    statuses = iter(["Stopping", "Stopping", "Stopped"])
    seen = [replace(run, job=replace(run.job, status=next(statuses))) for run in found.runs]
    monkeypatch.setattr("many_runs.experiment.stopping.find_all", lambda *_: iter(seen))
    capsys.readouterr()
    assert training.stop_many(connection, "slow") == 0
    assert "No run of slow is in progress; 2 are stopping already, 1 ended before." in capsys.readouterr().out


def test_pauses_grow_and_differ():
    launcher = launching.Launcher(None, {}, 1)
    pauses = []
    for _ in range(8):
        now = time.monotonic()
        launcher._wait("ResourceLimitExceeded")
        pauses.append(launcher._not_before - now)
    for pause, longest in zip(pauses, [5, 10, 20, 40, 80, 120, 120, 120], strict=True):
        assert longest / 2 <= pause <= longest + 1
    assert len({round(pause, 3) for pause in pauses}) > 4


def test_other_refusals_are_reported_with_the_running_runs(launch, many):
    with pytest.raises(training.TrainingError) as caught:
        launch("refused", {"A": many.say(1.0)}, trainer={"instance_type": "ml.c9.xlarge"})
    assert "it does not know the instance type ml.c9.xlarge. The nearest: " in str(caught.value)
    assert "0 runs of refused are in progress, and 1 are not launched." in str(caught.value)


def test_the_error_for_an_unknown_experiment_names_the_existing_ones(connection, launch, many):
    launch("known", {"A": many.say(1.0)})
    for ask in (experiment.find, training.follow_many, training.stop_many):
        with pytest.raises(
            training.TrainingError, match=r"Expected runs of the experiment 'unknown', found none"
        ) as caught:
            ask(connection, "unknown")
        assert "known" in str(caught.value).partition("Experiments there:")[2]
    many.follow(connection, "known")


@pytest.mark.parametrize("name", ["", None])
def test_stopping_an_experiment_needs_a_name(connection, name):
    with pytest.raises(training.TrainingError, match=f"Expected the name of the experiment to stop, found {name!r}."):
        training.stop_many(connection, name)


def test_unnamed_experiments_with_the_same_inputs_are_the_same(connection, launch, many):
    first = launch("", {"A": many.say(1.0)})
    assert first.name.startswith("experiment-")
    assert len(launch("", {"A": many.say(1.0)}, [1, 2]).runs) == 2
    other = launch("", {"A": many.say(1.5)})
    assert other.name != first.name
    many.follow(connection, first.name)
    assert experiment.find(connection).name == other.name  # the newest
    assert many.follow(connection, "").name == other.name


def test_experiments_with_similar_names_are_separate(connection, launch, many):
    launch("like", {"A": many.say(1.0)})
    launch("like this", {"A": many.say(1.0)})
    assert len(many.follow(connection, "like").runs) == 1
    assert len(many.follow(connection, "like this").runs) == 1


def test_runs_are_sorted_by_settings(connection, launch, many):
    launch("order", {"z": many.say(1.0), "a": many.say(2.0)}, [2, 1])
    found = many.follow(connection, "order")
    assert [run.label for run in found.runs] == [("z", 1), ("z", 2), ("a", 1), ("a", 2)]
    assert gather("order", reversed(found.runs)).runs == found.runs
