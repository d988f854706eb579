"""A job's log and metrics: whole, whatever else starts at the same time, and whatever fails."""

import ast
import errno
import json
import os
import threading

import pytest
from botocore.exceptions import ClientError
from moto.logs.models import LogEvent, LogGroup

from helpers import ROOT
from helpers.embedded import joblog
from helpers.embedded.record import Record, load

LINES = ["Reward: 1.5", "something else", "Reward: 2.5"]


def test_sixteen_jobs_that_start_at_once_have_all_their_metrics(own):
    aws = own.start(EMBEDDED_MAX_JOBS="16")
    patterns = {f"metric-{number}": rf"m{number}=([0-9.]+)" for number in range(3)}
    say = ";".join(f"say m{number}={number}.5" for number in range(3))
    requests = [aws.request(say, AlgorithmSpecification=aws.metrics(**patterns)) for _ in range(16)]
    sagemaker, together = aws.sm, threading.Barrier(len(requests))

    def create(request):
        together.wait()
        sagemaker.create_training_job(**request)

    threads = [threading.Thread(target=create, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs, group = aws.client("logs"), joblog.GROUP
    for request in requests:
        told = aws.ended(request["TrainingJobName"])
        found = {metric["MetricName"]: metric["Value"] for metric in told["FinalMetricDataList"]}
        assert found == {"metric-0": 0.5, "metric-1": 1.5, "metric-2": 2.5}
        assert told["SecondaryStatusTransitions"][-1]["StatusMessage"] == "Training job completed"
        [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{told['TrainingJobName']}/")[
            "logStreams"
        ]
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        assert [event["message"] for event in events] == ["m0=0.5", "m1=1.5", "m2=2.5"]


class Logs:
    """CloudWatch Logs that refuses one call."""

    def __init__(self, refused=""):
        self.refused, self.said = refused, []

    def __getattr__(self, call):
        def answer(**request):
            if call == self.refused:
                raise ClientError({"Error": {"Code": "ServiceUnavailableException", "Message": "no"}}, call)
            self.said += [event["message"] for event in request.get("logEvents", ())]

        return answer


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
def test_what_fails_costs_nothing_else_and_is_said(tmp_path, monkeypatch, caplog, fails, missing):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    definitions = [{"Name": "reward", "Regex": "Reward: ([0-9.]+)"}]
    request = {"TrainingJobName": "job", "AlgorithmSpecification": {"MetricDefinitions": definitions}}
    record = Record(request, "arn:aws:sagemaker:us-east-1:1:training-job/job", tmp_path, 0.0)
    if fails in ("_write", "_keep"):
        monkeypatch.setattr(joblog.JobLog, fails, full)
    elif fails == "measure":
        monkeypatch.setattr(record, "measure", full)
    logs = Logs(fails)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        pipe.write("".join(f"{line}\n" for line in LINES))
    with os.fdopen(reader, "rb") as output:
        joblog.JobLog(record, output, logs).follow()
    record.move("Completed", "Training job completed", "Completed")

    note = [f"Lines of its log are missing: {missing}"] if missing else []
    assert record.metrics.get("reward", {}).get("Value") == (None if fails == "measure" else 2.5)
    assert logs.said == ([] if "CloudWatch" in missing else LINES + note)
    if fails == "_write":
        assert not (tmp_path / "log.txt").exists()
    else:
        assert (tmp_path / "log.txt").read_text() == "".join(f"{line}\n" for line in LINES + note)
    kept = (
        [json.loads(line) for line in (tmp_path / joblog.EVENTS).read_text().splitlines()] if fails != "_keep" else []
    )
    assert [event["message"] for batch in kept for event in batch["logEvents"]] == (LINES + note) * (fails != "_keep")
    assert ("Traceback" in caplog.text) == bool(fails)
    message = ". ".join(["Training job completed", *note])
    assert load(tmp_path).transitions[-1]["StatusMessage"] == message


def test_a_page_of_a_large_log_looks_at_few_events(monkeypatch):
    looked = []
    real = joblog.EventMessageFilter.matches
    monkeypatch.setattr(
        joblog.EventMessageFilter, "matches", lambda self, text: looked.append(text) or real(self, text)
    )
    group = LogGroup("123456789012", "us-east-1", joblog.GROUP)
    for name in ("b", "a"):
        group.create_log_stream(name)
        group.streams[name].events = [
            LogEvent(0, {"timestamp": number // 100, "message": f"{name} {number}"}) for number in range(150_000)
        ]

    def ask(**more):
        wanted = {"log_stream_names": [], "start_time": 0, "end_time": 0, "limit": None, "next_token": None}
        wanted |= {"filter_pattern": "", "interleaved": False, **more}
        looked.clear()
        page, token, _ = group.filter_log_events(joblog.GROUP, **wanted)
        return [event["message"] for event in page], token, len(looked)

    assert ask(filter_pattern="nothing") == ([], "a@100000", 100_000)
    assert ask(filter_pattern="nothing", next_token="a@100000") == ([], "b@50000", 100_000)
    assert ask(filter_pattern="nothing", next_token="b@50000") == ([], None, 100_000)
    assert ask(limit=2) == (["a 0", "a 1"], "a@2", 2)
    assert ask(limit=2, next_token="a@149999") == (["a 149999", "b 0"], "b@1", 2)
    assert ask(start_time=1499, end_time=1499, limit=101, next_token="") == (
        [*(f"a {149_900 + number}" for number in range(100)), "b 149900"],
        "b@149901",
        101,
    )
    assert ask(start_time=1499, log_stream_names=["b"])[1:] == (None, 100)


def find_lazy_classes(source):
    """Find `client.exceptions.Name`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "exceptions"
        and not (isinstance(node.value.value, ast.Name) and node.value.value.id in ("botocore", "optuna"))
    ]


def test_nobody_catches_a_class_that_botocore_makes_on_first_use():
    assert find_lazy_classes("self.logs.exceptions.ResourceNotFoundException") == [1]
    sources = {}
    for room in ("helpers", "tests", "benchmarks"):
        sources |= {path: path.read_text() for path in (ROOT / room).rglob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        sources[path] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert len(sources) > 200
    assert {path: lines for path, source in sources.items() if (lines := find_lazy_classes(source))} == {}
