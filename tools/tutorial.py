"""Run all notebooks, one after another, with their own defaults, as a reader would.

``make tutorial`` calls this. It leaves the executed notebooks, the same as a site, the reward curve and the trained
model under `build/`.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from common import ROOT
from tools import gallery

NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
RESULTS = ROOT / "results"
SHORT = {
    "04_train_on_sagemaker": {"max_steps": 3000},
    "07_resume_after_interruption": {"max_steps": 1000, "interrupt_after": 250, "further_steps": 1500},
    "08_repeat_and_tune": {"max_steps": 1000},
}


class TutorialError(RuntimeError):
    """A notebook failed, or was given a parameter that it does not have."""


def list_notebooks() -> list[Path]:
    """Return the numbered notebooks in their order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


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
    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise TutorialError(f"{notebook.name} has no parameter {', '.join(unknown)}. It has {', '.join(known)}.")
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / notebook.name
    try:
        papermill.execute_notebook(
            str(notebook),
            str(executed),
            parameters,
            cwd=str(notebook.parent),
            progress_bar=False,
            # Over TCP the kernel would warn, on every start, that it is not encrypted.
            config=Config(KernelManager={"transport": "ipc"}),
        )
    except PapermillExecutionError as error:
        raise TutorialError(f"{notebook.name}, cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    return executed


def write_site() -> Path:
    """Write what was executed as HTML, a failed notebook up to its error; return the first page.

    Raises
    ------
    TutorialError
        If nothing was executed yet.
    """
    executed = [BUILD / "notebooks" / notebook.name for notebook in list_notebooks()]
    executed = [notebook for notebook in executed if notebook.is_file()]
    if not executed:
        raise TutorialError(f"Expected executed notebooks in {BUILD / 'notebooks'}, found none. Run: make tutorial")
    return gallery.write(executed, BUILD / "html")


def newest_result() -> Path:
    """Return the folder that notebook 05 wrote last."""
    return max((path.parent for path in RESULTS.glob("*/rewards.png")), key=lambda path: path.stat().st_mtime)


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
    for notebook in list_notebooks():
        print(f"{notebook.stem} …", end=" ", flush=True)
        begun = time.monotonic()
        try:
            execute(notebook, SHORT.get(notebook.stem, {}) if arguments.short else {}, BUILD / "notebooks")
        except TutorialError as error:
            sys.exit(f"failed\n{error}\nWhat was run until then: {write_site().with_name(notebook.stem + '.html')}")
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
    result = newest_result()
    shutil.copy(result / "rewards.png", BUILD)
    shutil.copy(result / "rewards.svg", BUILD)
    models = [shutil.copy(model, BUILD) for model in sorted(result.glob("*.nn"))]
    print(f"\nAll {len(list_notebooks())} notebooks in {time.monotonic() - start:.0f} s.")
    print(f"executed notebooks   build/notebooks/, as pages {write_site().relative_to(ROOT)}")
    print("reward curve         build/rewards.png, build/rewards.svg")
    print(f"trained model        {', '.join(str(Path(model).relative_to(ROOT)) for model in models)}")


if __name__ == "__main__":
    main()
