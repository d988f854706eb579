"""Training queues: what the SDK sends to AWS Batch, held against botocore's service models; a stand-in answers."""

import json
import logging
from dataclasses import replace

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

from helpers import aws, training
from helpers.embedded import schema
from helpers.experiment import launching
from helpers.experiment.plan import Planned
from helpers.experiment.queue import Queue
from helpers.experiment.runs import ENVIRONMENT, read_labels, read_run
from helpers.training.launching import Order

ARN = "arn:aws:batch:us-east-1:123456789012:service-job/"


class Batch:
    """AWS Batch as far as it is called: botocore has checked each request before it comes here."""

    def __init__(self):
        self.jobs, self.calls = {}, []

    def __call__(self, model, params, **_):
        asked = json.loads(params["body"]) if params["body"] else {}
        self.calls.append(model.name)
        return AWSResponse("", 200, {}, None), getattr(self, model.name)(asked)

    def SubmitServiceJob(self, asked):
        name = asked["jobName"]
        self.jobs[name] = {**asked, "status": "RUNNABLE"}
        return {"jobArn": ARN + name, "jobName": name, "jobId": name}

    def ListServiceJobs(self, asked):
        (wanted,) = asked["filters"]
        assert wanted["name"] == "JOB_NAME"
        (value,) = wanted["values"]
        assert value.endswith("*")
        found = [name for name in self.jobs if name.startswith(value[:-1])]
        begin = int(asked.get("nextToken", 0))
        told = [
            {"jobArn": ARN + name, "jobName": name, "jobId": name, "status": self.jobs[name]["status"]}
            for name in found[begin : begin + 2]
        ]
        more = {"nextToken": str(begin + 2)} if begin + 2 < len(found) else {}
        return {"jobSummaryList": told, **more}

    def TerminateServiceJob(self, asked):
        self.jobs[asked["jobId"].removeprefix(ARN)]["status"] = "FAILED"
        return {}


@pytest.fixture
def batch():
    return Batch()


@pytest.fixture
def connection(batch):
    session = boto3.Session("TESTING", "testing", region_name="eu-central-1")
    session.events.register("before-call.batch", batch)
    session.events.register(
        "before-call.sagemaker.Search", lambda **_: (AWSResponse("", 200, {}, None), {"Results": []})
    )
    role = "arn:aws:iam::123456789012:role/mlagents-training"
    return aws.Connection("aws", session, "123456789012", "eu-central-1", "bucket", role)


def launch(connection, many, settings, seeds, name="queued", **more):
    return training.launch_many(
        connection,
        name,
        settings=settings,
        seeds=seeds,
        volume="s3://bucket/unity-volume/abc/",
        image=many.IMAGE,
        hyperparameters={"max_steps": 2000},
        max_minutes=10,
        queue="my-queue",
        **more,
    )


def test_runs_are_submitted_once(connection, batch, many, capsys):
    settings = {"A": {"batch_size": 64}, "B": {"batch_size": 128}}
    launch(connection, many, settings, [1, 2])
    assert "4 runs of queued submitted to my-queue; 0 were there already." in capsys.readouterr().out
    launch(connection, many, settings, [1, 2, 3])
    assert "2 runs of queued submitted to my-queue; 4 were there already." in capsys.readouterr().out
    assert batch.calls.count("SubmitServiceJob") == 6
    names = {run.name for run in launching.plan.make("queued", settings, [1, 2, 3], {"max_steps": 2000})}
    assert set(batch.jobs) == names


def test_what_is_submitted_is_a_training_job(connection, batch, many):
    launch(connection, many, {"A": {"batch_size": 64}}, [7])
    ((name, job),) = batch.jobs.items()
    assert job["jobQueue"] == "my-queue"
    assert job["serviceJobType"] == "SAGEMAKER_TRAINING"
    assert job["timeoutConfig"] == {"attemptDurationSeconds": 10 * 60 + 600}
    assert {"experiment": "queued", "settings": "A", "seed": "7"}.items() <= job["tags"].items()
    request = json.loads(job["serviceRequestPayload"])
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob")
    assert not ParamValidator().validate(request, model.input_shape).has_errors()
    assert schema.check("CreateTrainingJob", request) == request
    assert request["TrainingJobName"].startswith(name)
    assert request["HyperParameters"] == {"max_steps": "2000", "batch_size": "64", "seed": "7"}
    assert request["CheckpointConfig"]["S3Uri"] == f"s3://bucket/checkpoints/{name}/"
    assert request["ResourceConfig"]["InstanceCount"] == 1
    # Batch takes the tags for itself, so that the environment tells which run it is.
    assert "Tags" not in request
    assert read_labels(request) == {"experiment": "queued", "settings": "A", "seed": "7"}


def test_a_job_that_came_from_a_queue_is_found(connection, batch, many):
    launch(connection, many, {"A": {"batch_size": 64}}, [7])
    request = json.loads(next(iter(batch.jobs.values()))["serviceRequestPayload"])
    told = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Pending", "CreationTime": 1, "LastModifiedTime": 2}
    run = read_run({**request, **told}, "queued")
    assert run.label == ("A", 7)
    assert read_run({**request, **told}, "other") is None
    assert set(ENVIRONMENT.values()) <= set(request["Environment"])


def test_what_waits_is_counted_and_ended(connection, batch, many, capsys):
    launch(connection, many, {"A": {"batch_size": 64}}, [1, 2, 3])
    first, *others = batch.jobs
    batch.jobs[first]["status"] = "RUNNING"
    batch.jobs["mlagents-another"] = {"status": "RUNNABLE"}
    queue = Queue(connection, "my-queue")
    assert queue.count_waiting("queued") == 2
    assert training.stop_many(connection, "queued", queue="my-queue") == 3
    assert "3 jobs in the queue my-queue were ended." in capsys.readouterr().out
    assert {batch.jobs[name]["status"] for name in (first, *others)} == {"FAILED"}
    assert batch.jobs["mlagents-another"]["status"] == "RUNNABLE"
    assert queue.count_waiting("queued") == 0


@pytest.mark.parametrize(
    "one, other", [("buffer", "buffer 2"), ("learning rate search one", "learning rate search two")]
)
def test_jobs_of_an_experiment_that_is_named_alike_stay(connection, batch, many, one, other):
    for name in (one, other):
        launch(connection, many, {"A": {"batch_size": 64}}, [1, 2], name=name)
    queue = Queue(connection, "my-queue")
    assert queue.count_waiting(one) == 2
    assert training.stop_many(connection, one, queue="my-queue") == 2
    assert [job["status"] for job in batch.jobs.values()] == ["FAILED", "FAILED", "RUNNABLE", "RUNNABLE"]
    assert queue.count_waiting(other) == 2


def test_runs_that_ended_before_sagemaker_knew_of_them_are_submitted_again_when_asked(connection, batch, many, capsys):
    settings = {"A": {"batch_size": 64}}
    launch(connection, many, settings, [1, 2])
    first, second = batch.jobs
    batch.jobs[first]["status"] = "FAILED"
    capsys.readouterr()
    launch(connection, many, settings, [1, 2])
    assert list(batch.jobs) == [first, second]
    assert (
        "0 runs of queued submitted to my-queue; 1 were there already. 1 ended there before SageMaker knew of them: "
        "again=True submits them again."
    ) in capsys.readouterr().out
    for attempt in (2, 3):
        launch(connection, many, settings, [1, 2], again=True)
        assert "1 runs of queued submitted to my-queue; 1 were there already. To follow" in capsys.readouterr().out
        *_, newest = batch.jobs
        assert len(batch.jobs) == attempt + 1
        (run,) = launching.plan.make("queued", settings, [1], {"max_steps": 2000})
        assert newest == replace(run, attempt=attempt).name
        launch(connection, many, settings, [1, 2], again=True)  # the new one waits
        assert "0 runs of queued submitted to my-queue; 2 were there already." in capsys.readouterr().out
        batch.jobs[newest]["status"] = "FAILED"


def test_the_readers_session_and_logs_are_left_as_they_were(connection, batch, many):
    session, root = boto3.DEFAULT_SESSION, logging.getLogger()
    handlers, level = list(root.handlers), root.level
    launch(connection, many, {"A": {"batch_size": 64}}, [1])
    assert boto3.DEFAULT_SESSION is session
    assert (root.handlers, root.level) == (handlers, level)


def test_a_refusal_of_batch_is_told(connection, batch, many):
    def refuse(model, **_):
        error = {"Error": {"Code": "ClientException", "Message": "Job queue my-queue does not exist"}}
        return AWSResponse("", 400, {}, None), error

    connection.session.events.register_first("before-call.batch.ListServiceJobs", refuse)
    with pytest.raises(
        training.TrainingError, match=r"AWS Batch refused what was asked of the queue my-queue: .*does not exist"
    ):
        launch(connection, many, {"A": {"batch_size": 64}}, [1])
    assert batch.jobs == {}


def test_spot_jobs_may_wait_as_long_as_they_were_given(connection, batch, many):
    order = Order("s3://b/v/", many.IMAGE, {}, "ml.c5.xlarge", True, launching.make_limits(10, 30, True), "s3://b/c/")
    Queue(connection, "my-queue").submit(Planned("queued", "A", 1, {}).name, order)
    (job,) = batch.jobs.values()
    assert job["timeoutConfig"] == {"attemptDurationSeconds": 30 * 60 + 600}
