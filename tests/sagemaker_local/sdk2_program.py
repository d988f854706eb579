"""Typical code for SageMaker SDK 2: ``python sdk2_program.py PART ARGUMENT…`` prints the result as JSON."""

import json
import sys


def refuse(event, arguments):
    """Fail on any connection that leaves this machine."""
    hosts = {"socket.getaddrinfo": lambda: arguments[0], "socket.connect": lambda: arguments[1][0]}
    if event in hosts and hosts[event]() not in ("127.0.0.1", "localhost", b"127.0.0.1"):
        raise RuntimeError(f"{event} {arguments}: nothing but the embedded AWS is to be asked")


sys.addaudithook(refuse)

from sagemaker import Session  # noqa: E402
from sagemaker.analytics import HyperparameterTuningJobAnalytics, TrainingJobAnalytics  # noqa: E402
from sagemaker.estimator import Estimator  # noqa: E402
from sagemaker.parameter import CategoricalParameter  # noqa: E402
from sagemaker.tuner import HyperparameterTuner, InstanceConfig  # noqa: E402

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:test"


def make(role, do, **more):
    return Estimator(
        IMAGE,
        role,
        instance_count=1,
        instance_type="ml.m5.large",
        max_run=60,
        hyperparameters={"do": do},
        sagemaker_session=Session(),  # which finds a bucket by itself
        tags=[{"Key": "project", "Value": "walking"}],
        metric_definitions=[{"Name": "reward", "Regex": "Reward: (-?[0-9.]+)"}],
        **more,
    )


def read(name):
    frame = TrainingJobAnalytics(name, sagemaker_session=Session()).dataframe()
    return [[row.metric_name, row.value] for row in frame.itertuples()]


def estimator(role, uri):
    trained = make(role, "say Reward: -0.5;say Reward: 0;model weights")
    trained.fit({"dataset": uri}, logs=True)
    name = trained.latest_training_job.name
    attached = Estimator.attach(name, sagemaker_session=Session())
    about = {
        "name": attached.latest_training_job.name,
        "hyperparameters": attached.hyperparameters(),
        "instance_type": attached.instance_type,
        "output_kms_key": attached.output_kms_key,
        "tags": attached.tags,
        "model": attached.model_data,
    }
    return {"name": name, "attached": about, "analytics": read(name)}


def tuner(role, instances):
    tuned = HyperparameterTuner(
        make(role, "tell digit"),
        "reward",
        {"digit": CategoricalParameter(["1", "2", "3"])},
        [{"Name": "reward", "Regex": "Reward: ([0-9.]+)"}],
        strategy="Grid",
        max_jobs=3,
        max_parallel_jobs=3,
    )
    if instances == "configs":
        tuned.override_resource_config([InstanceConfig(1, "ml.m5.large", 5), InstanceConfig(1, "ml.m5.xlarge", 5)])
    tuned.fit(job_name=f"sdk2-{instances}", wait=True)
    name = tuned.latest_tuning_job.name
    attached = HyperparameterTuner.attach(name, sagemaker_session=Session())
    frame = HyperparameterTuningJobAnalytics(name, sagemaker_session=Session()).dataframe()
    rows = [[row.digit, row.TrainingJobStatus, row.FinalObjectiveValue] for row in frame.itertuples()]
    about = {
        "name": attached.latest_tuning_job.name,
        "best": attached.best_training_job(),
        "static": attached.estimator.hyperparameters(),
    }
    return {"name": name, "best": tuned.best_training_job(), "attached": about, "analytics": rows}


parts = {"estimator": estimator, "tuner": tuner, "analytics": read}
print(json.dumps(parts[sys.argv[1]](*sys.argv[2:])))
