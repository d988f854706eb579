"""The runner: whose turn it is, what is saved of a side that is absent, fails or is interrupted, and its time limit."""

import pytest

from tools.benchmarks.comparison import AbsentError
from tools.benchmarks.runner import Progress, measure, measure_all


def last(results):
    *_, result = results
    return result


def test_sides_alternate_in_order(make, progress):
    turns = []

    def side(name):
        return lambda run: turns.append((name, run)) or {"time": 1.0}

    result = last(measure(make(ours=side("ours"), other=side("other")), 3, progress))
    assert turns == [("ours", 1), ("other", 1), ("other", 2), ("ours", 2), ("ours", 3), ("other", 3)]
    assert len(result.runs) == 3


def test_a_result_is_yielded_after_every_run(make, progress):
    comparison = make(ours=[1.0, 2.0], other=[3.0, 4.0])
    assert [len(result.runs) for result in measure(comparison, 2, progress)] == [1, 2]
    result = last(measure(comparison, 2, progress))
    assert result.values("ours", "time") == [1.0, 2.0]
    assert result.values("other", "time") == [3.0, 4.0]
    assert result.contest(comparison.rows[0]).ratio == pytest.approx(1.5 / 3.5)


def test_a_side_that_is_absent_leaves_the_other(make, progress):
    runs = []

    def absent(run):
        runs.append(run)
        raise AbsentError("no such program")

    result = last(measure(make(ours=[1.0, 2.0, 3.0], other=absent), 3, progress))
    assert runs == [1]
    assert result.absent == {"other": "no such program"}
    assert result.values("ours", "time") == [1.0, 2.0, 3.0]
    assert result.contest(result.rows[0]) is None
    assert result.failed == ""


def test_no_side_is_available(make, progress):
    def absent(run):
        raise AbsentError("nothing here")

    results = list(measure(make(ours=absent), 5, progress))
    assert len(results) == 1
    assert results[0].runs == []


def test_a_failing_side_ends_its_comparison_and_keeps_measurements(make, progress):
    def fails(run):
        if run == 2:
            raise RuntimeError("out of luck")
        return {"time": 5.0}

    result = last(measure(make(ours=[1.0, 2.0, 3.0], other=fails), 3, progress))
    assert result.failed == "other, run 2: RuntimeError: out of luck"
    assert result.runs == [{"ours": {"time": 1.0}, "other": {"time": 5.0}}]


def test_a_number_that_is_not_finite_is_a_failure(make, progress):
    result = last(measure(make(ours=[1.0, float("nan")]), 2, progress))
    assert result.failed == "ours, run 2: ValueError: Expected finite measurements, found {'time': nan}."
    assert result.runs == [{"ours": {"time": 1.0}}]


def test_other_comparisons_continue_after_a_failure(make, progress):
    def fails(run):
        raise RuntimeError("no")

    saved = []
    results, interrupted = measure_all(
        [make(ours=fails, name="a.a"), make(ours=[1.0], name="b.b")],
        1,
        progress,
        lambda all_of: saved.append(len(all_of)),
    )
    assert [result.comparison.name for result in results] == ["a.a", "b.b"]
    assert results[1].runs == [{"ours": {"time": 1.0}}]
    assert (interrupted, saved) == (False, [1, 2])


def test_an_interruption_keeps_only_complete_runs(make, progress):
    def interrupted(run):
        if run == 3:
            raise KeyboardInterrupt
        return {"time": 2.0}

    saved = []
    comparisons = [make(ours=[1.0] * 5, other=interrupted), make(ours=[1.0] * 5, name="never.measured")]
    results, was_interrupted = measure_all(comparisons, 5, progress, lambda all_of: saved.append(len(all_of[0].runs)))
    assert was_interrupted is True
    assert [len(result.runs) for result in results] == [2]
    assert saved == [1, 2, 2]


def test_no_run_starts_that_would_end_too_late(make, progress, monkeypatch):
    clock = iter_clock(monkeypatch)

    def slow(run):
        clock["now"] += 10
        return {"time": 10.0}

    assert len(last(measure(make(ours=slow), 9, progress, seconds=35)).runs) == 3
    assert len(last(measure(make(ours=slow), 9, progress, seconds=1)).runs) == 1


def iter_clock(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr("tools.benchmarks.runner.time.monotonic", lambda: clock["now"])
    return clock


def test_progress_is_one_line_on_a_terminal(terminal):
    progress = Progress(terminal)
    progress.show("a, run 1 of 5: ours")
    progress.show("b")
    progress.clear()
    assert terminal.getvalue() == "\r\x1b[K0:00 a, run 1 of 5: ours\r\x1b[K0:00 b\r\x1b[K"


def test_progress_is_one_line_per_run_elsewhere(make, progress):
    last(measure(make(ours=[1.0, 2.0]), 2, progress))
    assert progress.stream.getvalue() == "0:00 group.name, run 1 of 2: ours\n0:00 group.name, run 2 of 2: ours\n"
