"""Interrupt a spot job, to practise what AWS does."""

import time

import reward_curves as rewards
from common import bar
from common.aws_session import Connection
from training_jobs.job import TrainingError, find
from training_jobs.log import Log


def interrupt(
    connection: Connection, name: str, *, after_step: int = 0, seconds: float = 5.0, poll_seconds: float = 0.5
) -> None:
    """Take the instance of a spot job away, as AWS may at any time.

    On the embedded target this waits until the job has reached a step, then takes the instance away. On AWS it can't be
    requested; this prints that and changes nothing.

    Parameters
    ----------
    connection : Connection
    name : str
        A running job with managed spot training.
    after_step : int
        Wait for the first summary at or after this step.
    seconds : float
        Seconds without spot capacity afterwards.
    poll_seconds : float
        Time between two observations, in seconds.

    Raises
    ------
    TrainingError
        If the job ends before, or can't be interrupted.
    """
    if not isinstance(after_step, int) or after_step < 0:
        raise TrainingError(f"Expected after_step to be a whole number of steps, 0 or more, found {after_step!r}.")
    if not connection.endpoint:
        print("AWS takes spot instances away when it needs them. It can't be requested.")
        return
    import sagemaker_local as embedded

    log, step = Log(connection, name), 0
    with bar.make(total=after_step, unit="step", desc="until the interruption") as view:
        while True:
            job = find(connection, name)
            log.read()
            curve = rewards.read_log(log.lines)
            step = int(curve["step"].max()) if len(curve) else 0
            view.update(min(step, after_step) - view.n)
            if job.ended:
                raise TrainingError(f"{job}\nIt ended before it could be interrupted after step {after_step}.")
            if job.phase == "Training" and step >= after_step:
                break
            time.sleep(poll_seconds)
    try:
        embedded.interrupt(name, seconds)
    except embedded.EmbeddedError as error:
        raise TrainingError(str(error)) from error
    print(f"{name}: the instance was taken away after step {step:,}. There is no other for {seconds:g} s.")
