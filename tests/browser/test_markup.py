"""Names, reasons and log lines that hold markup, in every table and page: a browser shows them and runs none of them."""

import nbformat
import pytest
from nbclient import NotebookClient
from selenium.webdriver.common.by import By

from common import ROOT
from tools import gallery

IMAGE = '<img src=x onerror="window.planted=1">'
PLANTED = IMAGE + "</pre></script><script>window.planted=2</script>[x](javascript:planted) $\\alpha$ `&lt;` \x1b[2J"
PREPARE = f"""
import dataclasses, pathlib, sys, tempfile
from datetime import datetime, timezone
from types import SimpleNamespace
import pandas as pd
from IPython.display import Markdown, SVG, display
import reward_curves as rewards
import training_jobs as training
from helpers import advice, reproduction
from common import bar, findings
from many_runs import experiment, tuning
from training_jobs import live
from policy_files import model
from mlagents_check import unity_build
from many_runs.tuning.job import make_table
from many_runs.tuning.ranges import Range
sys.path[:0] = ["{ROOT}/tests/helpers", "{ROOT}/tests/many_runs/tuning"]  # helpers move to the lessons' folder
from test_reproduction import JOB, RECORD, json
from test_tuning import made, trained

P = {PLANTED!r}
LINE = "INFO:mlagents.trainers: run: " + P + ": Step: 1. Time Elapsed: 1.0 s Mean Reward: 1.0. Std of Reward: 1.0."
folder = pathlib.Path(tempfile.mkdtemp())
job = dataclasses.replace(JOB, name=P, failure=P, status="Failed", goes_on_from="job " + P, hyperparameters={{P: P}})
curve = pd.concat([rewards.read_log([LINE]), rewards.read_log([LINE.replace(": Step", "2: Step")])])
tuned = made(name=P, metric=P + "!", failure=P, ranges=(Range(P, "Categorical", values=(P, "b")),))
tried = {{"TrainingJobName": P, "TunedHyperParameters": {{P: P}}, "TrainingJobStatus": "Completed", "FailureReason": P,
         "FinalHyperParameterTuningJobObjectiveMetric": {{"Value": 1.0}}}}
"""
SHOWN = {
    "a report": "findings.Report(P, (findings.Finding('error', P, P, P, text=P),))",
    "a build's files": f"[(folder / name).write_text('x') for name in ({IMAGE!r}, {IMAGE!r} + '.x86_64')]; "
    "display(unity_build.check(folder))",
    "a model": "model.Model(P, (), folder / P, P, 1, {P: (-1, 1, 1, 8)}, (P,), (), True, (2,), (), {})",
    "the last summary": "rewards.show_last(curve, P)",
    "a table of trainings": "make_table(tuned, [tried], None)",
    "a table of runs": "pd.DataFrame({'settings': [P], 'reason': [P]})",
    "a comparison": "experiment.compare({P: {1: 1.0}, 'other': {1: 2.0}}, left_out=[P])",
    "prices": "advice.Advice((), (P,))",
    "a job that is followed": "view = live.Notebook(); view.update(job, [LINE, P], curve)",
    "a bar": "bar.NotebookBar(total=1, desc=P)",
    "a job": "print(job)",
    "a tuning job": "print(tuned)",
    "a README": "(folder / 'training.json').write_text(json.dumps({**RECORD, 'reason': P, 'brains': {P: "
    "{'steps': 1, 'mean_reward': None}}})); display(Markdown(reproduction.write_readme(job, folder, curve).read_text()))",
    "an error": "raise training.TrainingError(P)",
}
DRAWN = {
    "a curve": "rewards.plot({P: curve})",
    "panels": "rewards.plot_training(curve)",
    "seeds": "rewards.plot_seeds({P: [rewards.read_log([LINE])]})",
    "a tuning job's picture": "tuning.plot(tuned, make_table(tuned, [tried], None))",
    "a vector picture": "rewards.plot({P: curve}).savefig(folder / 'p.svg'); display(SVG(folder / 'p.svg'))",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Run a notebook that shows it all, and write its page as of the site."""
    folder = tmp_path_factory.mktemp("markup")
    cells = [nbformat.v4.new_code_cell(source) for source in (PREPARE, *SHOWN.values(), *DRAWN.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)
        NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute(cwd=str(ROOT))
    for cell in notebook.cells:
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(failed) == (cell.source == SHOWN["an error"]), failed
        assert cell.outputs or cell.source == PREPARE, cell.source
        cell.source = ""  # so that the page holds what is shown alone
    nbformat.write(notebook, folder / "markup.ipynb")
    return gallery.write_page(folder / "markup.ipynb", folder / "site", [])


def test_planted_markup_is_text(page, browser):
    browser.get(page.as_uri())
    assert browser.execute_script("return window.planted") is None
    made = browser.find_elements(By.CSS_SELECTOR, "img[src='x'], [onerror], main script, a[href^='javascript']")
    assert [element.get_attribute("outerHTML") for element in made] == []
    cells = browser.find_elements(By.CSS_SELECTOR, "main .jp-CodeCell")
    texts = [cell.text for cell in cells[1:]]
    assert {name: IMAGE in text for name, text in zip(SHOWN, texts, strict=False)} == dict.fromkeys(SHOWN, True)
    pictures = [cell.find_elements(By.CSS_SELECTOR, "img, svg") for cell in cells[1 + len(SHOWN) :]]
    assert {name: len(found) for name, found in zip(DRAWN, pictures, strict=True)} == dict.fromkeys(DRAWN, 1)
