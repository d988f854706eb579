"""The embedded AWS trains a job where the version of ML-Agents of its image is installed, or says what is missing."""

import io
import tarfile
from pathlib import Path

import pytest

import sagemaker_local as embedded
from common import ROOT, trainer_env
from helpers import aws
from sample_env import make_sample_build

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TRAIN = str(ROOT / "container" / "train")
CONFIG = """
behaviors:
  3DBall:
    trainer_type: ppo
    hyperparameters: {batch_size: 64, buffer_size: 512}
    network_settings: {hidden_units: 16, num_layers: 1}
    max_steps: 2400
    summary_freq: 1200
"""


def test_each_image_has_the_environment_of_its_version(monkeypatch):
    missing = trainer_env.TrainerEnvError("Expected an environment. Run `make setup TRAINER=1.1.0`.")

    def find(trainer):
        if trainer == "1.1.0" and missing:
            raise missing
        return trainer_env.TrainerEnv(Path(f"/env-{trainer}/bin/python"), "exact", "3.7.16")

    monkeypatch.setattr(trainer_env, "find", find)
    program = aws.find_program()
    assert program.for_image(f"{REGISTRY}/mlagents-0.11.0:0a1b").command == ("/env-0.11.0/bin/python", TRAIN)
    refused = program.for_image(f"{REGISTRY}/mlagents-1.1.0:0a1b")
    assert (refused.command, refused.description) == ((), str(missing))
    missing = None
    found = aws.find_program().for_image(f"{REGISTRY}/mlagents-1.1.0@sha256:{'ab' * 32}")
    assert (found.command, found.description) == (
        ("/env-1.1.0/bin/python", TRAIN),
        "in the trainer environment (exact)",
    )


@pytest.mark.long
def test_a_job_of_the_image_of_1_1_0_trains_on_this_machine(tmp_path, monkeypatch, v1_trainer):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "embedded"))
    monkeypatch.delenv("EMBEDDED_TRAIN_PROGRAM", raising=False)
    make_sample_build(tmp_path / "build", trainer="1.1.0")
    (tmp_path / "build/trainer_config.yaml").write_text(CONFIG)
    connection = aws.connect("embedded")
    try:
        s3, sagemaker = connection.client("s3"), connection.client("sagemaker")
        for file in (tmp_path / "build").rglob("*"):
            if file.is_file():
                s3.upload_file(str(file), connection.bucket, f"build/{file.relative_to(tmp_path / 'build')}")
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{connection.bucket}/build/"}
        sagemaker.create_training_job(
            TrainingJobName="v1",
            AlgorithmSpecification={"TrainingImage": f"{REGISTRY}/mlagents-1.1.0:0a1b", "TrainingInputMode": "File"},
            RoleArn=connection.role,
            HyperParameters={"trainer-version": "1.1.0", "env-args": "--agents 12"},
            InputDataConfig=[{"ChannelName": "unity-volume", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{connection.bucket}/out"},
            ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 280},
        )
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(
            TrainingJobName="v1", WaiterConfig={"Delay": 1, "MaxAttempts": 280}
        )
        job = sagemaker.describe_training_job(TrainingJobName="v1")
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        archive = s3.get_object(Bucket=connection.bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            assert any(name.endswith("3DBall.onnx") for name in opened.getnames()), opened.getnames()
    finally:
        embedded.stop()
