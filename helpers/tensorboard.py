"""The command that opens TensorBoard on a running job."""

import sys
from pathlib import Path

from common import ROOT
from common.aws_session import Connection
from training_jobs import Job


def command_while_running(connection: Connection, job: Job) -> str:
    """Return the command that opens TensorBoard on the summaries that SageMaker copies to S3 while a job runs.

    On the embedded target the command passes its address and keys to TensorBoard; on AWS TensorBoard uses your own. For
    a job without a TensorBoardOutputConfig, it is a comment that says so.
    """
    if not job.tensorboard:
        return (
            f"# {job.name} copies no summaries to S3 while it runs: it was launched without a TensorBoardOutputConfig."
        )
    command = [_program(), "--logdir", job.tensorboard]
    if connection.endpoint:
        command = [_relative(Path(sys.executable)), "-m", "sagemaker_local", "run", *command]
    return " ".join(command)


def _program() -> str:
    return _relative(Path(sys.executable).with_name("tensorboard"))


def _relative(path: Path) -> str:
    """Return a path relative to the project's folder if it is in there."""
    path = path.parent.resolve() / path.name  # a link to a program is not resolved
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
