"""Managed spot training: interrupted, resumed from the checkpoints, billed at the spot rate."""

import json
import os
import signal

import pytest

import sagemaker_local as embedded

SPOT = {"EnableManagedSpotTraining": True}


def spot(aws, runtime=60, wait=120, **more):
    limits = {"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait}
    return {**SPOT, "StoppingCondition": limits, **more}


def test_an_interrupted_job_resumes_from_its_checkpoint(aws):
    checkpoints = {"S3Uri": f"s3://{aws.bucket}/spot-checkpoints"}
    name = aws.create("count;model half;wait 1.2;until 2;model whole", **spot(aws, CheckpointConfig=checkpoints))
    aws.wait_for(lambda: "waiting\nwaiting" in aws.log(name))
    embedded.interrupt(name, seconds=0.3)
    description = aws.ended(name)
    assert aws.statuses(description) == [
        "Starting",
        "Downloading",
        "Training",
        "Interrupted",
        "Restarting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    interrupted = description["SecondaryStatusTransitions"][3]
    assert (interrupted["EndTime"] - interrupted["StartTime"]).total_seconds() >= 0.3
    assert aws.log(name) == "count 1\nwaiting\nwaiting\ncount 2\nwaiting\n"
    assert aws.archive(f"out/{name}/output/model.tar.gz") == {"model.nn": "whole"}
    assert description["EnableManagedSpotTraining"] is True
    assert 1 <= description["BillableTimeInSeconds"] < description["TrainingTimeInSeconds"]
    logs = aws.client("logs")
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/")[
        "logStreams"
    ]
    assert len(streams) == 2


def test_a_new_instance_starts_with_only_the_checkpoints(aws):
    name = aws.create("ls;model left over;wait", **spot(aws))
    aws.logged(name)
    embedded.interrupt(name, seconds=0)
    aws.wait_for(lambda: aws.log(name).count("waiting\n") == 2)
    aws.sm.stop_training_job(TrainingJobName=name)
    aws.ended(name)
    inputs = [
        f"input/config/{config}.json 0o644" for config in ("hyperparameters", "inputdataconfig", "resourceconfig")
    ]
    ours = ("input", "model", "output", "checkpoints")
    seen = [line for line in aws.log(name).splitlines() if line.startswith((*ours, "waiting"))]
    assert seen == [*inputs, "waiting", *inputs, "waiting"]


def test_waiting_too_long_for_capacity(aws):
    name = aws.create("model x;wait", **spot(aws, runtime=6, wait=6))
    aws.logged(name)
    embedded.interrupt(name, seconds=600)
    description = aws.ended(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert aws.statuses(description)[2:] == ["Training", "Interrupted", "MaxWaitTimeExceeded"]
    assert aws.keys(f"out/{name}") == []  # the model was lost with the instance


def test_stopped_while_interrupted(aws):
    name = aws.create("wait", **spot(aws))
    aws.logged(name)
    embedded.interrupt(name, seconds=600)
    aws.wait_for(lambda: aws.describe(name)["SecondaryStatus"] == "Interrupted")
    aws.sm.stop_training_job(TrainingJobName=name)
    description = aws.ended(name)
    assert aws.statuses(description)[2:] == ["Training", "Interrupted", "Stopping", "Stopped"]


def test_only_a_training_spot_job_can_be_interrupted(aws):
    name = aws.create("wait")
    aws.logged(name)
    with pytest.raises(embedded.EmbeddedError, match="was not created with EnableManagedSpotTraining"):
        embedded.interrupt(name)
    aws.sm.stop_training_job(TrainingJobName=name)
    ended = aws.create(**spot(aws))
    aws.ended(ended)
    with pytest.raises(embedded.EmbeddedError, match=f"{ended} can't be interrupted: .* it is Completed"):
        embedded.interrupt(ended)
    with pytest.raises(embedded.EmbeddedError, match="Requested resource not found"):
        embedded.interrupt("no-such-job")
    with pytest.raises(embedded.EmbeddedError, match="seconds must be a number from 0 to 86400, not -1"):
        embedded.interrupt(name, seconds=-1)


def test_interrupting_a_job_needs_a_server(own):
    with pytest.raises(embedded.EmbeddedError, match="Expected a running embedded AWS, found none"):
        embedded.interrupt("any")


def test_a_job_of_a_killed_server_is_billed_as_spot(own):
    aws = own.start()
    name = aws.create("wait", **spot(aws, runtime=600, wait=1200))
    aws.logged(name)
    file = aws.folder(name) / "job.json"
    os.kill(aws.server.pid, signal.SIGKILL)
    own.wait_for(lambda: embedded.find() is None)
    record = json.loads(file.read_text())
    *before, training = record["transitions"]
    begun = training["StartTime"] - 400  # trained 200 s, waited 100 s for capacity, trained 100 s since
    record["transitions"] = [
        *({**one, "StartTime": begun, "EndTime": begun} for one in before),
        {**training, "StartTime": begun, "EndTime": begun + 200},
        {**training, "Status": "Interrupted", "StartTime": begun + 200, "EndTime": begun + 300},
        {**training, "StartTime": begun + 300},
    ]
    record |= {"started": begun, "training_seconds": 200.0, "billable_seconds": 60.0}
    file.write_text(json.dumps(record))
    description = own.start().describe(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert 299 <= description["TrainingTimeInSeconds"] <= 330
    assert description["BillableTimeInSeconds"] == round(0.3 * description["TrainingTimeInSeconds"])
