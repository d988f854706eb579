"""The request that the SageMaker SDK makes from a `ModelTrainer` or a `HyperparameterTuner`, without sending it.

The SDK trains, or tunes, with a session without an account. botocore's public events
(https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html) abort the call when its request is complete,
and refuse every other call, so that nothing can be created, whatever a later SDK does.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3

from common.aws_session import BoundSession, Connection
from training_jobs.job import TrainingError

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training.configs import InputData
    from sagemaker.train import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens
NO_TELEMETRY = {"SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


class _CompleteError(Exception):
    """The request is complete, in `request`."""

    def __init__(self, request: dict[str, Any]):
        super().__init__()
        self.request = request


class _UploadError(Exception):
    """The SDK tries to send another request first, such as an upload of source code."""


def read_training(
    connection: Connection, trainer: ModelTrainer, channels: Sequence[InputData], hyperparameters: Mapping[str, str]
) -> dict[str, Any]:
    """Return the parameters of the CreateTrainingJob that ``trainer.train(channels)`` would send.

    Parameters
    ----------
    connection : Connection
    trainer : sagemaker.train.ModelTrainer
        It is not changed.
    channels : sequence of sagemaker.core.training.configs.InputData
    hyperparameters : mapping of str to str
        Used instead of the trainer's own.

    Raises
    ------
    TrainingError
        If the SDK refuses them, or would upload something first.
    """
    return _read(
        connection,
        trainer,
        hyperparameters,
        lambda trainer_copy: trainer_copy.train(input_data_config=list(channels), wait=False, logs=False),
    )


def read_tuning(
    connection: Connection,
    tuner: HyperparameterTuner,
    channels: Sequence[InputData],
    hyperparameters: Mapping[str, str],
) -> dict[str, Any]:
    """Return the parameters of the CreateHyperParameterTuningJob that ``tuner.tune(channels)`` would send.

    Of the trainer's network and disk, the SDK's tuner passes on only the VPC and the size. Network isolation and the
    disk's key are added here. For parameters and errors see `read_training`.
    """
    trainer = tuner.model_trainer

    def tune(trainer_copy: ModelTrainer) -> None:
        tuner_copy = copy.copy(tuner)
        tuner_copy.model_trainer = trainer_copy
        tuner_copy.tune(list(channels), job_name="read-only", wait=False)

    request = _read(connection, trainer, hyperparameters, tune)
    definition = request["TrainingJobDefinition"]
    if trainer.networking and trainer.networking.enable_network_isolation is not None:
        definition["EnableNetworkIsolation"] = trainer.networking.enable_network_isolation
    if trainer.compute.volume_kms_key_id:
        definition["ResourceConfig"]["VolumeKmsKeyId"] = trainer.compute.volume_kms_key_id
    return request


def _read(
    connection: Connection,
    trainer: ModelTrainer,
    hyperparameters: Mapping[str, str],
    send: Callable[[ModelTrainer], None],
) -> dict[str, Any]:
    with connection.sdk():
        session = _open_session(connection.region, connection.bucket)
        trainer_copy = trainer.model_copy(
            update={"sagemaker_session": session, "hyperparameters": dict(hyperparameters)}
        )
        try:
            send(trainer_copy)
        except _CompleteError as complete:
            return complete.request
        except _UploadError as error:
            raise TrainingError(
                f"Expected channels that are in S3 and a trainer without source code, found that the SDK would first "
                f"call {error}. Upload with volume.upload; the image holds the program that trains."
            ) from error
        except ValueError as error:  # pydantic's errors are ValueErrors
            raise TrainingError(f"The SageMaker SDK refuses the trainer or its channels: {error}") from error
    raise TrainingError(
        "Expected the SageMaker SDK to end in a request, found that it sent none. Expected its training mode to be "
        "SAGEMAKER_TRAINING_JOB."
    )


@functools.lru_cache
def _open_session(region: str, bucket: str) -> Session:
    from sagemaker.core.helper.session_helper import Session  # the SDK takes seconds to import

    session = boto3.Session(
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106  no secret
        region_name=region,
        botocore_session=BoundSession(NOWHERE),
    )
    for operation in ("CreateTrainingJob", "CreateHyperParameterTuningJob"):
        session.events.register(f"provide-client-params.sagemaker.{operation}", _keep)
    session.events.register("before-send", _refuse)
    settings = {"SchemaVersion": "1.0", **NO_TELEMETRY}
    return Session(boto_session=session, default_bucket=bucket, sagemaker_config=settings)


def _keep(params: dict[str, Any], **_: Any) -> None:
    raise _CompleteError(copy.deepcopy(params))


def _refuse(event_name: str, **_: Any) -> None:
    raise _UploadError(event_name.removeprefix("before-send."))
