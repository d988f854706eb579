"""Stop an experiment."""

from botocore.exceptions import ClientError

from helpers.aws import Connection
from helpers.experiment.queue import Queue
from helpers.experiment.runs import PATIENT, find_all


def stop_many(connection: Connection, experiment: str, *, queue: str = "") -> int:
    """Stop all runs of an experiment that have not ended, and return their number. Their models are kept.

    Parameters
    ----------
    connection : Connection
    experiment : str
    queue : str
        The training queue that its runs were submitted to, if so: those that wait there are ended, too.

    Raises
    ------
    TrainingError
        If AWS does not let you.
    """
    waiting = Queue(connection, queue).terminate(experiment) if queue else 0
    sagemaker = connection.client("sagemaker", PATIENT)
    stopped = ended = 0
    for run in find_all(sagemaker, experiment):
        if run.job.status != "InProgress":
            ended += 1
            continue
        try:
            sagemaker.stop_training_job(TrainingJobName=run.name)
            stopped += 1
        except ClientError as error:  # it ended meanwhile
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            ended += 1
    told = f"Stopping {stopped} runs of {experiment}. Each saves its model first; this can take two minutes."
    print(told if stopped else f"No run of {experiment} is in progress; {ended} ended before.")
    if waiting:
        print(f"{waiting} jobs in the queue {queue} were ended.")
    return stopped + waiting
