"""Rows about growth: more players, more agents, more files, longer curves, more jobs."""

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
"""Cost grows worse than linearly when its exponent is above this; what is below is the measurement's own scatter."""
READER, ACCUMULATOR = "reward_curves", "TensorBoard's EventAccumulator"
EMBEDDED, MOTO = "the embedded AWS", "moto alone"


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [*trainings(), uploads(), curves(), starts(), jobs(), experiment.runs()]


def trainings() -> list[Comparison]:
    """Compare trainings with more players, and more agents in each, at equal numbers on both sides."""
    found = []
    for players in PLAYERS:
        for agents in AGENTS:
            # An update comes after so many steps of every agent, so that every size does as many of them.
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
    """Write a run's event file with so many summaries."""
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
    """Compare starts of the embedded AWS, which keeps what it was given, with those of moto, which does not."""
    rows = [
        Row(f"{n}", f"start with {n:,} objects of earlier, to the first answer", "s", EMBEDDED, MOTO, f"{n}")
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
    """Start the embedded AWS on objects of earlier, ask who one is, then for all objects."""
    times = {}
    for count in OBJECTS:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            home = Path(scratch) / "home"
            shutil.copytree(Path(objects_of_earlier(count).name), home / "s3")
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
    """Start moto's server and ask who one is; it has nothing of earlier, so once does for all sizes."""
    start = time.monotonic()
    with served(moto_alone.serve) as url:
        client(url, "sts").get_caller_identity()
        return dict.fromkeys(map(str, OBJECTS), time.monotonic() - start)


@functools.cache
def objects_of_earlier(count: int) -> tempfile.TemporaryDirectory:
    """Return a folder that an embedded AWS with so many objects of 1 kB has left as its ``s3/``."""
    from moto.server import create_backend_app
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    from sagemaker_local.s3_store import SIGNED, Store

    folder = tempfile.TemporaryDirectory(prefix="bench-")
    app = Store(Path(folder.name), create_backend_app("s3"))
    objects = {f"/{BUCKET}/{index}": b"x" * 1000 for index in range(count)}
    for path, content in {f"/{BUCKET}": b"", **objects}.items():
        asked = EnvironBuilder(method="PUT", path=path, headers={"Authorization": SIGNED}, data=content)
        _, status, _ = run_wsgi_app(app, asked.get_environ(), buffered=True)
        if not status.startswith("2"):
            raise RuntimeError(f"{path} could not be made: {status}")
    return folder


def jobs() -> Comparison:
    """Compare describing and listing jobs among more and more of them."""
    rows = [
        Row(f"{what} {n}", f"{title} among {n:,} jobs", "ms", EMBEDDED, MOTO, f"{what} {n}")
        for what, title in (("describe", "describing one"), ("page", "listing the newest 10"))
        for n in JOBS
    ]
    rows += [Row(f"all {n}", f"listing all of {n:,} jobs", "ms", EMBEDDED, MOTO, f"all {n}") for n in JOBS]
    rows += [Row(f"start {n}", f"start with {n:,} jobs of earlier", "ms", EMBEDDED, "", f"start {n}") for n in JOBS]
    return Comparison(
        "growth.jobs",
        {EMBEDDED: in_embedded, MOTO: in_moto},
        tuple(rows),
        "moto keeps a job's request in memory and runs nothing; the embedded AWS runs jobs and keeps them on disk.",
        conclude=grows_jobs,
    )


def in_embedded(run: int) -> Measurements:
    """Ask the embedded AWS, started with so many jobs of earlier."""
    times = {}
    for count in JOBS:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            home = Path(scratch) / "home"
            for index in range(count):
                write_job(home / "jobs" / name(index), index)
            start = time.monotonic()
            with own_embedded(home):
                times[f"start {count}"] = 1000 * (time.monotonic() - start)
                times |= ask(embedded.find().url, count)
    return times


def in_moto(run: int) -> Measurements:
    """Ask moto's server, into which so many jobs were put."""
    times = {}
    for count in JOBS:
        with served(moto_alone.serve) as url:
            sagemaker = client(url)
            for index in range(count):
                sagemaker.create_training_job(**request(name(index)))
            times |= ask(url, count)
    return times


def ask(url: str, count: int) -> Measurements:
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
    """Return the median duration of a call in milliseconds; one before, which opens the connection, doesn't count."""
    call()
    taken = []
    for _ in range(times):
        start = time.monotonic()
        call()
        taken.append(1000 * (time.monotonic() - start))
    return median(taken)


def name(index: int) -> str:
    """Return a job's name."""
    return f"mlagents-{index:06}"


def request(job: str) -> dict[str, object]:
    """Return the request of a job as `training_jobs` makes it, in its main parts."""
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
    begun = 1.7e9 + 600 * index
    phases = ("Starting", "Downloading", "Training", "Uploading", "Completed")
    record = {
        "request": request(folder.name),
        "arn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{folder.name}",
        "created": begun,
        "modified": begun + 300,
        "started": begun + 1,
        "ended": begun + 300,
        "status": "Completed",
        "secondary": "Completed",
        "transitions": [
            {"Status": phase, "StartTime": begun + 60 * order, "EndTime": begun + 60 * order + 60, "StatusMessage": ""}
            for order, phase in enumerate(phases)
        ],
        "training_seconds": 299.0,
        "billable_seconds": 299.0,
    }
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(record))


def client(url: str, service: str = "sagemaker"):
    """Return a client of a server on this machine, with the embedded AWS's keys, or made-up ones for moto."""
    server = embedded.find()
    keys = server.keys if server and server.url == url else Keys("BENCH", "bench")
    session = boto3.Session(keys.access, keys.secret, region_name="us-east-1")
    config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return session.client(service, endpoint_url=url, config=config)


def grows(*sides: str) -> Callable[[Result], str]:
    """Return a conclusion about measures that are named by their size."""
    return lambda result: "; ".join(filter(None, (growth_of(result, side, "", side) for side in sides)))


def grows_jobs(result: Result) -> str:
    """Return how the embedded AWS's answers grow with its jobs."""
    kinds = {"describe ": "describing", "page ": "listing ten", "all ": "listing all", "start ": "starting"}
    return "; ".join(filter(None, (growth_of(result, EMBEDDED, kind, told) for kind, told in kinds.items())))


def growth_of(result: Result, side: str, kind: str, told: str) -> str:
    """Say with which power of the size a side's times grow; empty where it wasn't measured."""
    found = {
        int(measure.removeprefix(kind)): median(result.values(side, measure))
        for measure in (result.runs[0].get(side) or {})
        if measure.startswith(kind) and measure.removeprefix(kind).isdigit()
    }
    if len(found) < 2:
        return ""
    power = spread.exponent(list(found), list(found.values()))
    return f"{told} grows with the size to the power of {power:.2f}{', worse than linear' * (power > STEEP)}"
