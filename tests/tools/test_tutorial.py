"""Which notebooks run one after another, which in parallel, and what happens on failure."""

import threading
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from helpers import settings
from tools import tutorial

LESSONS = tutorial.list_notebooks()
NOTEBOOKS = [Path(f"{number:02}_lesson.ipynb") for number in range(1, tutorial.SEQUENTIAL + 4)]


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Return a function that runs `make tutorial` in an empty folder, with fake notebooks."""
    monkeypatch.setenv("TRAINING_SETTINGS", str(tmp_path / "settings.toml"))  # which the program changes
    monkeypatch.setattr(tutorial, "list_notebooks", lambda: NOTEBOOKS)
    monkeypatch.setattr(tutorial, "write_site", lambda trainer: tmp_path / "build/html/index.html")
    for name, folder in (("ROOT", ""), ("BUILD", "build"), ("RESULTS", "results")):
        monkeypatch.setattr(tutorial, name, tmp_path / folder)

    def run(execute, *arguments):
        monkeypatch.setattr(tutorial, "execute", execute)
        monkeypatch.setattr("sys.argv", ["tutorial", *arguments])
        tutorial.main()

    return run


def raise_error(error):
    def execute(notebook, parameters, folder):
        raise error

    return execute


def test_the_short_parameters_are_those_of_notebooks():
    assert set(tutorial.SHORT) <= {path.stem for path in tutorial.list_notebooks()}


def test_dependent_notebooks_run_in_order_and_others_in_parallel(monkeypatch, tmp_path):
    both, started = threading.Barrier(2, timeout=30), []

    def execute(notebook, parameters, folder):
        started.append((notebook, parameters, folder))
        if notebook in NOTEBOOKS[tutorial.SEQUENTIAL : -1]:
            both.wait()  # for the other one, which must be running

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "cores_here", lambda: 2)
    monkeypatch.setitem(tutorial.SHORT, "04_lesson", {"max_steps": 5})
    ended = [notebook for notebook, _ in tutorial.execute_all(NOTEBOOKS, tmp_path, short=True)]
    assert ended[: tutorial.SEQUENTIAL] == NOTEBOOKS[: tutorial.SEQUENTIAL]
    assert (set(ended), ended[-1]) == (set(NOTEBOOKS), NOTEBOOKS[-1])
    assert started[3] == (NOTEBOOKS[3], {"max_steps": 5}, tmp_path)
    assert all(parameters == {} for notebook, parameters, _ in started if notebook != NOTEBOOKS[3])


def test_after_a_failure_no_other_notebook_starts(monkeypatch, tmp_path):
    started = []

    def execute(notebook, parameters, folder):
        started.append(notebook)
        if notebook == NOTEBOOKS[tutorial.SEQUENTIAL]:
            raise tutorial.TutorialError("a cell failed")

    monkeypatch.setattr(tutorial, "execute", execute)
    monkeypatch.setattr(tutorial, "cores_here", lambda: 1)
    with pytest.raises(tutorial.TutorialError, match="a cell failed"):
        list(tutorial.execute_all(NOTEBOOKS, tmp_path))
    assert started == NOTEBOOKS[: tutorial.SEQUENTIAL + 1]


def test_the_program_copies_curve_and_model_of_notebook_5(program, tmp_path, capsys):
    def execute(notebook, parameters, folder):
        if notebook.stem.startswith(("05", "07")):
            folder = tmp_path / "results" / f"job-of-{notebook.stem[:2]}"
            folder.mkdir(parents=True)
            for name in ("rewards.png", "rewards.svg", "3DBall.nn"):
                (folder / name).write_text(folder.name)

    program(execute)
    assert {path.name: path.read_text() for path in (tmp_path / "build").iterdir()} == dict.fromkeys(
        ("rewards.png", "rewards.svg", "3DBall.nn"), "job-of-05"
    )
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1 : tutorial.SEQUENTIAL + 1]] == [
        path.stem for path in NOTEBOOKS[: tutorial.SEQUENTIAL]
    ]
    assert f"All {len(NOTEBOOKS)} notebooks in 0 s." in printed
    assert "trained model        build/3DBall.nn" in printed


def test_another_version_has_a_sample_and_a_place_of_its_own(program, monkeypatch, tmp_path, capsys):
    given = {}

    def execute(notebook, parameters, folder):
        given[notebook.stem] = parameters
        if notebook.stem.startswith("05"):
            results = tmp_path / "results/job"
            results.mkdir(parents=True)
            for name in ("rewards.png", "rewards.svg", "3DBall.onnx"):
                (results / name).write_text(name)
        folder.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(tutorial.trainer_env, "find", lambda trainer: None)
    monkeypatch.setattr(tutorial, "list_notebooks", lambda: LESSONS)
    program(execute, "--trainer", "1.1.0", "--short")
    sample = {"unity_volume": "../build/1.1.0/sample"}
    assert given["00_set_up_your_account"] == given["05_plot_rewards"] == {}
    assert given["06_watch_the_agent"] == sample
    assert given["01_check_unity_build"] == {**sample, "sample_version": "1.1.0"}
    assert given["04_train_on_sagemaker"] == {**sample, "max_steps": 500}
    assert given["10_learn_from_demonstrations"] == {**sample, "folder": "../build/1.1.0/imitation", "max_steps": 500}
    assert "trained model        build/1.1.0/3DBall.onnx" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            tutorial.TutorialError("01_lesson.ipynb, cell 2: it failed"),
            "01_lesson.ipynb, cell 2: it failed\nThe notebooks executed until then",
        ),
        (
            OSError(28, "No space left on device"),
            "Expected to write files below {root}, found: No space left on device.",
        ),
        (OSError(30, "Read-only file system", "x/y"), "Expected to write x/y, found: Read-only file system. Make room"),
    ],
)
def test_a_failure_is_printed_last(program, tmp_path, error, text):
    with pytest.raises(SystemExit) as ended:
        program(raise_error(error))
    assert str(ended.value).startswith(text.format(root=tmp_path))


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        ([], "Interrupted. No job runs.\n"),
        (["mlagents-1"], "Interrupted, while mlagents-1 still runs. `make stop` ends that.\n"),
        (["mlagents-1", "b"], "Interrupted, while mlagents-1 and b still run. `make stop` ends that.\n"),
    ],
)
def test_ctrl_c_names_what_still_runs_and_how_to_stop_it(program, monkeypatch, capsys, jobs, text):
    ended = []
    monkeypatch.setattr(tutorial.os, "_exit", ended.append)
    monkeypatch.setattr(tutorial.sagemaker_local, "find", lambda: SimpleNamespace() if jobs else None)
    monkeypatch.setattr(tutorial.aws, "connect", lambda: SimpleNamespace(endpoint="http://127.0.0.1:1"))
    running = [SimpleNamespace(name=name) for name in jobs]
    monkeypatch.setattr(tutorial, "list_with_status", lambda connection, status: running)
    program(raise_error(KeyboardInterrupt()))
    assert (ended, capsys.readouterr().err) == ([130], text)


def test_on_aws_the_program_wants_a_yes_and_ctrl_c_says_what_is_billed(program, monkeypatch, capsys):
    settings.write("aws", "role", "", "eu-west-1")
    monkeypatch.setattr(tutorial.account, "connect", lambda: print("Target and account"))
    monkeypatch.setattr(tutorial.os, "_exit", lambda code: None)
    with pytest.raises(SystemExit, match="Run `make tutorial SURE=1`, or `TRAINING_TARGET=embedded make tutorial`"):
        program(raise_error(AssertionError("a lesson ran")))
    tunings = {"HyperParameterTuningJobSummaries": [{"HyperParameterTuningJobName": "mlagents-t"}]}
    sagemaker = SimpleNamespace(list_hyper_parameter_tuning_jobs=lambda **_: tunings)
    aws = SimpleNamespace(endpoint=None, region="eu-west-1", client=lambda service: sagemaker)
    monkeypatch.setattr(tutorial.aws, "connect", lambda: aws)
    monkeypatch.setattr(tutorial, "list_with_status", lambda connection, status: [SimpleNamespace(name="mlagents-1")])
    program(raise_error(KeyboardInterrupt()), "--sure")
    printed = capsys.readouterr()
    assert printed.out == "Target and account\n" * 2
    assert printed.err.splitlines() == [
        "Interrupted, while mlagents-1 still runs. AWS bills that until it ends, or you stop it:",
        "    aws sagemaker --region eu-west-1 stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name mlagents-t",
        "    aws sagemaker --region eu-west-1 stop-training-job --training-job-name mlagents-1",
    ]


def test_lessons_read_the_readers_settings_and_write_to_a_copy(program, tmp_path):
    file, copies = settings.write("embedded", "", "mine", ""), []

    def execute(notebook, parameters, folder):
        copies.append((settings.settings_file(), settings.read().bucket))
        settings.write("embedded", "", "written by lesson 0", "")
        raise tutorial.TutorialError("enough")

    with pytest.raises(SystemExit):
        program(execute)
    assert copies == [(tmp_path / "build/settings.toml", "mine")]
    assert settings.read_file(file)["bucket"] == "mine"


def test_a_kernel_that_is_interrupted_at_its_end_does_not_report_that(tmp_path, capfd):
    said = 'get_ipython().kernel.log.error("KeyboardInterrupt caught in kernel")'
    cells = [nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(said)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "one.ipynb")
    tutorial.execute(tmp_path / "one.ipynb", {}, tmp_path / "executed")
    assert "caught" not in capfd.readouterr().err
