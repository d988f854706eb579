"""Which notebooks run one after another, which side by side, and what a failure leaves."""

import threading
from pathlib import Path

import pytest

from tools import tutorial

NOTEBOOKS = [Path(f"{number:02}_lesson.ipynb") for number in range(1, tutorial.ROAD + 4)]


def test_the_short_parameters_are_those_of_notebooks():
    assert set(tutorial.SHORT) <= {path.stem for path in tutorial.list_notebooks()}


def test_the_road_runs_in_order_the_others_side_by_side_and_the_last_alone(monkeypatch, tmp_path):
    both, begun = threading.Barrier(2, timeout=30), []

    def execute(notebook, parameters, folder):
        begun.append((notebook, parameters, folder))
        if notebook in NOTEBOOKS[tutorial.ROAD : -1]:
            both.wait()  # for the other one, which must be running

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "cores_here", lambda: 2)
    monkeypatch.setitem(tutorial.SHORT, "04_lesson", {"max_steps": 5})
    ended = [notebook for notebook, _ in tutorial.execute_all(NOTEBOOKS, tmp_path, short=True)]
    assert ended[: tutorial.ROAD] == NOTEBOOKS[: tutorial.ROAD]
    assert (set(ended), ended[-1]) == (set(NOTEBOOKS), NOTEBOOKS[-1])
    assert begun[3] == (NOTEBOOKS[3], {"max_steps": 5}, tmp_path)
    assert all(parameters == {} for notebook, parameters, _ in begun if notebook != NOTEBOOKS[3])


def test_after_a_failure_no_other_notebook_starts(monkeypatch, tmp_path):
    begun = []

    def execute(notebook, parameters, folder):
        begun.append(notebook)
        if notebook == NOTEBOOKS[tutorial.ROAD]:
            raise tutorial.TutorialError("a cell failed")

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "cores_here", lambda: 1)
    with pytest.raises(tutorial.TutorialError, match="a cell failed"):
        list(tutorial.execute_all(NOTEBOOKS, tmp_path))
    assert begun == NOTEBOOKS[: tutorial.ROAD + 1]


def test_the_program_keeps_curve_and_model_of_notebook_5_and_says_where_they_are(monkeypatch, tmp_path, capsys):
    def execute(notebook, parameters, folder):
        if notebook.stem.startswith(("05", "07")):
            folder = tmp_path / "results" / f"job-of-{notebook.stem[:2]}"
            folder.mkdir(parents=True)
            for name in ("rewards.png", "rewards.svg", "3DBall.nn"):
                (folder / name).write_text(folder.name)

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "list_notebooks", lambda: NOTEBOOKS)
    monkeypatch.setattr(tutorial, "write_site", lambda: tmp_path / "build/html/index.html")
    monkeypatch.setattr("sys.argv", ["tutorial"])
    for name, folder in (("ROOT", ""), ("BUILD", "build"), ("RESULTS", "results")):
        monkeypatch.setattr(tutorial, name, tmp_path / folder)
    (tmp_path / "build").mkdir()
    tutorial.main()
    assert {path.name: path.read_text() for path in (tmp_path / "build").iterdir()} == dict.fromkeys(
        ("rewards.png", "rewards.svg", "3DBall.nn"), "job-of-05"
    )
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[: tutorial.ROAD]] == [
        path.stem for path in NOTEBOOKS[: tutorial.ROAD]
    ]
    assert f"All {len(NOTEBOOKS)} notebooks in 0 s." in printed
    assert "trained model        build/3DBall.nn" in printed


def test_a_failure_is_the_programs_last_word(monkeypatch, tmp_path):
    def execute(notebook, parameters, folder):
        raise tutorial.TutorialError("01_lesson.ipynb, cell 2: it failed")

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "BUILD", tmp_path)
    monkeypatch.setattr(tutorial, "write_site", lambda: tmp_path / "html/index.html")
    monkeypatch.setattr("sys.argv", ["tutorial"])
    with pytest.raises(SystemExit) as ended:
        tutorial.main()
    assert str(ended.value).startswith("01_lesson.ipynb, cell 2: it failed\nWhat was run until then: ")
