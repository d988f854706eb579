"""Running jobs behave as on SageMaker, seen through boto3."""

import io
import json
import os
import signal
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from botocore.exceptions import ClientError

import sagemaker_local as embedded
from sagemaker_local import transfer
from sagemaker_local.jobs import Jobs
from sagemaker_local.record import Record, load
from sagemaker_local.schema import AwsError

LAYOUT = """\
input/config/checkpointconfig.json 0o644
input/config/hyperparameters.json 0o644
input/config/inputdataconfig.json 0o644
input/config/resourceconfig.json 0o644
input/data/dataset/data.bin 0o644
input/data/dataset/data_more/level0 0o644
"""


def test_completed_job(aws):
    aws.s3.put_object(Bucket=aws.bucket, Key="whole/data.bin", Body=b"build")
    aws.s3.put_object(Bucket=aws.bucket, Key="whole/data_more/level0", Body=b"level")
    before = time.time()
    request = aws.request(
        "say Mean Reward: -2.621. Std;say Mean Reward: -0.953. Std;ls;model weights;data events",
        TrainingJobName="whole-job",
        AlgorithmSpecification=aws.metrics(reward=r"Mean Reward: (-?[0-9]+\.[0-9]+)", never="x(y)"),
        InputDataConfig=[aws.channel("dataset", "whole")],
        CheckpointConfig={"S3Uri": f"s3://{aws.bucket}/whole-checkpoints"},
        Environment={"A": "b"},
        RetryStrategy={"MaximumRetryAttempts": 3},
        EnableNetworkIsolation=True,
    )
    arn = aws.sm.create_training_job(**request)["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:training-job/whole-job"
    description = aws.ended("whole-job")

    for key, value in request.items():
        assert description[key] == ({**value, "KmsKeyId": ""} if key == "OutputDataConfig" else value), key
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Completed", "Completed")
    assert aws.statuses(description) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert "as a process" in description["SecondaryStatusTransitions"][2]["StatusMessage"]
    times = [
        step[edge].timestamp()
        for step in description["SecondaryStatusTransitions"]
        for edge in ("StartTime", "EndTime")
    ]
    assert times == sorted(times)
    assert before <= description["CreationTime"].timestamp() <= description["TrainingStartTime"].timestamp() <= times[2]
    assert description["TrainingEndTime"].timestamp() == times[-1] <= time.time()
    assert description["TrainingTimeInSeconds"] == description["BillableTimeInSeconds"]
    lasted = (description["TrainingEndTime"] - description["TrainingStartTime"]).total_seconds()
    assert abs(description["TrainingTimeInSeconds"] - max(1, lasted)) < 1
    assert description["EnableManagedSpotTraining"] is False
    [metric] = description["FinalMetricDataList"]
    assert (metric["MetricName"], round(metric["Value"], 4)) == ("reward", -0.953)
    assert times[4] <= metric["Timestamp"].timestamp() <= times[5]

    model = f"s3://{aws.bucket}/out/whole-job/output/model.tar.gz"
    assert description["ModelArtifacts"] == {"S3ModelArtifacts": model}
    assert aws.archive("out/whole-job/output/model.tar.gz") == {"model.nn": "weights"}
    assert aws.archive("out/whole-job/output/output.tar.gz") == {"summary.txt": "events"}

    log = aws.log("whole-job")
    assert LAYOUT in log
    logs = aws.client("logs")
    [stream] = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="whole-job/")[
        "logStreams"
    ]
    assert stream["logStreamName"].startswith("whole-job/algo-1-")
    assert before - 1 <= int(stream["logStreamName"].rpartition("-")[2]) <= time.time()
    events = logs.get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"], startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == log.splitlines()


def test_configuration_files_and_environment(aws):
    steps = ["cat input/config/" + name for name in ("inputdataconfig.json", "resourceconfig.json")]
    steps += ["env TRAINING_JOB_NAME", "env TRAINING_JOB_ARN", "env AWS_REGION", "env MINE", "env AWS_ACCESS_KEY_ID"]
    steps += ["env HOME", "env TMPDIR", "env XDG_CACHE_HOME"]
    aws.s3.put_object(Bucket=aws.bucket, Key="small/a", Body=b"a")
    name = aws.create(
        ";".join(steps),
        InputDataConfig=[aws.channel("dataset", "small/", InputMode="FastFile")],
        Environment={"MINE": "1"},
    )
    assert aws.ended(name)["TrainingJobStatus"] == "Completed"
    log = aws.log(name)
    decoder = json.JSONDecoder()
    channels, end = decoder.raw_decode(log)
    assert channels == {
        "dataset": {
            "TrainingInputMode": "FastFile",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    resources, end = decoder.raw_decode(log, end + 1)
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert resources["current_instance_type"] == "ml.m5.large"
    assert log[end:].split("\n")[1:-1] == [
        f"TRAINING_JOB_NAME {name}",
        f"TRAINING_JOB_ARN arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "AWS_REGION us-east-1",
        "MINE 1",
        "AWS_ACCESS_KEY_ID None",
        f"HOME {aws.folder(name)}/home",
        f"TMPDIR {aws.folder(name)}/tmp",
        "XDG_CACHE_HOME None",
    ]
    assert not {path.name for path in aws.folder(name).iterdir()} & {"home", "tmp"}  # both were removed
    assert (aws.folder(name) / "input/data/dataset/a").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("failure the player crashed;exit 3", "AlgorithmError: the player crashed, exit code: 3"),
        ("exit 1", "AlgorithmError: , exit code: 1"),
        ("failure " + "x" * 2000 + ";exit 137", "AlgorithmError: " + "x" * 992 + ", exit code: 137"),
    ],
)
def test_failed_job(aws, do, reason):
    description = aws.run("model half;data log;" + do)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Failed", "Failed")
    assert description["FailureReason"] == reason
    assert len(reason) <= 1024
    assert aws.statuses(description) == ["Starting", "Downloading", "Training", "Uploading", "Failed"]
    output = f"out/{description['TrainingJobName']}/output"
    assert aws.archive(f"{output}/output.tar.gz") == {"summary.txt": "log"}
    assert aws.archive(f"{output}/model.tar.gz") == {"model.nn": "half"}


def test_stopped_job_keeps_its_model(aws):
    name = aws.create("term;wait")
    aws.logged(name)
    aws.sm.stop_training_job(TrainingJobName=name)
    assert aws.describe(name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    description = aws.ended(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert aws.statuses(description) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert aws.archive(f"out/{name}/output/model.tar.gz") == {"note.txt": "stopped by SIGTERM"}
    assert "FailureReason" not in description
    with pytest.raises(ClientError) as refused:
        aws.sm.stop_training_job(TrainingJobName=name)
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "The request was rejected because the training job is in status Stopped.",
    }


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_period(aws):
    name = aws.create("deaf;player;wait")
    aws.logged(name)
    player = psutil.Process(int(aws.log(name).split()[1]))
    stopped_at = time.monotonic()
    aws.sm.stop_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="is in status Stopping"):
        aws.sm.stop_training_job(TrainingJobName=name)
    assert aws.ended(name)["TrainingJobStatus"] == "Stopped"
    assert 1.5 <= time.monotonic() - stopped_at < 30
    assert not player.is_running()


def test_child_processes_end_with_the_program(aws):
    name = aws.create("player;hidden;exit 0")
    assert aws.ended(name)["TrainingJobStatus"] == "Completed"  # a surviving child would keep the log open
    assert not psutil.pid_exists(int(aws.log(name).split()[1]))


def test_maximum_runtime(aws):
    description = aws.run("term;wait", StoppingCondition={"MaxRuntimeInSeconds": 3})
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert aws.statuses(description)[2:] == ["Training", "Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert 3 <= description["TrainingTimeInSeconds"] <= 30
    model = aws.archive(f"out/{description['TrainingJobName']}/output/model.tar.gz")
    assert model == {"note.txt": "stopped by SIGTERM"}


def test_missing_data_or_bucket_fails_the_job(aws):
    description = aws.run(InputDataConfig=[aws.channel("dataset", "nothing-here")])
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"] == (
        f'ClientError: Data download failed: No S3 objects found under S3 URL "s3://{aws.bucket}/nothing-here" given '
        "in input data source. Please ensure that the bucket exists in the selected region, that objects exist under "
        f'that S3 prefix, and that the role "{aws.role}" has "s3:ListBucket" permissions on bucket "{aws.bucket}".'
    )
    assert aws.statuses(description) == ["Starting", "Downloading", "Failed"]
    description = aws.run("say trained", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"})
    assert description["FailureReason"] == (
        'ClientError: Results should be written to "s3://no-such-bucket/out/'
        f'{description["TrainingJobName"]}/output", but there is no bucket "no-such-bucket". '
        "Create it, or set another output path."
    )
    assert aws.log(description["TrainingJobName"]) == ""
    description = aws.run("say trained", CheckpointConfig={"S3Uri": "s3://no-such-bucket/checkpoints"})
    assert 'there is no bucket "no-such-bucket"' in description["FailureReason"]


def test_keys_that_lead_out_of_their_channel_are_refused(aws):
    aws.s3.put_object(Bucket=aws.bucket, Key="sly//tmp/escaped", Body=b"x")
    description = aws.run(InputDataConfig=[aws.channel("dataset", "sly")])
    assert description["FailureReason"] == (
        'ClientError: Data download failed: the key "sly//tmp/escaped" leads out of its channel.'
    )


def test_checkpoints_are_restored_and_uploaded(aws):
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/counted"}}
    first = aws.create("count;term;wait", **checkpoints)
    aws.wait_for(lambda: aws.keys("counted/") == ["counted/count"])  # while it runs
    aws.sm.stop_training_job(TrainingJobName=first)
    aws.ended(first)
    second = aws.create("count", **checkpoints)
    assert aws.ended(second)["TrainingJobStatus"] == "Completed"
    assert aws.log(second) == "count 2\n"
    assert aws.get("counted/count") == b"2"


def test_output_without_compression(aws):
    output = {"S3OutputPath": f"s3://{aws.bucket}/plain/", "CompressionType": "NONE"}
    description = aws.run("model weights", OutputDataConfig=output)
    name = description["TrainingJobName"]
    assert description["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{aws.bucket}/plain/{name}/output/model/"
    assert aws.get(f"plain/{name}/output/model/model.nn") == b"weights"


class Quiet:
    """A stand-in for a boto3 client that accepts every call and returns nothing."""

    exceptions = SimpleNamespace(ResourceAlreadyExistsException=KeyError)

    def __getattr__(self, call):
        return lambda **_: None

    def upload_fileobj(self, *_):
        """Accept a model."""


def test_jobs_wait_for_their_turn(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {Path(__file__).with_name('program.py')}")
    jobs = Jobs(tmp_path, client=lambda *_: Quiet(), at_once=1)

    def create(name, do):
        request = {
            "TrainingJobName": name,
            "RoleArn": "arn:aws:iam::123456789012:role/training",
            "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            "HyperParameters": {"do": do},
        }
        jobs.create(request, "us-east-1")
        return jobs.threads[name]

    def statuses(name):
        return [step["Status"] for step in jobs.get(name).describe()["SecondaryStatusTransitions"]]

    first, second, third = create("first", "term;wait"), create("second", "say 2"), create("third", "say 3")
    assert [jobs.get(name).secondary for name in ("second", "third")] == ["Starting", "Starting"]
    jobs.stop(jobs.get("second"))  # it never starts and is not billed
    second.join(10)
    assert statuses("second") == ["Starting", "Stopping", "Stopped"]
    description = jobs.get("second").describe()
    assert not {"TrainingStartTime", "TrainingEndTime", "BillableTimeInSeconds"} & set(description)
    assert statuses("third") == ["Starting"]
    jobs.stop(jobs.get("first"))
    first.join(20)
    third.join(20)
    assert jobs.get("third").status == "Completed"
    assert jobs.get("third").started >= jobs.get("first").ended
    jobs.close()
    with pytest.raises(AwsError, match="The embedded AWS is being stopped"):
        create("late", "say never")


def test_a_killed_supervisor_ends_its_job(aws):
    name = aws.create("player;wait")
    aws.logged(name)
    player = psutil.Process(int(aws.log(name).split()[1]))
    player.parent().parent().kill()
    description = aws.ended(name)
    assert description["FailureReason"] == "AlgorithmError: , exit code: 137"
    aws.wait_for(lambda: not player.is_running() or player.status() == psutil.STATUS_ZOMBIE)


def test_times_never_decrease_when_the_clock_is_set_back(tmp_path, monkeypatch):
    job = Record(
        {"TrainingJobName": "a", "OutputDataConfig": {"S3OutputPath": "s3://b"}}, "arn", tmp_path, created=1000.0
    )
    clock = iter([1000.0, 1010.0, 400.0, 500.0])
    monkeypatch.setattr("sagemaker_local.record.time", SimpleNamespace(time=lambda: next(clock)))
    job.move("Starting", "")
    job.move("Downloading", "")
    job.started = job.modified
    job.move("Training", "")
    job.move("Completed", "", "Completed")
    assert [(step["StartTime"], step["EndTime"]) for step in job.transitions] == [
        (1000.0, 1010.0),
        (1010.0, 1010.0),
        (1010.0, 1010.0),
        (1010.0, 1010.0),
    ]
    assert load(tmp_path) == job


def test_a_log_with_many_and_unusual_lines(aws):
    name = aws.create("flood 20000")
    aws.ended(name)
    lines = aws.log(name).splitlines()
    assert len(lines) == 20_003
    logs, group = aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    seen, token = [], {"startFromHead": True}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], **token)
        if token.get("nextToken") == page["nextForwardToken"]:
            break
        seen += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    assert seen[:20_000] == [f"line {number}" for number in range(20_000)]
    assert seen[20_000:] == [
        "\N{REPLACEMENT CHARACTER}broken",
        "no newline at the end",
    ]  # an empty line between them has no event


def test_the_model_is_uploaded_although_checkpoints_cannot_be(aws):
    aws.s3.create_bucket(Bucket="checkpoints-go")
    name = aws.create("model weights;count;gate", CheckpointConfig={"S3Uri": "s3://checkpoints-go/here"})
    aws.logged(name)
    [entry] = aws.wait_for(lambda: aws.s3.list_objects_v2(Bucket="checkpoints-go").get("Contents"))
    aws.s3.delete_object(Bucket="checkpoints-go", Key=entry["Key"])
    aws.s3.delete_bucket(Bucket="checkpoints-go")
    (aws.folder(name) / "checkpoints" / "count").write_text("22")
    (aws.folder(name) / "gate").touch()
    description = aws.ended(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith(
        "ClientError: checkpoints could not be written to s3://checkpoints-go/here: "
    )
    assert "NoSuchBucket" in description["FailureReason"]
    assert aws.archive(f"out/{name}/output/model.tar.gz") == {"model.nn": "weights"}


ODD = [
    f"Not uploaded: {{}}/{path}; only regular files and folders are"
    for path in ("fifo (a FIFO)", "folder (a link)", "link (a link)")
]


def test_links_and_fifos_are_not_followed_but_named(aws):
    name = aws.create(
        "odd model;odd output/data;odd checkpoints;odd output/tensorboard;fifo output/failure;say done;exit 1",
        CheckpointConfig={"S3Uri": f"s3://{aws.bucket}/odd/checkpoints"},
        TensorBoardOutputConfig={"S3OutputPath": f"s3://{aws.bucket}/odd"},
        OutputDataConfig={"S3OutputPath": f"s3://{aws.bucket}/odd", "CompressionType": "NONE"},
    )
    description = aws.ended(name)
    assert description["FailureReason"] == "AlgorithmError: , exit code: 1"
    places = ["checkpoints", f"{name}/output/model", f"{name}/output/output", f"{name}/tensorboard-output"]
    assert aws.keys("odd/") == [f"odd/{place}/file" for place in places]
    folders = ("model", "output/data", "checkpoints", "output/tensorboard")
    lines = [line for line in aws.log(name).splitlines() if line != "done"]
    assert sorted(lines) == sorted(line.format(folder) for folder in folders for line in ODD)

    packed = aws.run("odd model")["TrainingJobName"]
    assert aws.archive(f"out/{packed}/output/model.tar.gz") == {"file": "kept"}
    assert sorted(aws.log(packed).splitlines()) == sorted(line.format("model") for line in ODD)


def test_deeply_nested_folders_do_not_block_a_job(aws):
    name = aws.create("model weights;deep tmp;deep home;deep model")
    description = aws.ended(name)
    assert (description["TrainingJobStatus"], description.get("FailureReason")) == ("Completed", None)
    with tarfile.open(fileobj=io.BytesIO(aws.get(f"out/{name}/output/model.tar.gz"))) as archive:
        names = sorted(archive.getnames())
    deepest = ["/".join("d" * depth) for depth in range(1, 201)]
    assert names == [*deepest, "model.nn"]
    assert f"Not uploaded: model/{deepest[-1]}/* (folders more than 200 deep)" in aws.log(name)
    aws.deleted(name)
    assert not aws.folder(name).exists()


@pytest.mark.parametrize("file", ["job.json.new", "metrics.jsonl"])
@pytest.mark.parametrize("verb", ["fifo", "link"])
def test_links_and_fifos_in_place_of_the_servers_files_are_ignored(aws, verb, file):
    description = aws.run(f"{verb} {file};say value 3", AlgorithmSpecification=aws.metrics(reward="value (.)"))
    assert (description["TrainingJobStatus"], description["FinalMetricDataList"][0]["Value"]) == ("Completed", 3.0)
    assert json.loads((aws.folder(description["TrainingJobName"]) / "job.json").read_text())["status"] == "Completed"
    lost = "Training job completed. Lines of its log are missing: 1 from the metric reward"
    message = lost if file == "metrics.jsonl" else "Training job completed"
    assert description["SecondaryStatusTransitions"][-1]["StatusMessage"] == message


def test_a_fifo_in_place_of_a_record_does_not_block_a_start(own):
    aws = own.start()
    name = aws.create("fifo job.json.new;say done;wait")
    aws.logged(name, "done\n")
    os.kill(aws.server.pid, signal.SIGKILL)
    own.wait_for(lambda: embedded.find() is None)
    file = aws.folder(name) / "job.json"
    file.unlink()
    os.mkfifo(file)
    assert own.start().sm.list_training_jobs()["TrainingJobSummaries"] == []


def test_a_folder_that_became_a_link_is_not_followed(aws):
    name = aws.create(
        "count;link model;link output;link checkpoints", CheckpointConfig={"S3Uri": f"s3://{aws.bucket}/ck"}
    )
    assert aws.ended(name)["TrainingJobStatus"] == "Completed"
    assert aws.archive(f"out/{name}/output/model.tar.gz") == {}
    assert aws.keys(f"out/{name}/") == [f"out/{name}/output/model.tar.gz"]
    assert "ck/server.json" not in aws.keys("ck/")
    assert "Not uploaded: model (a link)" in aws.log(name)


def test_files_replaced_after_listing_are_left_out(tmp_path):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "model" / "deep" / "file").write_text("kept")
    with transfer.open_inside(tmp_path, "model/deep/file") as file:
        assert file.read() == b"kept"
    (tmp_path / "model" / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "model" / "fifo")
    for path in ("model/link/secret", "model/link", "model/fifo", "model/deep", "model/none"):
        with pytest.raises(OSError, match=r"regular file|Not a directory|symbolic links|No such file|Is a directory"):
            transfer.open_inside(tmp_path, path)


def test_a_child_that_holds_the_output_does_not_block_a_job(aws):
    name = aws.create("say before;lost;wait")
    description = aws.ended(name)
    assert description["TrainingJobStatus"] == "Failed"
    child = int(aws.log(name).splitlines()[1])
    assert aws.log(name).startswith("before\n")
    psutil.Process(child).kill()


def test_a_pattern_that_takes_too_long_is_dropped_and_reported(aws):
    patterns = aws.metrics(endless="(a+)+$", reward="Reward: ([0-9.]+)")
    description = aws.run(f"say Reward: 1.5;say {'a' * 2000}b;say Reward: 2.5", AlgorithmSpecification=patterns)
    assert [(metric["MetricName"], metric["Value"]) for metric in description["FinalMetricDataList"]] == [
        ("reward", 2.5)
    ]
    note = "The metric endless is not measured from here on: (a+)+$ took more than 1.0 s on a line"
    assert aws.log(description["TrainingJobName"]).splitlines().count(note) == 1
    assert description["SecondaryStatusTransitions"][-1]["StatusMessage"] == f"Training job completed. {note}"
