"""Run all notebooks with their own defaults, as a reader would: ``make tutorial``.

Leaves the executed notebooks, the same as a site, the reward curve and the trained model under `build/`.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from common import ROOT
from common.cores import cores_here

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
"""Parameters, by the notebook's name, with which it trains only long enough to show that everything works."""
ROAD = 7
"""How many notebooks build on each other: they look at what the one before left. Those after them do not, but for the
last, which looks at what all left."""


class TutorialError(RuntimeError):
    """A notebook failed, or was given a parameter that it does not have."""


def list_notebooks() -> list[Path]:
    """Return the numbered notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def copy_project(folder: Path) -> None:
    """Lay out a folder in which notebooks can run as after a clone, without touching your own build and results."""
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
        For the executed copy. A notebook that fails is written too, up to its error.

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
                # Over TCP the kernel would warn, on every start, that it is not encrypted.
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
            )
    except PapermillExecutionError as error:
        raise TutorialError(f"{notebook.name}, cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    return executed


def execute_all(notebooks: Sequence[Path], folder: Path, short: bool = False) -> Iterator[tuple[Path, float]]:
    """Execute notebooks, side by side those that do not depend on each other; yield each with its seconds.

    Raises
    ------
    TutorialError
        As `execute` does. No other notebook is started then; those that are running go on to their end.
    """
    failed = threading.Event()

    def run(notebook: Path) -> tuple[Path, float] | None:
        if failed.is_set():
            return None
        begun = time.monotonic()
        try:
            execute(notebook, SHORT.get(notebook.stem, {}) if short else {}, folder)
        except BaseException:
            failed.set()
            raise
        return notebook, time.monotonic() - begun

    yield from filter(None, map(run, notebooks[:ROAD]))
    pool = ThreadPoolExecutor(min(cores_here(), 4))
    try:
        running = [pool.submit(run, notebook) for notebook in notebooks[ROAD:-1]]
        yield from filter(None, (ended.result() for ended in as_completed(running)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    yield from filter(None, map(run, notebooks[ROAD:][-1:]))


def write_site() -> Path:
    """Write what was executed as HTML, a failed notebook up to its error; return the first page.

    Raises
    ------
    TutorialError
        If nothing was executed yet.
    """
    from tools import gallery

    executed = [BUILD / "notebooks" / notebook.name for notebook in list_notebooks()]
    executed = [notebook for notebook in executed if notebook.is_file()]
    if not executed:
        raise TutorialError(f"Expected executed notebooks in {BUILD / 'notebooks'}, found none. Run: make tutorial")
    return gallery.write(executed, BUILD / "html")


def main() -> None:
    """Execute every notebook and say where things are."""
    parser = argparse.ArgumentParser(prog="python -m tools.tutorial", description=main.__doc__)
    parser.add_argument("--short", action="store_true", help="train only long enough to see that all works")
    parser.add_argument("--html", action="store_true", help="execute nothing, write what was executed as HTML")
    arguments = parser.parse_args()
    if arguments.html:
        try:
            print(write_site().relative_to(ROOT))
        except TutorialError as error:
            sys.exit(str(error))
        return
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger would warn on each start
    start = time.monotonic()
    notebooks = list_notebooks()
    shutil.rmtree(BUILD / "notebooks", ignore_errors=True)
    try:
        for notebook, seconds in execute_all(notebooks, BUILD / "notebooks", arguments.short):
            print(f"{notebook.stem}   {seconds:.0f} s", flush=True)
            if notebook.stem.startswith("05"):
                result = max(RESULTS.glob("*/rewards.png"), key=lambda path: path.stat().st_mtime).parent
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        os._exit(130)  # without waiting for the notebooks; their kernels end with their parent
    except TutorialError as error:
        sys.exit(f"{error}\nWhat was run until then: {write_site()}")
    shutil.copy(result / "rewards.png", BUILD)
    shutil.copy(result / "rewards.svg", BUILD)
    models = [shutil.copy(model, BUILD) for model in sorted(result.glob("*.nn"))]
    print(f"\nAll {len(notebooks)} notebooks in {time.monotonic() - start:.0f} s.")
    print(f"executed notebooks   build/notebooks/, as pages {write_site().relative_to(ROOT)}")
    print("reward curve         build/rewards.png, build/rewards.svg")
    print(f"trained model        {', '.join(str(Path(model).relative_to(ROOT)) for model in models)}")


if __name__ == "__main__":
    main()
