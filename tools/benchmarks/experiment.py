"""Rows about experiments: the table and curves of thousands of recorded runs, and hundreds of runs in progress.

The records are synthetic: nothing trains. The embedded AWS serves them like its own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil

import sagemaker_local as embedded
from common import aws_session
from helpers import aws
from many_runs import experiment
from many_runs.experiment import plan
from many_runs.experiment.watch import Watch
from sagemaker_local import cloudwatch_logs
from sagemaker_local.app import App
from sagemaker_local.authentication import Authenticator
from sagemaker_local.home import Keys
from sagemaker_local.jobs import Jobs
from sagemaker_local.record import Record
from sagemaker_local.tuning.jobs import TuningJobs
from tools.benchmarks.comparison import Comparison, Measurements, Row
from tools.benchmarks.processes import served
from tools.benchmarks.upload import own_embedded

NAME = "recorded"
RUNS, SUMMARIES, SETTINGS = 2000, 1000, 20
RUNNING, LOOKS = 200, 20
SPACING = 5.0  # seconds between two summaries
MEGABYTE = 2**20
KEYS = Keys("BENCH000000000000000", "bench")
OURS = "many_runs.experiment"


def runs() -> Comparison:
    """Measure the table, the curves and the following of many runs."""
    size = f"{RUNS:,} runs of {SUMMARIES:,} summaries"
    rows = (
        Row("table", f"opening the table of {RUNS:,} runs", "s", OURS, "", "table"),
        Row("table calls", f"calls for the table of {RUNS:,} runs", "calls", OURS, "", "table calls"),
        Row("curves", f"reading the curves of {size}", "s", OURS, "", "curves"),
        Row("plot", f"plotting the curves of {size}", "s", OURS, "", "plot"),
        Row("memory", f"memory after that, {size}", "MB", OURS, "", "memory"),
        Row("server", "memory of the embedded AWS then", "MB", OURS, "", "server"),
        Row("look", f"a look at {RUNNING} runs in progress", "s", OURS, "", "look"),
        Row("lists", f"calls of Search for a look at {RUNNING} runs", "calls", OURS, "", "lists"),
        Row("logs", f"calls of CloudWatch for a look at {RUNNING} runs, at most", "calls", OURS, "", "logs"),
        Row("following", f"memory of following {RUNNING} runs", "MB", OURS, "", "following"),
    )
    note = "The runs are synthetic records: nothing trained. Both ends run on this machine."
    return Comparison("growth.runs", {OURS: lambda _: measure_recorded() | measure_running()}, rows, note)


def measure_recorded() -> Measurements:
    """Open the table of recorded runs, then read and plot their curves, in a separate process."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        home = Path(scratch) / "home"
        write_runs(home, RUNS, SUMMARIES)
        with own_embedded(home):
            measurements = in_subprocess(look_at_recorded)
            return {**measurements, "server": peak_of(embedded.find().pid)}


def measure_running() -> Measurements:
    """Follow runs in progress, in a separate process."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        served(serve_running, Path(scratch), RUNNING, SUMMARIES) as url,
    ):
        return in_subprocess(look_at_running, url)


def look_at_recorded() -> Measurements:
    """Measure what the notebook does with an experiment that has ended."""
    connection = aws.connect("embedded")
    calls = count_calls(connection)
    start = time.monotonic()
    found = experiment.find(connection, NAME)
    table = experiment.tabulate(connection, found)
    taken = {"table": time.monotonic() - start, "table calls": sum(calls.values())}
    if len(table) != RUNS or table["mean_reward"].isna().any():
        raise RuntimeError(f"Expected {RUNS} runs with a reward, found {len(table)}.")
    start = time.monotonic()
    curves = experiment.read_curves(connection, found)
    taken["curves"] = time.monotonic() - start
    points = sum(len(curve) for group in curves.groups.values() for curve in group.values())
    if points != RUNS * SUMMARIES:
        raise RuntimeError(f"Expected {RUNS * SUMMARIES} summaries, read {points}.")
    start = time.monotonic()
    curves.plot().savefig(io.BytesIO(), format="png")
    return {**taken, "plot": time.monotonic() - start, "memory": own_peak()}


def look_at_running(url: str) -> Measurements:
    """Look repeatedly at runs in progress; each writes a summary in between."""
    connection = connect(url)
    watch = Watch(connection, NAME)
    streams = list_streams(connection)
    times, lists, logs = [], 0, 0
    for number in range(LOOKS):
        write_summaries(connection, streams, SUMMARIES + 1 + number)
        calls = count_calls(connection, watch)
        start = time.monotonic()
        watch.look()
        times.append(time.monotonic() - start)
        lists, logs = max(lists, calls["Search"]), max(logs, calls["FilterLogEvents"])
    if len(watch.running) != RUNNING or len(watch.progress) != RUNNING:
        raise RuntimeError(f"Expected {RUNNING} runs in progress, found {len(watch.running)}.")
    watch.look()
    if {progress.step for progress in watch.progress.values()} != {1000 * (SUMMARIES + LOOKS)}:
        raise RuntimeError("Expected the newest summary of each run to be seen.")
    return {"look": sorted(times)[LOOKS // 2], "lists": lists, "logs": logs, "following": own_peak()}


def count_calls(connection: aws_session.Connection, watch: Watch | None = None) -> Counter[str]:
    """Count the calls from now on, either of clients created later or of a watch's own clients."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    emitters = [watch.sagemaker.meta.events, watch._logs.meta.events] if watch else [connection.session.events]
    for emitter in emitters:
        emitter.unregister("before-call", unique_id="bench")
        emitter.register("before-call", count, unique_id="bench")
    return calls


def in_subprocess(measure: Callable[..., Measurements], *arguments: Any) -> Measurements:
    """Measure in a separate process, so that its peak memory is that of the measurement."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def own_peak() -> float:
    """Return the peak memory of this process, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEGABYTE if sys.platform == "darwin" else 1024)


def peak_of(pid: int) -> float:
    """Return the peak memory of a process, in megabytes; its current memory where the peak is not known."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    return psutil.Process(pid).memory_info().rss / MEGABYTE


def write_runs(home: Path, count: int, summaries: int) -> None:
    """Write the records and logs of runs that have ended, as the embedded AWS leaves them."""
    for number, run in enumerate(planned(count)):
        folder = home / "jobs" / run.name
        folder.mkdir(parents=True)
        record = make_record(run, folder, number, summaries)
        (folder / cloudwatch_logs.EVENTS).write_text(json.dumps(make_log(run, record, summaries)) + "\n")
        record.status = record.secondary = "Completed"
        record.ended = record.modified = record.created + summaries * SPACING
        record.training_seconds = record.billable_seconds = summaries * SPACING
        record.metrics = {
            name: {"MetricName": name, "Value": value, "Timestamp": record.ended}
            for name, value in (("mean_reward", reward(number, summaries)), ("step", 1000.0 * summaries))
        }
        record.save()


def planned(count: int) -> list[plan.Planned]:
    """Return `count` runs of `SETTINGS` settings."""
    settings = {f"batch {2 ** (number % 10)}, {number}": {"batch_size": number} for number in range(SETTINGS)}
    return plan.make(NAME, settings, range(1, count // SETTINGS + 1), {"max_steps": 1000 * SUMMARIES})


def make_record(run: plan.Planned, folder: Path, number: int, summaries: int) -> Record:
    """Return the record of a run in progress, started long enough ago to have written its summaries."""
    started = time.time() - summaries * SPACING - 3600 - number
    request = {
        "TrainingJobName": run.name,
        "HyperParameters": dict(run.hyperparameters),
        "AlgorithmSpecification": {"TrainingImage": "mlagents:1", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/mlagents-training",
        "InputDataConfig": [
            {"ChannelName": "unity-volume", "DataSource": {"S3DataSource": {"S3Uri": "s3://bucket/unity-volume/"}}}
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/training"},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    }
    phases = [
        {"Status": phase, "StartTime": started + order, "EndTime": started + order + 1, "StatusMessage": ""}
        for order, phase in enumerate(("Starting", "Downloading", "Training"))
    ]
    return Record(
        request,
        f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{run.name}",
        folder,
        created=started,
        modified=started + 2,
        started=started + 1,
        secondary="Training",
        transitions=phases,
        tags=run.labels,
    )


def make_log(run: plan.Planned, record: Record, summaries: int) -> dict[str, Any]:
    """Return the log of a run as sent to CloudWatch Logs."""
    events = [
        make_event(record.created + number * SPACING, number, reward(run.seed, number))
        for number in range(1, summaries + 1)
    ]
    return {"logStreamName": f"{run.name}/algo-1-{int(record.created)}", "logEvents": events}


def make_event(timestamp: float, number: int, mean: float) -> dict[str, Any]:
    """Return the log event of a summary."""
    line = (
        f"INFO:mlagents.trainers: run-0: 3DBall: Step: {1000 * number}. Time Elapsed: {number * SPACING:.3f} s "
        f"Mean Reward: {mean:.3f}. Std of Reward: 1.250. Training."
    )
    return {"timestamp": int(1000 * timestamp), "message": line}


def list_streams(connection: aws_session.Connection) -> list[str]:
    """List the log streams of all runs."""
    pages = connection.client("logs").get_paginator("describe_log_streams").paginate(logGroupName=cloudwatch_logs.GROUP)
    return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]


def write_summaries(connection: aws_session.Connection, streams: list[str], number: int, ahead: float = 0.0) -> None:
    """Write a summary for each of these runs, with the current time plus `ahead` seconds."""
    logs = connection.client("logs")
    for stream in streams:
        event = make_event(time.time() + ahead, number, 50.0)
        logs.put_log_events(logGroupName=cloudwatch_logs.GROUP, logStreamName=stream, logEvents=[event])


def reward(run: int, summary: int) -> float:
    """Return a mean reward that rises and differs from run to run."""
    return 100 * summary / (summary + 100 + run % 50)


def serve_running(pipe: Any, folder: Path, count: int, summaries: int) -> None:
    """Serve the embedded AWS's application with runs that are in progress, but do not train; send its URL."""
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app=None, threaded=True)
    url = f"http://127.0.0.1:{server.port}"
    logs = session().client("logs", endpoint_url=url)
    jobs = Jobs(folder / "jobs", lambda _: logs)
    gate = Authenticator(f"127.0.0.1:{server.port}", KEYS, KEYS)
    moto = DomainDispatcherApplication(create_backend_app)
    server.app = App(gate, moto, None, None, jobs, TuningJobs(folder / "tunings", jobs))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number, run in enumerate(planned(count)):
        record = make_record(run, folder / run.name, number, summaries)
        record.created += 3600  # still in progress
        jobs._remember(record)
        batch = make_log(run, record, summaries)
        cloudwatch_logs.make_stream(logs, batch["logStreamName"])
        logs.put_log_events(logGroupName=cloudwatch_logs.GROUP, **batch)
    pipe.send(url)
    threading.Event().wait()


@functools.cache
def session() -> boto3.Session:
    """Return a session with made-up keys."""
    return boto3.Session(KEYS.access, KEYS.secret, region_name="us-east-1")


def connect(url: str) -> aws_session.Connection:
    """Connect to a server that is not the embedded AWS of this folder."""

    class Session(boto3.Session):
        def client(self, *arguments: Any, **options: Any) -> Any:
            return super().client(*arguments, endpoint_url=url, **options)

    made = Session(KEYS.access, KEYS.secret, region_name="us-east-1")
    role = "arn:aws:iam::123456789012:role/mlagents-training"
    return aws_session.Connection("embedded", made, "123456789012", "us-east-1", "bucket", role)
