"""What a job is asked for, looked at before anything is made: what cannot be meant, in sentences."""

import difflib
import json
import math
import numbers
from collections.abc import Iterator, Mapping
from pathlib import Path

from botocore.exceptions import ClientError

from common.aws_session import Connection
from mlagents_check import trainer_config
from training_image import Image

MOST_MINUTES = 28 * 24 * 60  # SageMaker's limit
MOST_HYPERPARAMETERS, MOST_OF_NAME, MOST_OF_VALUE = 100, 256, 2500  # SageMaker's, too
SHOWN = 60  # characters of a value that is shown


def find_problems(
    *,
    volume: object,
    image: object,
    hyperparameters: object,
    instance_type: object,
    max_minutes: object,
    spot: object,
    max_wait_minutes: object,
    checkpoints: object,
    start_from: object,
) -> list[str]:
    """Return what is wrong with the arguments of `training_jobs.launch`, one sentence or two for each."""
    problems = []

    def expect(good: bool, wanted: str, found: object) -> None:
        if not good:
            problems.append(f"Expected {wanted}, found {_show(found)}.")

    expect(
        isinstance(volume, str) and volume.startswith("s3://") and len(volume) > len("s3://"),
        "volume to be the S3 URI that volume.locate(connection, folder) gives",
        volume,
    )
    expect(isinstance(image, Image), "image to be what image.locate(connection) gives", image)
    expect(
        isinstance(instance_type, str) and instance_type.startswith("ml.") and instance_type.count(".") == 2,
        'instance_type to be the name of one, such as "ml.c5.xlarge"',
        instance_type,
    )
    expect(
        _is_number(max_minutes) and 1 <= max_minutes <= MOST_MINUTES,
        f"max_minutes to be a number from 1 to {MOST_MINUTES} (28 days)",
        max_minutes,
    )
    expect(isinstance(spot, bool), "spot to be True or False", spot)
    expect(
        _is_number(max_wait_minutes) and (max_wait_minutes == 0 or 1 <= max_wait_minutes <= MOST_MINUTES),
        f"max_wait_minutes to be 0 or a number from 1 to {MOST_MINUTES} (28 days)",
        max_wait_minutes,
    )
    expect(isinstance(checkpoints, str), "checkpoints to be the name of a run, or empty", checkpoints)
    expect(isinstance(start_from, str), "start_from to be a job or its name, or empty", start_from)
    if not problems and spot and 0 < max_wait_minutes < max_minutes:
        problems.append(
            f"Expected max_wait_minutes of max_minutes ({max_minutes:g}) or more, because the training counts in it, "
            f"found {max_wait_minutes:g}."
        )
    if checkpoints and start_from:
        problems.append(
            f"Expected checkpoints or start_from, found both. Leave start_from empty to go on with the run "
            f"{checkpoints}, or checkpoints to begin a new run from {start_from}."
        )
    return [*problems, *_problems_of_hyperparameters(hyperparameters)]


def find_conflicts(folder: str | Path, hyperparameters: Mapping[str, object], metric: str) -> list[str]:
    """Return what of hyperparameters does not go with the trainer config in a folder, a sentence or two for each.

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
        return math.nan  # which is never greater: the check has said what is wrong with it


def encode(hyperparameters: Mapping[str, object]) -> dict[str, str]:
    """Return hyperparameters as SageMaker takes them, as text that the container reads alike."""
    return {name: value if isinstance(value, str) else _text(value) for name, value in hyperparameters.items()}


def explain_refusal(connection: Connection, instance_type: str, error: ClientError) -> str:
    """Say what AWS said, without its list of hundreds of instance types where the type was the reason."""
    model = connection.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType")
    if instance_type not in model.enum and instance_type in str(error):
        nearest = difflib.get_close_matches(instance_type, model.enum, 3)
        hint = f" The nearest: {', '.join(nearest)}." if nearest else ""
        return f"it does not know the instance type {instance_type}.{hint}"
    return str(error)


def _problems_of_hyperparameters(given: object) -> Iterator[str]:
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


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def _length(value: object) -> int | None:
    """Return how long a value is as text; None if it has none that the container could read."""
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
