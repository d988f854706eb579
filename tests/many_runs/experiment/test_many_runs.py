"""Thousands of runs: how many calls they take, and that AWS's limits are obeyed without a word. See docs/benchmarks.md."""

import time

import pytest

from helpers import training
from many_runs import experiment
from many_runs.experiment.watch import Watch
from tools.benchmarks import experiment as recorded
from tools.benchmarks import processes
from training_jobs import LOG_GROUP, following

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def in_progress(tmp_path_factory):
    """Return a connection to 200 runs that are in progress, each with 20 summaries."""
    with processes.served(recorded.serve_running, tmp_path_factory.mktemp("running"), 200, 20) as url:
        yield recorded.connect(url)


def test_an_update_of_200_runs_makes_one_list_call_and_few_log_calls(in_progress):
    watch = Watch(in_progress, recorded.NAME)
    assert len(watch.running) == 200
    looks = []
    for _ in range(25):  # past a round in which all runs are looked at again
        calls = recorded.count_calls(in_progress, watch)
        watch.look()
        assert set(calls) <= {"Search", "FilterLogEvents"}
        assert calls["Search"] == 1
        looks.append(calls["FilterLogEvents"])
    assert looks == [1] * 25
    assert len(watch.progress) == 200
    assert {progress.step for progress in watch.progress.values()} == {20_000}
    assert len(watch.experiment.runs) == 200


def test_lines_written_between_two_updates_are_read(tmp_path):
    with processes.served(recorded.serve_running, tmp_path, 20, 5) as url:
        connection = recorded.connect(url)
        watch = Watch(connection, recorded.NAME)
        streams = recorded.list_streams(connection)
        assert len(streams) == 20
        for number in range(6, 12):
            # Those of one run have a clock that is fast.
            recorded.write_summaries(connection, streams[:1], number, ahead=200)
            recorded.write_summaries(connection, streams[1:], number)
            watch.look()
            assert {progress.step for progress in watch.progress.values()} == {1000 * number}


def test_recorded_lines_are_in_the_past(tmp_path):
    for number, run in enumerate(recorded.planned(2000)[::100]):
        record = recorded.make_record(run, tmp_path, 100 * number, 3)
        record.created += 3600  # as for runs that are in progress
        assert recorded.make_log(run, record, 3)["logEvents"][-1]["timestamp"] <= 1000 * time.time()


def test_long_logs_are_read_over_several_updates(tmp_path):
    with processes.served(
        recorded.serve_running, tmp_path, 80, 500
    ) as url:  # 40,000 lines, of which CloudWatch gives 10,000 at a time
        connection = recorded.connect(url)
        watch = Watch(connection, recorded.NAME)
        watch._read_from = watch._read_from.replace(year=2020)
        looks = []
        while watch._log_token or not looks:
            calls = recorded.count_calls(connection, watch)
            watch.look()
            looks.append(calls["FilterLogEvents"])
    assert looks == [3, 1]
    assert {progress.step for progress in watch.progress.values()} == {500_000}


def test_one_bar_shows_all_runs(in_progress, monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", stop)
    found = training.follow_many(in_progress, recorded.NAME)
    assert len(found.runs) == 200
    output = capsys.readouterr().out
    assert "0 of 200 runs ended · 200 in progress · step 20,000 · mean reward 15.38 to 16.53" in output
    assert "No longer following. 200 runs of recorded go on" in output


def test_the_table_of_2000_runs_takes_20_calls(tmp_path, many):
    recorded.write_runs(tmp_path, 2000, 3)
    with many.serve(tmp_path) as connection:
        calls = recorded.count_calls(connection)
        table = experiment.tabulate(connection, experiment.find(connection, recorded.NAME))
    assert calls == {"Search": 20}
    assert len(table) == 2000
    assert table.groupby("settings")["seed"].nunique().tolist() == [100] * 20
    assert table["mean_reward"].notna().all()


def test_throttled_calls_are_made_again(tmp_path, many):
    recorded.write_runs(tmp_path, 300, 3)
    with many.serve(tmp_path, EMBEDDED_CALLS_A_SECOND="1") as connection:
        codes = []
        connection.session.events.register(
            "response-received.sagemaker.Search",
            lambda parsed_response, **_: codes.append(parsed_response.get("Error", {}).get("Code")),
        )
        found = experiment.find(connection, recorded.NAME)
        assert set(codes) == {None, "ThrottlingException"} and codes.count(None) == 3
        assert len(found.runs) == 300
        some = experiment.Experiment(found.name, found.runs[:2], found.launches)
        curves = experiment.read_curves(connection, some)  # CloudWatch throttles, too
        assert [len(curve) for group in curves.groups.values() for curve in group.values()] == [3, 3]


def test_logs_of_earlier_servers_can_be_read_repeatedly(tmp_path, many):
    count = 60
    recorded.write_runs(tmp_path, count, 3)
    with many.serve(tmp_path) as connection:
        found = experiment.find(connection, recorded.NAME)
        assert len(found.runs) == count
        for _ in range(2):
            curves = experiment.read_curves(connection, found)
            assert sum(len(curve) for group in curves.groups.values() for curve in group.values()) == 3 * count
        streams = connection.client("logs").get_paginator("describe_log_streams").paginate(logGroupName=LOG_GROUP)
        assert sum(len(page["logStreams"]) for page in streams) == count
