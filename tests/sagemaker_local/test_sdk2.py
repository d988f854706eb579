"""SageMaker SDK 2, in its own environment: calls that its classes make and those of SDK 3 do not."""

import json
import subprocess
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / ".sdk2" / "bin" / "python"
PROGRAM = Path(__file__).with_name("sdk2_program.py")

pytestmark = [pytest.mark.clients, pytest.mark.skipif(not PYTHON.exists(), reason="made by `make test-clients`")]


def sdk2(aws, *arguments):
    """Run a part of the program, which can connect only to this machine; return its last line of output."""
    done = subprocess.run(
        [PYTHON, PROGRAM, *arguments],
        env={**aws.server.environment, "SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_estimator_and_attach(aws):
    aws.s3.put_object(Bucket=aws.bucket, Key="sdk2-in/data.bin", Body=b"build")
    output = sdk2(aws, "estimator", aws.role, f"s3://{aws.bucket}/sdk2-in")
    job = aws.describe(output["name"])
    assert job["TrainingJobStatus"] == "Completed"
    assert job["OutputDataConfig"]["S3OutputPath"] == "s3://sagemaker-us-east-1-123456789012/"
    assert output["attached"] == {
        "name": output["name"],
        "hyperparameters": job["HyperParameters"],
        "instance_type": "ml.m5.large",
        "output_kms_key": "",
        "tags": [{"Key": "project", "Value": "walking"}],
        "model": f"s3://sagemaker-us-east-1-123456789012/{output['name']}/output/model.tar.gz",
    }
    assert output["analytics"] == [["reward", -0.25]]  # the mean of the values of one minute: -0.5 and 0


def test_analytics_of_a_running_job_and_after_a_restart(own):
    import sagemaker_local as embedded

    aws = own.start()
    request = aws.request(
        "say Reward: 1.5;say Reward: 2.5;gate", AlgorithmSpecification=aws.metrics(reward="Reward: ([0-9.]+)")
    )
    aws.sm.create_training_job(**request)
    name = request["TrainingJobName"]
    aws.logged(name)
    aws.wait_for(lambda: len(aws.describe(name).get("FinalMetricDataList", ())) == 1)
    running = sdk2(aws, "analytics", name)
    assert running == [["reward", 2.0]]
    (aws.folder(name) / "gate").touch()
    aws.ended(name)
    assert sdk2(aws, "analytics", name) == running
    embedded.stop()
    assert sdk2(own.start(), "analytics", name) == running


@pytest.mark.parametrize("instances", ["one", "configs"])
def test_tuner_attach_and_analytics(aws, instances):
    output = sdk2(aws, "tuner", aws.role, instances)
    described = aws.sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=output["name"])
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    definition = described["TrainingJobDefinition"]
    assert ("InstanceConfigs" in definition["HyperParameterTuningResourceConfig"]) == (instances == "configs")
    job = aws.describe(output["best"])
    size = 30 if instances == "one" else 5
    assert job["ResourceConfig"] == {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": size}
    assert job["HyperParameters"]["digit"] == "3"
    assert output["attached"] == {
        "name": output["name"],
        "best": output["best"],
        "static": {"do": job["HyperParameters"]["do"]},
    }
    assert sorted(output["analytics"]) == [[1.0, "Completed", 1.0], [2.0, "Completed", 2.0], [3.0, "Completed", 3.0]]
