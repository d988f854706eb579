"""Launch a tuning job through the SDK, unless the same one runs or has completed."""

import functools
import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

import training_jobs as training
from common.aws_session import Connection, code
from many_runs.tuning import ranges as tried
from many_runs.tuning.job import PREFIX, TuningError
from training_image import Image
from training_jobs import job_request
from training_jobs.launching import Order, alone, choose_volume_key, make_limits, make_trainer
from training_jobs.patience import POLL_SECONDS, Patience

STRATEGIES = ("Bayesian", "Random", "Grid")
DIRECTIONS = ("Maximize", "Minimize")
DEFAULT_TRAININGS = 10
NOT_LAUNCHED = "Perhaps nothing was launched; the same call finds what was."


def launch(
    connection: Connection,
    *,
    volume: str,
    image: Image,
    hyperparameters: Mapping[str, object],
    ranges: Mapping[str, tuple | list],
    folder: str | Path | None = None,
    metric: str = "mean_reward",
    direction: str = "Maximize",
    strategy: str = "Bayesian",
    max_trainings: int | None = None,
    parallel: int = 2,
    early_stopping: bool = True,
    seed: int | None = None,
    instance_type: str = "ml.c5.xlarge",
    max_minutes: float = 60,
    again: bool = False,
) -> str:
    """Launch a tuning job and return its name.

    If the same one is running or has completed, that one's name is returned, and no second one is paid for. Each
    training begins from nothing and keeps no checkpoints.

    Parameters
    ----------
    connection : Connection
    volume : str
        S3 URI that `helpers.volume.upload` returned.
    image : Image
    hyperparameters : mapping
        What stays as it is in every training, as for `training_jobs.launch`.
    ranges : mapping of str to tuple or list
        What is tried for keys of the trainer config: ``(low, high)``, or a list of values. A third member of the tuple
        is SageMaker's scale: ``"Auto"``, ``"Linear"``, ``"Logarithmic"`` or ``"ReverseLogarithmic"``.
    folder : path, optional
        The folder that was uploaded. With it, the ranges are checked against its trainer config, too.
    metric : str
        One of `training_jobs.METRICS`. Its last value is what a training is judged by.
    direction : str
        ``"Maximize"`` or ``"Minimize"``.
    strategy : str
        ``"Bayesian"`` goes by what was tried, ``"Random"`` does not, ``"Grid"`` tries every combination of lists.
    max_trainings : int, optional
        How many there are in all; 10 unless given, for a grid all of it.
    parallel : int
        How many at once. Bayesian search learns more with few.
    early_stopping : bool
        Stop trainings that do worse than earlier ones did at the same number of summaries.
    seed : int, optional
        Of the search, not of the trainings; 1 or more.
    instance_type : str
        As for `training_jobs.launch`.
    max_minutes : float
        The most that each training may take. This times `max_trainings` is the most that you can pay for.
    again : bool
        Launch it though the same one has completed.

    Raises
    ------
    TuningError
        If an argument cannot be meant, or SageMaker refuses the tuning job.
    """
    problems = job_request.find_problems(
        volume=volume,
        image=image,
        hyperparameters=hyperparameters,
        instance_type=instance_type,
        max_minutes=max_minutes,
        spot=False,
        max_wait_minutes=0,
        checkpoints="",
        start_from="",
    )
    static = hyperparameters if isinstance(hyperparameters, Mapping) else {}
    found, wrong = tried.read(ranges, static)
    problems += wrong
    problems += _problems_of_search(metric, direction, strategy, found, max_trainings, parallel, seed)
    for name, value in (("early_stopping", early_stopping), ("again", again)):
        if not isinstance(value, bool):
            problems.append(f"Expected {name} to be True or False, found {value!r}.")
    if not problems and folder is not None:
        problems = tried.find_conflicts(folder, found, static, metric)
    if problems:
        raise TuningError("\n".join(problems))
    count = int(max_trainings or (math.prod(one.count for one in found) if strategy == "Grid" else DEFAULT_TRAININGS))
    search = {
        "objective_metric_name": metric,
        "objective_type": direction,
        "strategy": strategy,
        "max_jobs": count,
        "max_parallel_jobs": min(int(parallel), count),
        "early_stopping_type": "Auto" if early_stopping else "Off",
        "random_seed": None if seed is None else int(seed),
    }
    values = job_request.encode(hyperparameters)
    mark = _mark(volume, image.uri, values, [vars(one) for one in found], search, instance_type, max_minutes)
    ask = functools.partial(
        Patience(connection, POLL_SECONDS).ask, lost=lambda why: TuningError(f"{why} {NOT_LAUNCHED}")
    )
    with alone():
        if (same := ask(lambda: _find_same(connection, mark))) and (same.running or not again):
            told = "is running" if same.running else "has completed"
            print(f"{same.name} {told} with the same ranges and settings. No second one is launched.")
            return same.name
        now = datetime.now(timezone.utc)  # with tenths of a second: two may be launched in one
        name = f"{PREFIX}-{now:%m%d%H%M%S}{now.microsecond // 100_000}-{mark}"  # the 32 letters that SageMaker takes
        order = Order(volume, image, values, instance_type, False, make_limits(max_minutes, 0, spot=False), place="")
        try:
            ask(lambda: _create(connection, name, order, found, search))
        except ClientError as error:
            told = job_request.explain_refusal(connection, instance_type, error)
            raise TuningError(f"SageMaker refused the tuning job, nothing was started: {told}") from error
    return name


def _problems_of_search(
    metric: object,
    direction: object,
    strategy: object,
    ranges: list[tried.Range],
    max_trainings: object,
    parallel: object,
    seed: object,
) -> list[str]:
    problems = []
    if metric not in list(training.METRICS):  # not hashed, for it may be anything
        near = get_close_matches(str(metric), training.METRICS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        problems.append(
            f"Expected metric to be one that a training reports, {', '.join(training.METRICS)}, found {metric!r}.{hint}"
        )
    if direction not in DIRECTIONS:
        problems.append(f"Expected direction to be one of {', '.join(DIRECTIONS)}, found {direction!r}.")
    if strategy not in STRATEGIES:
        problems.append(f"Expected strategy to be one of {', '.join(STRATEGIES)}, found {strategy!r}.")
    for name, value, given in (("max_trainings", max_trainings, True), ("parallel", parallel, False)):
        if not (given and value is None) and not (_is_whole(value) and value >= 1):
            problems.append(f"Expected {name} to be a whole number, 1 or more, found {value!r}.")
    if seed is not None and not (_is_whole(seed) and 1 <= seed < 2**31):  # the SDK passes no 0 on
        problems.append(f"Expected seed to be a whole number from 1 to {2**31 - 1}, found {seed!r}.")
    return problems or list(_problems_of_count(strategy, ranges, max_trainings))


def _problems_of_count(strategy: object, ranges: list[tried.Range], max_trainings: int | None) -> list[str]:
    count = math.prod(one.count for one in ranges)
    if strategy == "Grid":
        numbers = [one.name for one in ranges if one.kind != "Categorical"]
        if numbers:
            return [
                f"Expected lists of values for a grid, found ranges of {', '.join(numbers)}. List what is to be tried."
            ]
        if max_trainings not in (None, count):
            return [
                f"Expected max_trainings to be left out, a grid tries all {count} combinations, found {max_trainings}."
            ]
    elif ranges and (max_trainings or DEFAULT_TRAININGS) > count:
        return [
            f"Expected max_trainings of at most {count:g}, for there are no more combinations, found "
            f"{max_trainings or DEFAULT_TRAININGS}. Set it, or widen the ranges."
        ]
    return []


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _mark(*asked: Any) -> str:
    """Give 6 letters that tell one request from another."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:6]


class _Found(NamedTuple):
    name: str
    running: bool


def _find_same(connection: Connection, mark: str) -> _Found | None:
    """Find the newest tuning job of this mark that runs or has completed; one that failed or was stopped is none."""
    pages = connection.client("sagemaker").get_paginator("list_hyper_parameter_tuning_jobs")
    told = pages.paginate(NameContains=mark, SortBy="CreationTime", SortOrder="Descending")
    for summary in told.search("HyperParameterTuningJobSummaries[]"):
        name, status = summary["HyperParameterTuningJobName"], summary["HyperParameterTuningJobStatus"]
        if name.startswith(PREFIX) and name.endswith(f"-{mark}") and status in ("InProgress", "Completed"):
            return _Found(name, status == "InProgress")
    return None


def _create(connection: Connection, name: str, order: Order, ranges: list[tried.Range], search: dict[str, Any]) -> None:
    """Create the tuning job through the SDK. SageMaker takes a name once, so that to ask again makes no second one."""
    with connection.sdk():
        trainer, _ = make_trainer(connection, order)
        from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
        from sagemaker.core.training.configs import InputData
        from sagemaker.train.tuner import HyperparameterTuner

        class Tuner(HyperparameterTuner):
            """The SDK's, which of network and disk passes on no more than a VPC and the size."""

            def _build_training_job_definition(self, inputs: Any) -> Any:
                definition = super()._build_training_job_definition(inputs)
                definition.enable_network_isolation = True
                if key := choose_volume_key(connection, order.instance_type):
                    definition.resource_config.volume_kms_key_id = key
                return definition

        numbers = {"Continuous": ContinuousParameter, "Integer": IntegerParameter}
        parameters = {
            one.name: CategoricalParameter(list(one.values))
            if one.kind == "Categorical"
            else numbers[one.kind](one.low, one.high, one.scale)
            for one in ranges
        }
        definitions = [{"Name": metric, "Regex": regex} for metric, regex in training.METRICS.items()]
        tuner = Tuner(model_trainer=trainer, hyperparameter_ranges=parameters, metric_definitions=definitions, **search)
        try:
            tuner.tune([InputData(channel_name=training.CHANNEL, data_source=order.volume)], job_name=name, wait=False)
        except ClientError as error:
            # With this name an earlier attempt made it, whose answer did not arrive: what was asked for is part of it.
            if code(error) != "ResourceInUse":
                raise
