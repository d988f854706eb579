"""The AWS CLI and the SageMaker SDK, configured only by AWS_CONFIG_FILE. (Every other test uses boto3.)"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AWS = Path(sys.executable).with_name("aws")

TRAINER = """
import sys
def refuse(event, arguments):
    hosts = {"socket.getaddrinfo": lambda: arguments[0], "socket.connect": lambda: arguments[1][0]}
    if event in hosts and hosts[event]() not in ("127.0.0.1", b"127.0.0.1"):
        raise RuntimeError(f"{event} {arguments}: nothing but the embedded AWS is to be asked")
sys.addaudithook(refuse)
from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, StoppingCondition, Tag
from sagemaker.core.training.configs import MetricDefinition
bucket, role = sys.argv[1:]
trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:test",
    role=role,
    base_job_name="by-sdk",
    sagemaker_session=Session(),
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=60),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/sdk"),
    hyperparameters={"do": "say Reward: -0.5;model weights;ls"},
    environment={"A": "b"},
    tags=[Tag(key="project", value="walking")],
).with_metric_definitions([MetricDefinition(name="reward", regex="Reward: (-?[0-9.]+)")])
trainer.train(input_data_config=[InputData(channel_name="dataset", data_source=f"s3://{bucket}/sdk-in")])
job = trainer._latest_training_job
from sagemaker.core.analytics import TrainingJobAnalytics
frame = TrainingJobAnalytics(job.training_job_name, sagemaker_session=Session()).dataframe()
print(Session().default_bucket(), frame["metric_name"].tolist(), frame["value"].tolist())
print(job.training_job_name, job.training_job_status, job.final_metric_data_list[0].value)

from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.train.tuner import HyperparameterTuner
trainer.hyperparameters = {"do": "tell learning_rate"}
tuner = HyperparameterTuner(
    trainer,
    "reward",
    {
        "learning_rate": ContinuousParameter(1e-5, 1e-2, "Logarithmic"),
        "batch_size": IntegerParameter(32, 64),
        "normalize": CategoricalParameter([True, False]),
    },
    [{"Name": "reward", "Regex": "Reward: ([-0-9.e]+)"}],
    strategy="Bayesian",
    max_jobs=4,
    max_parallel_jobs=2,
    early_stopping_type="Auto",
    random_seed=7,
)
tuner.tune([InputData(channel_name="dataset", data_source=f"s3://{bucket}/sdk-in")], job_name="by-sdk")
print(len(tuner.analytics().dataframe()), tuner.describe().hyper_parameter_tuning_job_status, tuner.best_training_job())
"""


def cli(aws, *arguments):
    command = [AWS, "--output", "json", *arguments]
    done = subprocess.run(command, env=aws.server.environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else done.stdout


def test_aws_cli(aws, tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "data.bin").write_bytes(b"build")
    cli(aws, "s3", "sync", "--quiet", str(tmp_path / "build"), f"s3://{aws.bucket}/cli/")
    request = aws.request("model weights", TrainingJobName="by-cli", InputDataConfig=[aws.channel("dataset", "cli")])
    created = cli(aws, "sagemaker", "create-training-job", "--cli-input-json", json.dumps(request))
    assert created["TrainingJobArn"].endswith(":training-job/by-cli")
    aws.ended("by-cli")
    response = cli(aws, "sagemaker", "describe-training-job", "--training-job-name", "by-cli")
    assert response["TrainingJobStatus"] == "Completed"
    assert aws.get("cli/data.bin") == b"build"
    assert aws.archive(response["ModelArtifacts"]["S3ModelArtifacts"].partition(aws.bucket + "/")[2]) == {
        "model.nn": "weights"
    }


def test_aws_cli_reads_the_logs_of_one_job(aws):
    for name in ("cli-log", "cli-log-2"):
        aws.run(f"say line of {name}", TrainingJobName=name)
    group = ["--log-group-name", "/aws/sagemaker/TrainingJobs", "--log-stream-name-prefix"]
    response = cli(aws, "logs", "filter-log-events", *group, "cli-log/", "--interleaved")
    assert [event["message"] for event in response["events"]] == ["line of cli-log"]
    response = cli(aws, "logs", "describe-log-streams", *group, "cli-log")
    assert {one["logStreamName"].partition("/")[0] for one in response["logStreams"]} == {"cli-log", "cli-log-2"}
    response = cli(aws, "cloudwatch", "list-metrics", "--namespace", "/aws/sagemaker/TrainingJobs")
    assert all(metric["Dimensions"][0]["Name"] == "TrainingJobName" for metric in response["Metrics"])


@pytest.mark.long
def test_sagemaker_sdk(aws):
    aws.s3.put_object(Bucket=aws.bucket, Key="sdk-in/data.bin", Body=b"build")
    done = subprocess.run(
        [sys.executable, "-c", TRAINER, aws.bucket, aws.role],
        env=aws.server.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3] == "sagemaker-us-east-1-123456789012 ['reward'] [-0.5]"
    name, status, reward = done.stdout.splitlines()[-2].split()
    assert (name[:7], status, reward) == ("by-sdk-", "Completed", "-0.5")
    assert aws.archive(f"sdk/{name}/output/model.tar.gz") == {"model.nn": "weights"}
    assert "input/data/dataset/data.bin" in aws.log(name)
    assert "TelemetryOptOut" not in done.stderr  # the SDK's notice about usage reporting
    count, status, best = done.stdout.split()[-3:]
    assert (count, status) == ("4", "Completed")
    description = aws.sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="by-sdk")
    assert description["BestTrainingJob"]["TrainingJobName"] == best
    counts = description["TrainingJobStatusCounters"]
    assert counts["Completed"] + counts["Stopped"] == 4
    listed = aws.sm.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="by-sdk")
    tuned = [training["TunedHyperParameters"] for training in listed["TrainingJobSummaries"]]
    assert all(one["normalize"] in ("True", "False") and 32 <= int(one["batch_size"]) <= 64 for one in tuned)
