"""One job that is no stand-in: the sample build, container/train, ML-Agents."""

import json

from helpers import aws as aws_target
from sample_env import make_sample_build

REWARD = r"Mean Reward: (-?[0-9]+\.[0-9]+)"
STEP = r"Step: ([0-9]+(?:\.[0-9]+)?)\."


def test_training_on_the_sample_environment(own, monkeypatch, tmp_path):
    monkeypatch.delenv("EMBEDDED_TRAIN_PROGRAM")
    aws = own.start(aws_target.find_program(), EMBEDDED_GRACE_SECONDS="120")
    make_sample_build(tmp_path / "unity-volume")
    for path in (tmp_path / "unity-volume").rglob("*"):
        if path.is_file():
            key = f"build/{path.relative_to(tmp_path / 'unity-volume').as_posix()}"
            aws.s3.upload_file(str(path), aws.bucket, key)
    settings = {"max_steps": 120, "summary_freq": 60, "buffer_size": 256, "save-freq": 50, "seed": 1}
    name = aws.create(
        AlgorithmSpecification=aws.metrics(reward=REWARD, step=STEP),
        HyperParameters={key: str(value) for key, value in settings.items()},
        InputDataConfig=[aws.channel("unity-volume", "build")],
        CheckpointConfig={"S3Uri": f"s3://{aws.bucket}/checkpoints"},
        StoppingCondition={"MaxRuntimeInSeconds": 240},
    )
    aws.wait_for(lambda: aws.describe(name)["TrainingJobStatus"] != "InProgress", seconds=240)
    told = aws.describe(name)
    assert told["TrainingJobStatus"] == "Completed", aws.log(name)[-3000:]
    message = told["SecondaryStatusTransitions"][2]["StatusMessage"]
    assert message.startswith("Training in progress, ")
    metrics = {metric["MetricName"]: metric["Value"] for metric in told["FinalMetricDataList"]}
    assert metrics["step"] == 120
    assert -1 < metrics["reward"] < 100
    model = {item.name: item for item in (aws.folder(name) / "model").iterdir()}
    assert {"3DBall.nn", "trainer_config.yaml", "training.json"} <= set(model)
    outcome = json.loads(model["training.json"].read_text())
    assert (outcome["status"], outcome["flavour"] in message) == ("completed", True)
    assert any("events.out.tfevents" in key for key in aws.keys("checkpoints/"))
    assert any(key.endswith("/checkpoint") for key in aws.keys("checkpoints/"))
    assert f"out/{name}/output/output.tar.gz" in aws.keys(f"out/{name}/")
