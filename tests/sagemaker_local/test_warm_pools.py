"""Warm pools: the machine of a job that has ended, kept for the next."""

import pytest
from botocore.exceptions import ClientError

from sagemaker_local import record
from sagemaker_local.record import Record

KEPT = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5, "KeepAlivePeriodInSeconds": 3600}


def pool(aws, name):
    return aws.describe(name).get("WarmPoolStatus")


def test_a_matching_job_takes_the_machine_over(aws):
    plain = aws.run()
    assert "WarmPoolStatus" not in plain
    first = aws.create("wait 0.1", ResourceConfig=KEPT, EnableNetworkIsolation=True)
    assert pool(aws, first) == {"Status": "InUse"}
    aws.ended(first)
    assert pool(aws, first) == {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 0}

    def names(status):
        found = aws.sm.list_training_jobs(WarmPoolStatusEquals=status, MaxResults=100)["TrainingJobSummaries"]
        assert {job["WarmPoolStatus"]["Status"] for job in found} <= {status}
        return [job["TrainingJobName"] for job in found]

    assert names("Available") == [first]
    others = ({"EnableNetworkIsolation": False}, {"ResourceConfig": {**KEPT, "VolumeSizeInGB": 6}})
    for other in others:
        aws.run(**{"ResourceConfig": KEPT, "EnableNetworkIsolation": True, **other})
    assert pool(aws, first)["Status"] == "Available"
    changes = {"ResourceConfig": {**KEPT, "KeepAlivePeriodInSeconds": 0}, "EnableNetworkIsolation": True}
    second = aws.run(**changes)
    assert "WarmPoolStatus" not in second  # it takes a machine over, and keeps none
    assert pool(aws, first) == {
        "Status": "Reused",
        "ReusedByJob": second["TrainingJobName"],
        "ResourceRetainedBillableTimeInSeconds": pool(aws, first)["ResourceRetainedBillableTimeInSeconds"],
    }
    assert names("Reused") == [first]
    for name in names("Available"):
        end(aws, name)
    assert names("Available") == []


def end(aws, name):
    aws.sm.update_training_job(TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0})


def test_a_pool_that_was_ended_takes_no_job(aws):
    name = aws.run(ResourceConfig=KEPT)["TrainingJobName"]
    aws.sm.update_training_job(TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 60})
    assert pool(aws, name)["Status"] == "Available"
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        aws.sm.update_training_job(TrainingJobName=name, ProfilerConfig={"DisableProfiler": True})
    end(aws, name)
    assert pool(aws, name)["Status"] == "Terminated"
    aws.run()
    assert "ReusedByJob" not in pool(aws, name)
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        end(aws, name)


def test_it_ends_by_itself_and_is_billed_until_then(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(record.time, "time", lambda: clock[0])
    request = {"TrainingJobName": "a", "ResourceConfig": {**KEPT, "KeepAlivePeriodInSeconds": 300}}
    request |= {"OutputDataConfig": {"S3OutputPath": "s3://b"}}
    job = Record(request, "arn:aws:sagemaker:us-east-1:123456789012:training-job/a", tmp_path, 0, started=900)
    job.move("Completed", "", "Completed")
    seen = {}
    for clock[0] in (1000.0, 1100.0, 1299.0, 1300.0, 5000.0):
        seen[clock[0]] = tuple(record.load(tmp_path).warm_pool().values())
    assert seen == {
        1000.0: (0, "Available"),
        1100.0: (100, "Available"),
        1299.0: (299, "Available"),
        1300.0: (300, "Terminated"),
        5000.0: (300, "Terminated"),
    }


def test_a_job_that_fails_keeps_nothing(aws):
    description = aws.run("exit 1", ResourceConfig=KEPT)
    assert (description["TrainingJobStatus"], description["WarmPoolStatus"]) == ("Failed", {"Status": "Terminated"})


@pytest.mark.parametrize(
    ("seconds", "spot", "said"),
    [
        (21_601, False, "Member must have value less than or equal to 21600"),
        (60, True, "It is not supported when EnableManagedSpotTraining is true"),
    ],
)
def test_what_is_refused(aws, seconds, spot, said):
    limits = {"MaxRuntimeInSeconds": 60, **({"MaxWaitTimeInSeconds": 60} if spot else {})}
    resources = {**KEPT, "KeepAlivePeriodInSeconds": seconds}
    with pytest.raises(ClientError, match=f"ValidationException.*{said}"):
        aws.create(ResourceConfig=resources, EnableManagedSpotTraining=spot, StoppingCondition=limits)
