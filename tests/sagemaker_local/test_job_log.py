"""A job's log and metrics: complete even if other jobs start at the same time, or something fails."""

import ast
import errno
import gc
import json
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec, module_from_spec
from itertools import chain

import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogEvent, LogGroup, logs_backends

from common import ROOT
from sagemaker_local import cloudwatch_logs, job_log
from sagemaker_local.record import Record, load

LINES = ["Reward: 1.5", "something else", "Reward: 2.5"]


def test_eight_jobs_that_start_at_once_have_all_their_metrics(own):
    aws = own.start(EMBEDDED_MAX_JOBS="8")
    patterns = {f"metric-{number}": rf"m{number}=([0-9.]+)" for number in range(3)}
    say = ";".join(f"say m{number}={number}.5" for number in range(3))
    requests = [aws.request(say, AlgorithmSpecification=aws.metrics(**patterns)) for _ in range(8)]
    sagemaker, together = aws.sm, threading.Barrier(len(requests))

    def create(request):
        together.wait()
        sagemaker.create_training_job(**request)

    threads = [threading.Thread(target=create, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs, group = aws.client("logs"), cloudwatch_logs.GROUP
    for request in requests:
        description = aws.ended(request["TrainingJobName"])
        found = {metric["MetricName"]: metric["Value"] for metric in description["FinalMetricDataList"]}
        assert found == {"metric-0": 0.5, "metric-1": 1.5, "metric-2": 2.5}
        assert description["SecondaryStatusTransitions"][-1]["StatusMessage"] == "Training job completed"
        [stream] = logs.describe_log_streams(
            logGroupName=group, logStreamNamePrefix=f"{description['TrainingJobName']}/"
        )["logStreams"]
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        assert [event["message"] for event in events] == ["m0=0.5", "m1=1.5", "m2=2.5"]


class Logs:
    """CloudWatch Logs that refuses one call."""

    def __init__(self, refused="", code="ServiceUnavailableException", times=99):
        self.refused, self.code, self.times, self.calls, self.messages = refused, code, times, [], []

    def __getattr__(self, call):
        def answer(**request):
            self.calls.append(call)
            if call == self.refused and self.times:
                self.times -= 1
                raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, call)
            self.messages += [event["message"] for event in request.get("logEvents", ())]

        return answer


def follow(record, logs):
    """Follow an output of `LINES` to its end."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        pipe.write("".join(f"{line}\n" for line in LINES))
    with os.fdopen(reader, "rb") as output:
        job_log.JobLog(record, output, logs).follow()


def test_a_log_stream_that_was_deleted_is_created_again(tmp_path):
    request = {"TrainingJobName": "job", "AlgorithmSpecification": {}}
    record = Record(request, "arn:aws:sagemaker:us-east-1:1:training-job/job", tmp_path, 0.0)
    logs = Logs("put_log_events", "ResourceNotFoundException", times=1)
    follow(record, logs)
    create, put = ["create_log_group", "create_log_stream"], ["put_log_events"]
    assert (logs.messages, logs.calls) == (LINES, create + put + create + put)
    assert len(record.streams) == 1


@pytest.mark.parametrize(
    ("fails", "missing"),
    [
        ("", ""),
        ("create_log_group", "3 from CloudWatch Logs"),
        ("create_log_stream", "3 from CloudWatch Logs"),
        ("put_log_events", "3 from CloudWatch Logs"),
        ("_write", "3 from log.txt"),
        ("_keep", "3 from events.jsonl"),
        ("measure", "2 from the metric reward"),
    ],
)
def test_a_failing_destination_is_reported_and_affects_no_other(tmp_path, monkeypatch, caplog, fails, missing):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    definitions = [{"Name": "reward", "Regex": "Reward: ([0-9.]+)"}]
    request = {"TrainingJobName": "job", "AlgorithmSpecification": {"MetricDefinitions": definitions}}
    record = Record(request, "arn:aws:sagemaker:us-east-1:1:training-job/job", tmp_path, 0.0)
    if fails in ("_write", "_keep"):
        monkeypatch.setattr(job_log.JobLog, fails, full)
    elif fails == "measure":
        monkeypatch.setattr(record, "measure", full)
    logs = Logs(fails)
    follow(record, logs)
    record.move("Completed", "Training job completed", "Completed")

    note = [f"Lines of its log are missing: {missing}"] if missing else []
    assert record.metrics.get("reward", {}).get("Value") == (None if fails == "measure" else 2.5)
    assert logs.messages == ([] if "CloudWatch" in missing else LINES + note)
    if fails == "_write":
        assert not (tmp_path / "log.txt").exists()
    else:
        assert (tmp_path / "log.txt").read_text() == "".join(f"{line}\n" for line in LINES + note)
    kept = (
        [json.loads(line) for line in (tmp_path / job_log.EVENTS).read_text().splitlines()] if fails != "_keep" else []
    )
    assert [event["message"] for batch in kept for event in batch["logEvents"]] == (LINES + note) * (fails != "_keep")
    assert ("Traceback" in caplog.text) == bool(fails)
    message = ". ".join(["Training job completed", *note])
    assert load(tmp_path).transitions[-1]["StatusMessage"] == message


def test_a_page_of_a_large_log_scans_few_events(monkeypatch):
    looked = []
    monkeypatch.setattr(cloudwatch_logs, "SCANNED", 10_000)
    real = cloudwatch_logs.EventMessageFilter.matches
    monkeypatch.setattr(
        cloudwatch_logs.EventMessageFilter, "matches", lambda self, text: looked.append(text) or real(self, text)
    )
    group = LogGroup("123456789012", "us-east-1", cloudwatch_logs.GROUP)
    for name in ("b", "a"):
        group.create_log_stream(name)
        group.streams[name].events = [
            LogEvent(0, {"timestamp": number // 10, "message": f"{name} {number}"}) for number in range(15_000)
        ]

    def ask(**more):
        arguments = {"log_stream_names": [], "start_time": 0, "end_time": 0, "limit": None, "next_token": None}
        arguments |= {"filter_pattern": "", "interleaved": False, **more}
        looked.clear()
        page, token, _ = group.filter_log_events(cloudwatch_logs.GROUP, **arguments)
        return [event["message"] for event in page], token, len(looked)

    assert ask(filter_pattern="nothing") == ([], "a@10000", 10_000)
    assert ask(filter_pattern="nothing", next_token="a@10000") == ([], "b@5000", 10_000)
    assert ask(filter_pattern="nothing", next_token="b@5000") == ([], None, 10_000)
    assert ask(limit=2) == (["a 0", "a 1"], "a@2", 2)
    assert ask(limit=2, next_token="a@14999") == (["a 14999", "b 0"], "b@1", 2)
    assert ask(start_time=1499, end_time=1499, limit=11, next_token="") == (
        [*(f"a {14_990 + number}" for number in range(10)), "b 14990"],
        "b@14991",
        11,
    )
    assert ask(start_time=1499, log_stream_names=["b"])[1:] == (None, 10)


class MotoLogs:
    """CloudWatch Logs in this process: stores events in moto as PutLogEvents does."""

    def __init__(self, region):
        self.backend = logs_backends[DEFAULT_ACCOUNT_ID][region]

    def create_log_group(self, **request):
        cloudwatch_logs.get_group(self.backend.region_name)

    def create_log_stream(self, **request):
        self.backend.create_log_stream(request["logGroupName"], request["logStreamName"])

    def put_log_events(self, **request):
        self.backend.put_log_events(request["logGroupName"], request["logStreamName"], request["logEvents"])


@pytest.fixture
def logged(tmp_path, monkeypatch, request):
    """Return the record of a job with 8,000 lines of output, the group with its log, and the stream's name."""
    region = "eu-west-3"
    monkeypatch.setattr(cloudwatch_logs, "HELD", request.param)
    monkeypatch.setattr(job_log, "BATCH_EVENTS", 1_000)
    definition = {"TrainingJobName": "job", "AlgorithmSpecification": {}}
    record = Record(definition, f"arn:aws:sagemaker:{region}:1:training-job/job", tmp_path, 0.0)
    (tmp_path / "said").write_text("".join(f"line {number}\n" for number in range(8_000)))
    with (tmp_path / "said").open("rb") as output:
        log = job_log.JobLog(record, output, MotoLogs(region))
        log.end()
        for chunk in iter(lambda: output.read(65_536), b""):
            log._take(chunk)
        log._finish()
    yield record, cloudwatch_logs.get_group(region), log.stream
    logs_backends[DEFAULT_ACCOUNT_ID][region].groups.pop(cloudwatch_logs.GROUP)


def read(group, stream):
    """Read the log as a client does: all pages of FilterLogEvents, and those of GetLogEvents in both directions."""
    filtered, token = [], None
    while filtered == [] or token:
        page, token, _ = group.filter_log_events(cloudwatch_logs.GROUP, [], 0, 0, 2_000, token, "", False)
        filtered += page
    assert len({event["eventId"] for event in filtered}) == len(filtered)
    pages = {}
    for head, place in ((True, 2), (False, 1)):
        messages, token, before = [], None, ""
        while token != before:
            before = token
            response = group.get_log_events(stream, None, None, 1_400, token, head)
            messages.append([event["message"] for event in response[0]])
            token = response[place]
        pages[head] = messages if head else messages[::-1]
    return [event["message"] for event in filtered], *(list(chain(*messages)) for messages in pages.values())


@pytest.mark.parametrize(("logged", "held"), [(10_000, 8_000), (2_400, 2_000)], indirect=["logged"])
def test_the_log_of_an_ended_job_is_read_from_disk_without_losing_lines(logged, held):
    record, group, stream = logged
    expected = ([f"line {number}" for number in range(8_000)],) * 3
    described = group.streams[stream].to_describe_dict()
    assert len(group.streams[stream].events.state[2]) == held
    assert read(group, stream) == expected
    event, begun, over = weakref.ref(group.streams[stream].events[-1]), threading.Barrier(3), threading.Event()

    def follow():
        found = [read(group, stream)]
        begun.wait()
        while not over.is_set() or len(found) < 3:
            found.append(read(group, stream))
        return found

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(follow) for _ in range(2)]
        begun.wait()
        cloudwatch_logs.release(record)
        over.set()
        assert all(found == expected for reader in readers for found in reader.result())
    cloudwatch_logs._read.cache_clear()
    gc.collect()
    assert event() is None
    assert [item for item in gc.get_objects() if isinstance(item, LogEvent) and item.message == "line 7999"] == []
    assert group.streams[stream].to_describe_dict() == described
    assert read(group, stream) == expected
    assert cloudwatch_logs._read.cache_info().currsize <= 4

    (record.folder / cloudwatch_logs.STREAMS).unlink()  # a killed server has not written it
    group.streams.clear()
    cloudwatch_logs.show(record)
    assert read(group, stream) == expected
    times = ("firstEventTimestamp", "lastEventTimestamp", "storedBytes", "uploadSequenceToken")
    again = group.streams[stream].to_describe_dict()
    assert {name: again[name] for name in times} == {name: described[name] for name in times}


@pytest.mark.parametrize("start", [0, 3, 7, 99])
@pytest.mark.parametrize("end", [0, 3, 6, 99])
def test_pages_of_get_log_events_match_motos(start, end):
    unchanged = module_from_spec(spec := find_spec("moto.logs.models"))
    spec.loader.exec_module(unchanged)
    get_log_events = unchanged.LogStream.get_log_events
    group = LogGroup("123456789012", "us-east-1", "/mine")
    group.create_log_stream("stream")
    group.streams["stream"].events = [
        LogEvent(0, {"timestamp": time, "message": f"{number}"}) for number, time in enumerate([5, 2, 3, 3, 9, 7, 7])
    ]
    for head in (True, False):
        for limit in (1, 2, 3, 10):
            ours, theirs = None, None
            for _ in range(9):
                mine = group.get_log_events("stream", start, end, limit, ours, head)
                real = get_log_events(group.streams["stream"], start, end, limit, theirs, head)
                assert mine[0] == real[0]
                ours, theirs = (mine[2], real[2]) if head else (mine[1], real[1])
    with pytest.raises(InvalidParameterException):
        group.get_log_events("stream", start, end, 1, "x/1", True)


def find_lazy_classes(source):
    """Find `client.exceptions.Name`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "exceptions"
        and not (isinstance(node.value.value, ast.Name) and node.value.value.id in ("botocore", "jsonschema", "optuna"))
    ]


def test_no_code_catches_lazily_created_exception_classes():
    assert find_lazy_classes("self.logs.exceptions.ResourceNotFoundException") == [1]
    sources = {}
    for room in ("helpers", "packages", "tests", "tools"):
        sources |= {path: path.read_text() for path in (ROOT / room).rglob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        sources[path] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert len(sources) > 200
    assert {path: lines for path, source in sources.items() if (lines := find_lazy_classes(source))} == {}
