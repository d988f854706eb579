"""Run all notebooks with their own defaults, as a reader would: ``make tutorial``.

Leaves the executed notebooks, the same as a site, the reward curve and the trained model under `build/`.
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import sagemaker_local
from common import ROOT, trainer_env
from common.aws_session import ConnectError
from common.contract import DEFAULT_TRAINER, TRAINERS
from common.cores import cores_here
from helpers import account, aws, settings
from training_jobs.job import NAME_PREFIX, list_with_status

NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
RESULTS = ROOT / "results"
SHORT: dict[str, dict[str, object]] = {
    "04_train_on_sagemaker": {"max_steps": 500},
    "07_resume_after_interruption": {"max_steps": 600, "interrupt_after": 250, "further_steps": 750},
    "08_repeat": {"max_steps": 500, "seeds": [1, 2]},
    "09_tune": {"max_steps": 500},
    "10_learn_from_demonstrations": {"max_steps": 500},
}
"""By notebook: parameters with which it trains only long enough to show that everything works."""
SEQUENTIAL = 7
"""The number of notebooks that each need what the one before has left. Those after them do not depend on each other,
except for the last, which deletes what all of them have left."""


class TutorialError(RuntimeError):
    """A notebook failed, or does not have a parameter."""


def choose_parameters(notebook: Path, short: bool = False, trainer: str = DEFAULT_TRAINER) -> dict[str, object]:
    """Return the parameters of a notebook that differ from its own.

    Parameters
    ----------
    notebook : Path
    short : bool
        Train only long enough to show that everything works.
    trainer : str
        The version of ML-Agents. With another one than the default, notebooks work on a sample build of its own.
    """
    chosen = dict(SHORT.get(notebook.stem, {})) if short else {}
    if trainer != DEFAULT_TRAINER:
        own = {"unity_volume": f"../build/{trainer}/sample", "folder": f"../build/{trainer}/imitation"}
        own["sample_version"] = trainer
        text = notebook.read_text()  # JSON, in which the line of a parameter that is text begins so
        chosen |= {name: value for name, value in own.items() if f'"{name} = \\"' in text}
    return chosen


def list_notebooks() -> list[Path]:
    """Return the numbered notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def copy_project(folder: Path) -> None:
    """Prepare a folder in which notebooks run as in a fresh clone, without touching your own build and results."""
    (folder / "notebooks" / "solutions").mkdir(parents=True)
    for notebook in [*list_notebooks(), *(NOTEBOOKS / "solutions").glob("*.ipynb")]:
        shutil.copy(notebook, folder / notebook.relative_to(ROOT))
    (folder / "container").symlink_to(ROOT / "container")
    (folder / "unity-volume").mkdir()
    shutil.copy(ROOT / "unity-volume" / "README.md", folder / "unity-volume")


def execute(notebook: Path, parameters: Mapping[str, object], folder: Path) -> Path:
    """Execute a notebook and write it into a folder.

    Parameters
    ----------
    notebook : Path
    parameters : mapping
        Values that replace those of the notebook's parameters cell.
    folder : Path
        For the executed copy. A notebook that fails is also written, up to the error.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    TutorialError
        If a cell fails, or a parameter is unknown. Papermill alone would only warn of the latter.
    """
    import papermill  # here, because it takes more than a second
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise TutorialError(f"{notebook.name} has no parameter {', '.join(unknown)}. It has {', '.join(known)}.")
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / notebook.name
    try:
        with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                parameters,
                progress_bar=False,
                # Papermill's own cwd moves the whole process, in which other notebooks may be running.
                resources={"metadata": {"path": str(notebook.parent)}},
                # It is interrupted before it is shut down, and would report that as an error.
                extra_arguments=["--Application.log_level=CRITICAL"],
                # Over TCP the kernel would warn, on every start, that it is not encrypted.
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
            )
    except PapermillExecutionError as error:
        raise TutorialError(f"{notebook.name}, cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    return executed


def execute_all(
    notebooks: Sequence[Path], folder: Path, short: bool = False, trainer: str = DEFAULT_TRAINER
) -> Iterator[tuple[Path, float]]:
    """Execute notebooks, in parallel where they are independent, and yield each with its duration in seconds.

    Raises
    ------
    TutorialError
        As `execute` does. No other notebook is started then; running ones continue.
    """
    failed = threading.Event()

    def run(notebook: Path) -> tuple[Path, float] | None:
        if failed.is_set():
            return None
        started = time.monotonic()
        try:
            execute(notebook, choose_parameters(notebook, short, trainer), folder)
        except BaseException:
            failed.set()
            raise
        return notebook, time.monotonic() - started

    yield from filter(None, map(run, notebooks[:SEQUENTIAL]))
    pool = ThreadPoolExecutor(min(cores_here(), 4))
    try:
        running = [pool.submit(run, notebook) for notebook in notebooks[SEQUENTIAL:-1]]
        yield from filter(None, (ended.result() for ended in as_completed(running)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    yield from filter(None, map(run, notebooks[SEQUENTIAL:][-1:]))


def place_of(trainer: str) -> Path:
    """Return the folder for what a version of ML-Agents leaves: `build/`, for another than the default below it."""
    return BUILD if trainer == DEFAULT_TRAINER else BUILD / trainer


def write_site(trainer: str = DEFAULT_TRAINER) -> Path:
    """Write the executed notebooks as HTML, a failed one up to its error; return the first page.

    Raises
    ------
    TutorialError
        If nothing has been executed yet.
    """
    from tools import gallery

    place = place_of(trainer)
    executed = [place / "notebooks" / notebook.name for notebook in list_notebooks()]
    executed = [notebook for notebook in executed if notebook.is_file()]
    if not executed:
        raise TutorialError(f"Expected executed notebooks in {place / 'notebooks'}, found none. Run: make tutorial")
    return gallery.write(executed, place / "html")


def choose_target(sure: bool) -> None:
    """Print the target of the notebooks, and copy the settings for notebook 0 to write to.

    Raises
    ------
    TutorialError
        If the target cannot be used, or if it is AWS, which bills, and `sure` is not set.
    """
    try:
        chosen = settings.read()
        account.connect() if chosen.target == "aws" else print(chosen)
    except ConnectError as error:
        raise TutorialError(str(error)) from error
    if chosen.target == "aws" and not sure:
        raise TutorialError(
            "Expected a yes to some 16 training jobs, which AWS bills to this account by the second, found none. Run "
            "`make tutorial SURE=1`, or `TRAINING_TARGET=embedded make tutorial` to stay on this machine."
        )
    file, copy = settings.settings_file(), BUILD / "settings.toml"
    BUILD.mkdir(exist_ok=True)
    copy.unlink(missing_ok=True)
    if file.is_file():
        shutil.copy(file, copy)
    os.environ["TRAINING_SETTINGS"] = str(copy)


def describe_running() -> str:
    """Return which jobs are still running after an interruption, and how to stop them."""
    if settings.read().target == "embedded" and sagemaker_local.find() is None:
        return "Interrupted. No job runs."
    with contextlib.redirect_stdout(io.StringIO()):  # the target was printed at the start
        connection = aws.connect()
    names = [job.name for job in list_with_status(connection, "InProgress")]
    if not names:
        return "Interrupted. No job runs."
    still = f"Interrupted, while {' and '.join(names)} still {'runs' if len(names) == 1 else 'run'}."
    if connection.endpoint:
        return f"{still} `make stop` ends that."
    listed = connection.client("sagemaker").list_hyper_parameter_tuning_jobs(
        StatusEquals="InProgress", NameContains=NAME_PREFIX
    )
    tunings = [each["HyperParameterTuningJobName"] for each in listed["HyperParameterTuningJobSummaries"]]
    stops = [f"stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name {name}" for name in tunings]
    stops += [f"stop-training-job --training-job-name {name}" for name in names]
    lines = [f"aws sagemaker --region {connection.region} {stop}" for stop in stops]
    return "\n    ".join([f"{still} AWS bills that until it ends, or you stop it:", *lines])


def run_all(short: bool, trainer: str = DEFAULT_TRAINER) -> None:
    """Execute every notebook and print where the results are. Raises as `execute_all` does."""
    start = time.monotonic()
    notebooks, place = list_notebooks(), place_of(trainer)
    for old in ("notebooks", "sample"):
        shutil.rmtree(place / old, ignore_errors=True)
    try:
        for notebook, seconds in execute_all(notebooks, place / "notebooks", short, trainer):
            print(f"{notebook.stem}   {seconds:.0f} s", flush=True)
            if notebook.stem.startswith("05"):
                result = max(RESULTS.glob("*/rewards.png"), key=lambda path: path.stat().st_mtime).parent
    except TutorialError as error:
        raise TutorialError(f"{error}\nThe notebooks executed until then: {write_site(trainer)}") from error
    models = sorted(result.glob(f"*{TRAINERS[trainer]['model_suffix']}"))
    left = (Path(shutil.copy(path, place)) for path in (result / "rewards.png", result / "rewards.svg", *models))
    curve, vectors, *models = (path.relative_to(ROOT) for path in left)
    page = write_site(trainer).relative_to(ROOT)
    print(f"\nAll {len(notebooks)} notebooks in {time.monotonic() - start:.0f} s.")
    print(f"executed notebooks   {place.relative_to(ROOT)}/notebooks/, as pages {page}")
    print(f"reward curve         {curve}, {vectors}")
    print(f"trained model        {', '.join(map(str, models))}")


def main() -> None:
    """Run all notebooks and print where the results are; whatever ends this early is reported in a sentence."""
    parser = argparse.ArgumentParser(prog="python -m tools.tutorial", description=main.__doc__)
    parser.add_argument("--short", action="store_true", help="train only long enough to see that all works")
    parser.add_argument("--sure", action="store_true", help="yes, train on AWS if that is the target, and be billed")
    parser.add_argument("--html", action="store_true", help="execute nothing; only write executed notebooks as HTML")
    parser.add_argument("--trainer", choices=TRAINERS, default=DEFAULT_TRAINER, help="version of ML-Agents")
    arguments = parser.parse_args()
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger would warn on each start
    try:
        if arguments.html:
            print(write_site(arguments.trainer).relative_to(ROOT))
        else:
            choose_target(arguments.sure)
            trainer_env.find(arguments.trainer)
            run_all(arguments.short, arguments.trainer)
    except (TutorialError, trainer_env.TrainerEnvError) as error:
        sys.exit(str(error))
    except OSError as error:
        target = error.filename or f"files below {ROOT}"
        sys.exit(
            f"Expected to write {target}, found: {error.strerror}. Make room or get the right, then run this again."
        )
    except KeyboardInterrupt:
        try:
            text = describe_running()
        except BaseException as error:
            text = f"Interrupted. Which jobs run is not known ({error}). `make stop` ends those on this machine."
        print(text, file=sys.stderr, flush=True)
        os._exit(130)  # without waiting for the notebooks; their kernels end with their parent


if __name__ == "__main__":
    main()
