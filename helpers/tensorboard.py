"""TensorBoard on a job: the command that opens it, on fetched results or while the job runs."""

import shlex
import sys
from pathlib import Path

from helpers import ROOT
from helpers.aws import FAKE_KEYS, Connection
from helpers.training import Job

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


def command(*folders: str | Path) -> str:
    """Return the command that opens TensorBoard on fetched jobs, to be typed in the project's folder.

    Parameters
    ----------
    *folders : str or Path
        Where `helpers.training.fetch` brought them. Each is a run of its own in TensorBoard.
    """
    named = ",".join(f"{Path(folder).name}:{_relative(Path(folder))}/summaries" for folder in folders)
    return f"{_program()} --logdir_spec {shlex.quote(named)}"


def command_while_running(connection: Connection, job: Job) -> str:
    """Return the command that opens TensorBoard on a job that runs: SageMaker copies its summaries to S3 as they come.

    On the embedded target the command carries its address and throw-away keys; on AWS it uses your own. For a job that
    was not launched with a place for them, it is a line that says so.
    """
    if not job.tensorboard:
        return (
            f"# {job.name} copies no summaries to S3 while it runs: it was launched without a TensorBoardOutputConfig."
        )
    settings = {}
    if connection.endpoint:
        settings = {"AWS_ENDPOINT_URL": connection.endpoint, **{name: FAKE_KEYS[name] for name in KEYS}}
    words = [f"{name}={value}" for name, value in settings.items()]
    return " ".join([*words, _program(), "--logdir", job.tensorboard])


def _program() -> str:
    return _relative(Path(sys.executable).with_name("tensorboard"))


def _relative(path: Path) -> str:
    """Return a path from the project's folder where it lies in there."""
    path = path.resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
