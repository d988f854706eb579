"""Checks of a request before it is sent, for everything that SageMaker or the container would refuse."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from common.aws_session import Connection
from common.contract import DEFAULT_TRAINER
from mlagents_check import trainer_config, unity_build
from training_jobs.job import CHANNEL, trainer_in

MAX_SECONDS = 28 * 24 * 3600  # SageMaker's limit
MAX_HYPERPARAMETERS, MAX_NAME_LENGTH, MAX_VALUE_LENGTH = 100, 256, 2500  # SageMaker's limits
SHOWN = 60  # characters of a value that is shown


def find_problems(connection: Connection, operation: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of a request, before it is sent.

    Parameters
    ----------
    connection : Connection
    operation : str
        ``"CreateTrainingJob"`` or ``"CreateHyperParameterTuningJob"``.
    request : mapping
        Its parameters.
    """
    shape = connection.client("sagemaker").meta.service_model.operation_model(operation).input_shape
    if report := ParamValidator().validate(dict(request), shape).generate_report():
        yield f"Expected a request that AWS accepts, found: {report}"
        return
    job = request.get("TrainingJobDefinition", request)
    places = {
        channel["ChannelName"]: channel["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
        for channel in job.get("InputDataConfig", ())
    }
    if not places.get(CHANNEL, "").startswith("s3://"):
        yield (
            f"Expected a channel {CHANNEL} with the S3 URI that volume.locate(connection, folder) gives, found "
            f"{_show(places) if places else 'no channel'}."
        )
    machine = job.get("ResourceConfig", {})
    if not machine.get("InstanceType", "").startswith("ml."):
        yield f'Expected an instance_type such as "ml.c5.xlarge", found {_show(machine.get("InstanceType"))}.'
    if machine.get("InstanceCount", 1) != 1:
        yield (
            f"Expected instance_count to be 1, because ML-Agents cannot spread a training over several machines, "
            f"found {machine['InstanceCount']}."
        )
    yield from _problems_of_limits(job["StoppingCondition"], job.get("EnableManagedSpotTraining", False))


def _problems_of_limits(limits: Mapping[str, int], spot: bool) -> Iterator[str]:
    runtime, wait = limits.get("MaxRuntimeInSeconds"), limits.get("MaxWaitTimeInSeconds")
    if runtime is None or not 60 <= runtime <= MAX_SECONDS:
        yield f"Expected max_runtime_in_seconds from 60 to {MAX_SECONDS} (28 days), found {runtime}."
    elif spot and (wait is None or not runtime <= wait <= MAX_SECONDS):
        yield (
            f"Expected max_wait_time_in_seconds from max_runtime_in_seconds ({runtime}), because the training counts "
            f"in it, to {MAX_SECONDS} (28 days), found {wait}."
        )


def choose_trainer(folder: str | Path | None, request: Mapping[str, Any]) -> str:
    """Return the version of ML-Agents of a job: its image's, or its build's where the image's name does not say."""
    named = trainer_in(request["AlgorithmSpecification"].get("TrainingImage", ""))
    return named or (unity_build.check(folder).trainer if isinstance(folder, (str, Path)) else DEFAULT_TRAINER)


def find_misfit(folder: str | Path, trainer: str) -> Iterator[str]:
    """Yield a message if the build in a folder is one that no version of ML-Agents, or not the image's, can train."""
    report = unity_build.check(folder) if isinstance(folder, (str, Path)) else None
    build = report.build if report else None
    if build and not build.has_trainer:
        yield "\n".join(f"{finding.what} {finding.todo}" for finding in report.errors[:1])
    elif build and (build.protocol or build.package) and build.trainer != trainer:
        yield (
            f"Expected the image of ML-Agents {build.trainer}, which trains {build.name} in {folder}, found that of "
            f"{trainer}. Run notebook 3 for this folder, and build the trainer with the image that it names."
        )


def find_conflicts(
    folder: str | Path,
    hyperparameters: Mapping[str, object],
    metric: str = "mean_reward",
    trainer: str = DEFAULT_TRAINER,
) -> list[str]:
    """Return the hyperparameters that are unknown or conflict with the trainer config in a folder, as messages.

    Parameters
    ----------
    folder : path
        The folder that was uploaded.
    hyperparameters : mapping
    metric : str
        The metric that the training reports.
    trainer : str
        The version of ML-Agents that trains.
    """
    if not isinstance(folder, (str, Path)) or not Path(folder).is_dir():
        return [f"Expected folder to be the folder that was uploaded, found {_show(str(folder))}."]
    report = trainer_config.check_folder(folder, hyperparameters=hyperparameters, trainer=trainer)
    problems = [f"{finding.what} {finding.todo}\n{finding.text}".rstrip() for finding in report.errors]
    if (named := hyperparameters.get("trainer-version", trainer)) != trainer:
        problems.append(f"Expected trainer-version {trainer}, which is in the image, found {named}. Leave it out.")
    return problems + [
        f"{brain.name} trains {brain.settings['max_steps']} steps and writes a summary every "
        f"{brain.settings['summary_freq']}: no training would report {metric}. Raise max_steps or lower summary_freq."
        for brain in report.brains
        if _number(brain.settings.get("summary_freq")) > _number(brain.settings.get("max_steps"))
    ]


def _number(value: object) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan  # which is never greater; the check above reports it


def encode(hyperparameters: Mapping[str, object]) -> dict[str, str]:
    """Encode hyperparameters for SageMaker as text, from which the container decodes the same values."""
    return {name: value if isinstance(value, str) else _text(value) for name, value in hyperparameters.items()}


def explain_refusal(connection: Connection, instance_type: str, error: ClientError) -> str:
    """Return AWS's message; for an unknown instance type, without the list of hundreds of types."""
    model = connection.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType")
    if instance_type not in model.enum and instance_type in str(error):
        nearest = difflib.get_close_matches(instance_type, model.enum, 3)
        hint = f" The nearest: {', '.join(nearest)}." if nearest else ""
        return f"it does not know the instance type {instance_type}.{hint}"
    return str(error)


def find_problems_of_hyperparameters(hyperparameters: object) -> Iterator[str]:
    """Yield problems of the hyperparameters' names and values, independent of their meaning."""
    if not isinstance(hyperparameters, Mapping):
        found = _show(hyperparameters)
        yield f'Expected hyperparameters to be names and values, such as {{"max_steps": 50000}}, found {found}.'
        return
    if len(hyperparameters) > MAX_HYPERPARAMETERS:
        yield (
            f"Expected at most {MAX_HYPERPARAMETERS} hyperparameters, which is SageMaker's limit, found "
            f"{len(hyperparameters)}. Put trainer settings into trainer_config.yaml."
        )
    for name, value in hyperparameters.items():
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
            yield f"Expected hyperparameters with names of 1 to {MAX_NAME_LENGTH} characters, found {_show(name)}."
        elif value is None:
            yield f"Expected a value for the hyperparameter {name}, found None. Leave it out to have its default."
        elif (length := _length(value)) is None:
            yield f"Expected the hyperparameter {name} to be text, a number, True or False, found {_show(value)}."
        elif length > MAX_VALUE_LENGTH:
            yield (
                f"Expected at most {MAX_VALUE_LENGTH} characters in the hyperparameter {name}, which is "
                f"SageMaker's limit, found {length}."
            )


def _length(value: object) -> int | None:
    """Return the length of a value as text; None if the container could not decode it."""
    if isinstance(value, (set, frozenset, bytes)):
        return None
    try:
        return len(value if isinstance(value, str) else _text(value))
    except (TypeError, ValueError, RecursionError):  # a list that contains itself, a number with thousands of digits
        return None


def _text(value: object) -> str:
    if isinstance(value, (bool, list, tuple, dict)):
        return json.dumps(value, default=str)
    return str(value)


def _show(value: object) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):
        return f"one of type {type(value).__name__} that can't be shown"
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
