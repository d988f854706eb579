"""Launch a tuning job described with the SageMaker SDK, unless the same one runs or has completed."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.aws_session import Connection, code
from many_runs.tuning import ranges as tried
from many_runs.tuning.job import PREFIX, Tuning, describe
from training_jobs import TrainingError, job_request, sdk_request
from training_jobs.launching import complete, launch_lock, refuse, tag
from training_jobs.polling import POLL_SECONDS, Poller

if TYPE_CHECKING:
    from sagemaker.core.training.configs import InputData
    from sagemaker.train.tuner import HyperparameterTuner

STRATEGIES = ("Bayesian", "Random", "Grid")
DIRECTIONS = ("Maximize", "Minimize")
NOT_KNOWN = "It is unknown whether the tuning job was launched; the same call finds it if it was."


def launch(
    connection: Connection,
    tuner: HyperparameterTuner,
    channels: Sequence[InputData],
    *,
    folder: str | Path | None,
    again: bool = False,
) -> Tuning:
    """Check a tuning job, launch it once, and return it.

    The job is the one that ``tuner.tune(channels, wait=False)`` would launch, plus the trainer's network isolation and
    disk key, which the SDK leaves out. If the same job is running or has completed, it is returned, and no second one
    is launched. Each training starts from scratch and keeps no checkpoints.

    Parameters
    ----------
    connection : Connection
    tuner : sagemaker.train.tuner.HyperparameterTuner
        Its ranges are for keys of the trainer config; its ``metric_definitions`` include the objective metric.
    channels, folder
        As for `training_jobs.launch`; both ends of each range are checked.
    again : bool
        Launch it even if the same one has completed.

    Raises
    ------
    TrainingError
        If it is invalid, or SageMaker refuses it.
    """
    if not isinstance(again, bool):
        raise TrainingError(f"Expected again to be True or False, found {again!r}.")
    trainer = tuner.model_trainer
    if trainer is None:
        raise TrainingError("Expected a tuner of one model_trainer, found one of several.")
    if trainer.checkpoint_config:
        raise TrainingError(
            "Expected the tuner's trainer without checkpoint_config, because all trainings of a tuning job would write "
            f"to the same place, found {trainer.checkpoint_config.s3_uri}. Leave it out."
        )
    static = trainer.hyperparameters or {}
    refuse(job_request.find_problems_of_hyperparameters(static))
    request = sdk_request.read_tuning(connection, tuner, channels, job_request.encode(static))
    complete(request["TrainingJobDefinition"])
    tag(request)
    config = request["HyperParameterTuningJobConfig"]
    ranges = tried.read(config.get("ParameterRanges", {}))
    version = job_request.choose_trainer(folder, request["TrainingJobDefinition"])
    refuse(
        [
            *job_request.find_problems(connection, "CreateHyperParameterTuningJob", request),
            *tried.find_problems(ranges, static, version),
            *_find_problems(request, ranges, tuner.random_seed),
        ]
    )
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    if folder is not None:
        refuse(job_request.find_misfit(folder, version))
        refuse(tried.find_conflicts(folder, ranges, static, metric, version))
    suffix = _hash_request(request)
    call = functools.partial(
        Poller(connection, POLL_SECONDS).call, lost=lambda why: TrainingError(f"{why} {NOT_KNOWN}")
    )
    with launch_lock():
        same = call(lambda: _find_same(connection, suffix))
        if same and (same.status == "InProgress" or not again):
            state = "is running" if same.status == "InProgress" else "has completed"
            print(f"{same.name} {state} with the same ranges and settings. No second one is launched.")
            return same
        now = datetime.now(timezone.utc)  # with tenths, because two may be launched within a second
        name = f"{PREFIX}-{now:%m%d%H%M%S}{now.microsecond // 100_000}-{suffix}"  # SageMaker's limit of 32 characters
        request["HyperParameterTuningJobName"] = name
        try:
            call(lambda: _create(connection, request))
        except ClientError as error:
            instance_type = request["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"]
            text = job_request.explain_refusal(connection, instance_type, error)
            raise TrainingError(f"SageMaker refused the tuning job, nothing was started: {text}") from error
    return call(lambda: describe(connection, name))


def _find_problems(request: Mapping[str, Any], ranges: list[tried.Range], seed: int | None) -> Iterator[str]:
    """Yield the problems of the search itself."""
    config = request["HyperParameterTuningJobConfig"]
    goal, limits = config["HyperParameterTuningJobObjective"], config["ResourceLimits"]
    metrics = request["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions", ())
    names = [metric["Name"] for metric in metrics]
    if goal["MetricName"] not in names:
        close = get_close_matches(goal["MetricName"], names, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        yield (
            f"Expected objective_metric_name to be one of metric_definitions ({', '.join(names) or 'none'}), found "
            f"{goal['MetricName']!r}.{hint}"
        )
    if goal["Type"] not in DIRECTIONS:
        yield f"Expected objective_type to be one of {', '.join(DIRECTIONS)}, found {goal['Type']!r}."
    if seed is not None and "RandomSeed" not in config:  # the SDK omits a 0
        yield f"Expected random_seed to be 1 or more, found {seed}."
    strategy, max_jobs = config["Strategy"], limits.get("MaxNumberOfTrainingJobs")
    if strategy not in STRATEGIES:
        yield f"Expected strategy to be one of {', '.join(STRATEGIES)}, found {strategy!r}."
    count = math.prod(one.count for one in ranges)
    numbers = [one.name for one in ranges if one.kind != "Categorical"]
    if strategy == "Grid" and numbers:
        yield f"Expected a CategoricalParameter of each key for a grid, found ranges of {', '.join(numbers)}."
    elif strategy == "Grid" and max_jobs not in (None, count):
        yield f"Expected max_jobs to be left out, because a grid tries all {count} combinations, found {max_jobs}."
    elif strategy != "Grid" and max_jobs is None:
        yield "Expected max_jobs of 1 or more, found none: the search would have no end."
    elif max_jobs is not None and max_jobs > count > 0:
        yield f"Expected max_jobs of at most {count:g}, the number of combinations, found {max_jobs}. Widen the ranges."
    if max_jobs is not None and limits["MaxParallelTrainingJobs"] > max_jobs:
        yield (
            f"Expected max_parallel_jobs of at most max_jobs ({max_jobs}), found {limits['MaxParallelTrainingJobs']}."
        )


def _hash_request(request: Mapping[str, Any]) -> str:
    """Return a hash of 6 letters of a request, independent of its name and tags."""
    content = [request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]


def _find_same(connection: Connection, suffix: str) -> Tuning | None:
    """Return the newest tuning job with this suffix that runs or has completed, or None."""
    pages = connection.client("sagemaker").get_paginator("list_hyper_parameter_tuning_jobs")
    summaries = pages.paginate(NameContains=suffix, SortBy="CreationTime", SortOrder="Descending")
    for summary in summaries.search("HyperParameterTuningJobSummaries[]"):
        name, status = summary["HyperParameterTuningJobName"], summary["HyperParameterTuningJobStatus"]
        if name.startswith(PREFIX) and name.endswith(f"-{suffix}") and status in ("InProgress", "Completed"):
            return describe(connection, name)
    return None


def _create(connection: Connection, request: Mapping[str, Any]) -> None:
    """Create a tuning job. SageMaker accepts a name only once, so repeating the request never creates a second one."""
    try:
        connection.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    except ClientError as error:
        # An earlier attempt created the job with this name, which contains the request's hash; its response was lost.
        if code(error) != "ResourceInUse":
            raise
