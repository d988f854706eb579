"""Stop an experiment."""

from collections import Counter

from botocore.exceptions import ClientError

from common.aws_session import Connection, code
from many_runs.experiment.runs import RETRYING, find_all, in_words, missing
from training_jobs.job import TrainingError


def stop_many(connection: Connection, experiment: str) -> int:
    """Stop all running runs of an experiment, and return their number. Their models are kept.

    A `launch_many` that is still launching, in another notebook, notices this and ends.

    Parameters
    ----------
    connection : Connection
    experiment : str

    Raises
    ------
    TrainingError
        If there is no such experiment, its target does not respond, or you lack the right.
    """
    if not isinstance(experiment, str) or not experiment:
        raise TrainingError(
            f"Expected the name of the experiment to stop, found {experiment!r}. Name it, so that no other is stopped."
        )
    sagemaker = connection.client("sagemaker", RETRYING)
    counts: Counter[str] = Counter()
    with in_words(connection):
        for run in find_all(sagemaker, experiment):
            counts[_stop(sagemaker, run.name) if run.job.status == "InProgress" else run.job.status] += 1
    if not counts:
        raise missing(connection, experiment)
    stopped, stopping = counts.pop("InProgress", 0), counts.pop("Stopping", 0)
    if stopped:
        print(f"Stopping {stopped} runs of {experiment}. Each saves its model first; this can take two minutes.")
    elif counts or stopping:
        before = f"{stopping} are stopping already, " if stopping else ""
        print(f"No run of {experiment} is in progress; {before}{counts.total()} ended before.")
    return stopped


def _stop(sagemaker, name: str) -> str:
    """Stop a job, and return the status that it had."""
    try:
        sagemaker.stop_training_job(TrainingJobName=name)
    except ClientError as error:
        if code(error) != "ValidationException":
            raise
        return "Completed"  # it has ended meanwhile
    return "InProgress"
