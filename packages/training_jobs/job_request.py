"""Checks of a request before it is sent: what SageMaker or the container would refuse, a sentence or two for each."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from common.aws_session import Connection
from mlagents_check import trainer_config
from training_jobs.job import CHANNEL

MOST_SECONDS = 28 * 24 * 3600  # SageMaker's limit
MOST_HYPERPARAMETERS, MOST_OF_NAME, MOST_OF_VALUE = 100, 256, 2500  # SageMaker's, too
SHOWN = 60  # characters of a value that is shown


def find_problems(connection: Connection, operation: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a request, before it is sent.

    Parameters
    ----------
    connection : Connection
    operation : str
        ``"CreateTrainingJob"`` or ``"CreateHyperParameterTuningJob"``.
    request : mapping
        Its parameters.
    """
    shape = connection.client("sagemaker").meta.service_model.operation_model(operation).input_shape
    if wrong := ParamValidator().validate(dict(request), shape).generate_report():
        yield f"Expected a request that AWS takes, found: {wrong}"
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
            f"Expected instance_count to be 1, because ML-Agents 0.11.0 cannot spread a training over several "
            f"machines, found {machine['InstanceCount']}."
        )
    yield from _problems_of_limits(job["StoppingCondition"], job.get("EnableManagedSpotTraining", False))


def _problems_of_limits(limits: Mapping[str, int], spot: bool) -> Iterator[str]:
    runtime, wait = limits.get("MaxRuntimeInSeconds"), limits.get("MaxWaitTimeInSeconds")
    if runtime is None or not 60 <= runtime <= MOST_SECONDS:
        yield f"Expected max_runtime_in_seconds from 60 to {MOST_SECONDS} (28 days), found {runtime}."
    elif spot and (wait is None or not runtime <= wait <= MOST_SECONDS):
        yield (
            f"Expected max_wait_time_in_seconds from max_runtime_in_seconds ({runtime}), because the training counts "
            f"in it, to {MOST_SECONDS} (28 days), found {wait}."
        )


def find_conflicts(folder: str | Path, hyperparameters: Mapping[str, object], metric: str = "mean_reward") -> list[str]:
    """Return which hyperparameters are unknown or conflict with the trainer config in a folder.

    Parameters
    ----------
    folder : path
        The folder that was uploaded.
    hyperparameters : mapping
    metric : str
        What the training is to report.
    """
    if not isinstance(folder, (str, Path)) or not Path(folder).is_dir():
        return [f"Expected folder to be the folder that was uploaded, found {_show(str(folder))}."]
    report = trainer_config.check_folder(folder, hyperparameters=hyperparameters)
    problems = [f"{finding.what} {finding.todo}\n{finding.text}".rstrip() for finding in report.errors]
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
    """Return hyperparameters as SageMaker takes them: text that the container reads as the same values."""
    return {name: value if isinstance(value, str) else _text(value) for name, value in hyperparameters.items()}


def explain_refusal(connection: Connection, instance_type: str, error: ClientError) -> str:
    """Return AWS's message, without its list of hundreds of instance types where the type was the reason."""
    model = connection.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType")
    if instance_type not in model.enum and instance_type in str(error):
        nearest = difflib.get_close_matches(instance_type, model.enum, 3)
        hint = f" The nearest: {', '.join(nearest)}." if nearest else ""
        return f"it does not know the instance type {instance_type}.{hint}"
    return str(error)


def find_problems_of_hyperparameters(given: object) -> Iterator[str]:
    """Yield what is wrong with hyperparameters as names and values, whatever they mean."""
    if not isinstance(given, Mapping):
        yield f'Expected hyperparameters to be names and values, such as {{"max_steps": 50000}}, found {_show(given)}.'
        return
    if len(given) > MOST_HYPERPARAMETERS:
        yield (
            f"Expected at most {MOST_HYPERPARAMETERS} hyperparameters, which is all that SageMaker takes, found "
            f"{len(given)}. Put trainer settings into trainer_config.yaml."
        )
    for name, value in given.items():
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_OF_NAME:
            yield f"Expected hyperparameters with names of 1 to {MOST_OF_NAME} letters, found {_show(name)}."
        elif value is None:
            yield f"Expected a value for the hyperparameter {name}, found None. Leave it out to have its default."
        elif (length := _length(value)) is None:
            yield f"Expected the hyperparameter {name} to be text, a number, True or False, found {_show(value)}."
        elif length > MOST_OF_VALUE:
            yield (
                f"Expected at most {MOST_OF_VALUE} characters in the hyperparameter {name}, which is all that "
                f"SageMaker takes, found {length}."
            )


def _length(value: object) -> int | None:
    """Return the length of a value as text; None if it has none that the container could read."""
    if isinstance(value, (set, frozenset, bytes)):
        return None
    try:
        return len(value if isinstance(value, str) else _text(value))
    except (TypeError, ValueError, RecursionError):  # a list inside itself, a number of thousands of digits
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
