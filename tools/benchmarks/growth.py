"""Rows about scaling: more players, more agents, more files, longer curves, more jobs."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import boto3
from botocore.config import Config

import reward_curves as rewards
import sagemaker_local as embedded
from common import aws_session
from helpers import aws
from sagemaker_local.home import Keys
from tools.benchmarks import experiment, moto_alone, spread
from tools.benchmarks.comparison import Comparison, Measurements, Result, Row
from tools.benchmarks.processes import served
from tools.benchmarks.training import train
from tools.benchmarks.training_process import Task, ours, stock
from tools.benchmarks.upload import OTHER as SYNC
from tools.benchmarks.upload import OURS as UPLOAD
from tools.benchmarks.upload import fill, own_embedded, sync, upload

PLAYERS, AGENTS = (1, 2, 4, 8), (1, 4, 16, 64)
FILES = (10, 100, 1000, 10_000)
POINTS = (100, 1000, 10_000, 100_000, 1_000_000)
OBJECTS = (10, 100, 1000, 10_000)
JOBS = (1, 10, 100, 1000, 2000)
BUCKET = "benchmark"
STEEP = 1.15
"""An exponent above this counts as worse than linear; below it may be measurement noise."""
READER, ACCUMULATOR = "reward_curves", "TensorBoard's EventAccumulator"
EMBEDDED, MOTO = "the embedded AWS", "moto alone"


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [*trainings(), uploads(), curves(), starts(), jobs(), experiment.runs()]


def trainings() -> list[Comparison]:
    """Compare trainings with more players and agents, equal on both sides."""
    found = []
    for players in PLAYERS:
        for agents in AGENTS:
            # The buffer grows with the agents, so that all sizes make the same number of updates.
            task = Task(agents=agents, steps=1000, settings={"buffer_size": 200 * agents, "summary_freq": 100})
            size = f"{players} players of {agents} agents"
            found.append(
                Comparison(
                    f"growth.{players}x{agents}",
                    {
                        "stock": train(stock, task, num_envs=players),
                        "ours": train(ours, task, **{"num-envs": players}),
                    },
                    (
                        Row("steps", f"steps per second, {size}", "steps/s", "ours", "stock", "steps_per_second", True),
                        Row("memory", f"memory, {size}", "MB", "ours", "stock", "memory"),
                    ),
                )
            )
    return found


def uploads() -> Comparison:
    """Compare uploads of more and more small files."""

    def side(send: Callable[[aws_session.Connection, Path], float]) -> Callable[[int], Measurements]:
        def measure(run: int) -> Measurements:
            times = {}
            with tempfile.TemporaryDirectory(prefix="bench-") as scratch, own_embedded(Path(scratch) / "home"):
                connection = aws.connect("embedded")
                for count in FILES:
                    folder = Path(scratch) / str(count)
                    fill(folder, count, 1000 * count)
                    times[str(count)] = send(connection, folder)
                    shutil.rmtree(folder)
            return times

        return measure

    rows = tuple(Row(f"{n}", f"upload of {n:,} files of 1 kB", "s", UPLOAD, SYNC, str(n)) for n in FILES)
    return Comparison("growth.upload", {UPLOAD: side(upload), SYNC: side(sync)}, rows, conclude=grows(UPLOAD, SYNC))


def curves() -> Comparison:
    """Compare reading longer and longer curves from event files."""

    def side(read: Callable[[Path], object]) -> Callable[[int], Measurements]:
        def measure(run: int) -> Measurements:
            times = {}
            with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
                for count in POINTS:
                    folder = Path(scratch) / str(count)
                    write_events(folder, count)
                    start = time.monotonic()
                    length = read(folder)
                    times[str(count)] = time.monotonic() - start
                    if length != count:
                        raise RuntimeError(f"Expected {count} points, read {length}.")
                    shutil.rmtree(folder)
            return times

        return measure

    rows = tuple(Row(f"{n}", f"reading a curve of {n:,} points", "s", READER, ACCUMULATOR, str(n)) for n in POINTS)
    return Comparison(
        "growth.curve",
        {READER: side(read_ours), ACCUMULATOR: side(read_accumulated)},
        rows,
        conclude=grows(READER, ACCUMULATOR),
    )


def write_events(folder: Path, count: int) -> None:
    """Write the event file of a run with `count` summaries."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    place = folder / "run_3DBall"
    place.mkdir(parents=True)
    with (place / "events.out.tfevents.1").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for step in range(1, count + 1):
            value = Summary.Value(tag="Environment/Cumulative Reward", simple_value=step % 100)
            writer.write(Event(wall_time=1.0 + step, step=step, summary=Summary(value=[value])).SerializeToString())


def read_ours(folder: Path) -> int:
    """Read a curve as notebook 5 does; return its length."""
    return len(rewards.read_events(folder, "run"))


def read_accumulated(folder: Path) -> int:
    """Read every point of the reward with TensorBoard's own reader; return their number."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "run_3DBall"), size_guidance={"scalars": 0})
    events.Reload()
    return len(events.Scalars("Environment/Cumulative Reward"))


def starts() -> Comparison:
    """Compare starts of the embedded AWS, which is persistent, with those of moto, which is not."""
    rows = [
        Row(f"{n}", f"start with {n:,} existing objects, to the first response", "s", EMBEDDED, MOTO, f"{n}")
        for n in OBJECTS
    ]
    rows += [
        Row(f"all {n}", f"start with {n:,} objects, to a listing of all", "s", EMBEDDED, "", f"all {n}")
        for n in OBJECTS
    ]
    return Comparison(
        "growth.start",
        {EMBEDDED: start_embedded, MOTO: start_moto},
        tuple(rows),
        conclude=lambda result: growth_of(result, EMBEDDED, "all ", "a start to a listing of all"),
    )


def start_embedded(run: int) -> Measurements:
    """Start the embedded AWS with existing objects, get the caller identity, then list all objects."""
    times = {}
    for count in OBJECTS:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            home = Path(scratch) / "home"
            shutil.copytree(Path(existing_objects(count).name), home / "s3")
            start = time.monotonic()
            with own_embedded(home):
                url = embedded.find().url
                client(url, "sts").get_caller_identity()
                times[f"{count}"] = time.monotonic() - start
                pages = client(url, "s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
                found = sum(page["KeyCount"] for page in pages)
                times[f"all {count}"] = time.monotonic() - start
                if found != count:
                    raise RuntimeError(f"Expected {count} objects, listed {found}.")
    return times


def start_moto(run: int) -> Measurements:
    """Start moto's server and get the caller identity; it stores nothing, so one start stands for all sizes."""
    start = time.monotonic()
    with served(moto_alone.serve) as url:
        client(url, "sts").get_caller_identity()
        return dict.fromkeys(map(str, OBJECTS), time.monotonic() - start)


@functools.cache
def existing_objects(count: int) -> tempfile.TemporaryDirectory:
    """Return the ``s3/`` folder of an embedded AWS with `count` objects of 1 kB."""
    from moto.server import create_backend_app
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    from sagemaker_local.s3_store import SIGNED, Store

    folder = tempfile.TemporaryDirectory(prefix="bench-")
    app = Store(Path(folder.name), create_backend_app("s3"))
    objects = {f"/{BUCKET}/{index}": b"x" * 1000 for index in range(count)}
    for path, content in {f"/{BUCKET}": b"", **objects}.items():
        request = EnvironBuilder(method="PUT", path=path, headers={"Authorization": SIGNED}, data=content)
        _, status, _ = run_wsgi_app(app, request.get_environ(), buffered=True)
        if not status.startswith("2"):
            raise RuntimeError(f"Creating {path} failed: {status}")
    return folder


def jobs() -> Comparison:
    """Compare describing and listing jobs among more and more of them."""
    rows = [
        Row(f"{kind} {n}", f"{title} among {n:,} jobs", "ms", EMBEDDED, MOTO, f"{kind} {n}")
        for kind, title in (("describe", "describing one"), ("page", "listing the newest 10"))
        for n in JOBS
    ]
    rows += [Row(f"all {n}", f"listing all of {n:,} jobs", "ms", EMBEDDED, MOTO, f"all {n}") for n in JOBS]
    rows += [Row(f"start {n}", f"start with {n:,} existing jobs", "ms", EMBEDDED, "", f"start {n}") for n in JOBS]
    return Comparison(
        "growth.jobs",
        {EMBEDDED: in_embedded, MOTO: in_moto},
        tuple(rows),
        "moto keeps a job's request in memory and runs nothing; the embedded AWS runs jobs and stores them on disk.",
        conclude=grows_jobs,
    )


def in_embedded(run: int) -> Measurements:
    """Measure requests to the embedded AWS, and its start, with more and more existing jobs."""
    times = {}
    for count in JOBS:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            home = Path(scratch) / "home"
            for index in range(count):
                write_job(home / "jobs" / name(index), index)
            start = time.monotonic()
            with own_embedded(home):
                times[f"start {count}"] = 1000 * (time.monotonic() - start)
                times |= time_requests(embedded.find().url, count)
    return times


def in_moto(run: int) -> Measurements:
    """Measure requests to moto's server with more and more jobs."""
    times = {}
    for count in JOBS:
        with served(moto_alone.serve) as url:
            sagemaker = client(url)
            for index in range(count):
                sagemaker.create_training_job(**request(name(index)))
            times |= time_requests(url, count)
    return times


def time_requests(url: str, count: int) -> Measurements:
    """Describe and list, each a few times; return the medians in milliseconds."""
    sagemaker = client(url)
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending"}

    def list_all() -> None:
        found = [
            job["TrainingJobName"]
            for page in sagemaker.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 100})
            for job in page["TrainingJobSummaries"]
        ]
        if len(found) != count:
            raise RuntimeError(f"Expected {count} jobs, listed {len(found)}.")

    return {
        f"describe {count}": timed(lambda: sagemaker.describe_training_job(TrainingJobName=name(count // 2)), 20),
        f"page {count}": timed(lambda: sagemaker.list_training_jobs(**newest, MaxResults=10), 20),
        f"all {count}": timed(list_all, 3),
    }


def timed(call: Callable[[], object], times: int) -> float:
    """Return the median duration of a call in milliseconds, after one that opens the connection."""
    call()
    durations = []
    for _ in range(times):
        start = time.monotonic()
        call()
        durations.append(1000 * (time.monotonic() - start))
    return median(durations)


def name(index: int) -> str:
    """Return a job's name."""
    return f"mlagents-{index:06}"


def request(job: str) -> dict[str, object]:
    """Return the main parts of a job's request as `training_jobs` makes it."""
    return {
        "TrainingJobName": job,
        "HyperParameters": {"max_steps": "4500", "seed": "1", "env-args": "--agents 48"},
        "AlgorithmSpecification": {"TrainingImage": "mlagents:1", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/mlagents-training",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/training"},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
    }


def write_job(folder: Path, index: int) -> None:
    """Write the record of a job that has ended, as the embedded AWS leaves it."""
    started = 1.7e9 + 600 * index
    phases = ("Starting", "Downloading", "Training", "Uploading", "Completed")
    record = {
        "request": request(folder.name),
        "arn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{folder.name}",
        "created": started,
        "modified": started + 300,
        "started": started + 1,
        "ended": started + 300,
        "status": "Completed",
        "secondary": "Completed",
        "transitions": [
            {
                "Status": phase,
                "StartTime": started + 60 * order,
                "EndTime": started + 60 * order + 60,
                "StatusMessage": "",
            }
            for order, phase in enumerate(phases)
        ],
        "training_seconds": 299.0,
        "billable_seconds": 299.0,
    }
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(record))


def client(url: str, service: str = "sagemaker"):
    """Return a client of a server on this machine, with the keys of the embedded AWS or dummy keys for moto."""
    server = embedded.find()
    keys = server.keys if server and server.url == url else Keys("BENCH", "bench")
    session = boto3.Session(keys.access, keys.secret, region_name="us-east-1")
    config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return session.client(service, endpoint_url=url, config=config)


def grows(*sides: str) -> Callable[[Result], str]:
    """Return a conclusion about measures that are named by size."""
    return lambda result: "; ".join(filter(None, (growth_of(result, side, "", side) for side in sides)))


def grows_jobs(result: Result) -> str:
    """Return how the response times of the embedded AWS grow with its jobs."""
    kinds = {"describe ": "describing", "page ": "listing ten", "all ": "listing all", "start ": "starting"}
    return "; ".join(filter(None, (growth_of(result, EMBEDDED, kind, title) for kind, title in kinds.items())))


def growth_of(result: Result, side: str, kind: str, title: str) -> str:
    """Say with which power of the size the times of a side grow; empty if it was not measured."""
    found = {
        int(measure.removeprefix(kind)): median(result.values(side, measure))
        for measure in (result.runs[0].get(side) or {})
        if measure.startswith(kind) and measure.removeprefix(kind).isdigit()
    }
    if len(found) < 2:
        return ""
    power = spread.exponent(list(found), list(found.values()))
    return f"{title} grows with the size to the power of {power:.2f}{', worse than linear' * (power > STEEP)}"
