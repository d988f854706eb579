"""TensorBoard on a job: the command that opens it, on fetched results or while the job runs."""

import shlex
import sys
from pathlib import Path

from common import ROOT
from common.aws_session import Connection
from training_jobs import Job


def command(*folders: str | Path) -> str:
    """Return the command that opens TensorBoard on fetched jobs, to be typed in the project's folder.

    Parameters
    ----------
    *folders : str or Path
        Where `training_jobs.fetch` brought them. Each is a run of its own in TensorBoard.
    """
    named = ",".join(f"{Path(folder).name}:{_relative(Path(folder))}/summaries" for folder in folders)
    return f"{_program()} --logdir_spec {shlex.quote(named)}"


def command_while_running(connection: Connection, job: Job) -> str:
    """Return the command that opens TensorBoard on a job that runs: SageMaker copies its summaries to S3 as they come.

    On the embedded target the command gives the program its address and keys; on AWS it uses your own. For a job
    that was not launched with a place for them, it is a line that says so.
    """
    if not job.tensorboard:
        return (
            f"# {job.name} copies no summaries to S3 while it runs: it was launched without a TensorBoardOutputConfig."
        )
    words = [_program(), "--logdir", job.tensorboard]
    if connection.endpoint:
        words = [_relative(Path(sys.executable)), "-m", "sagemaker_local", "run", *words]
    return " ".join(words)


def _program() -> str:
    return _relative(Path(sys.executable).with_name("tensorboard"))


def _relative(path: Path) -> str:
    """Return a path from the project's folder where it lies in there."""
    path = path.parent.resolve() / path.name  # a link to a program of elsewhere stays what it is
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
