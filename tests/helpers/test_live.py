"""What is shown while a job runs."""

from types import SimpleNamespace

import IPython.display
import pytest

from helpers import live, rewards

JOB = SimpleNamespace(name="mlagents-1", status="InProgress", phase="Training")
LINES = [
    "INFO:mlagents.trainers:Hyperparameters for the PPOTrainer of brain 3DBall: ",
    "\ttrainer:\tppo",
    "\tmax_steps:\t5.0e3",
    "INFO:mlagents.trainers: run: 3DBall: Step: 1000. Time Elapsed: 10.000 s Mean Reward: 1.500. Std of Reward: 0.500. Training.",
    "<script>",
]
CURVE = rewards.read_log(LINES)
EMPTY = rewards.read_log([])


@pytest.fixture
def shown(monkeypatch):
    """Collect what a notebook shows: one list of contents for each place."""
    places = []

    def display(content, display_id):
        place = [content]
        places.append(place)
        return SimpleNamespace(update=place.append)

    monkeypatch.setattr(IPython.display, "display", display)
    return places


def test_steps_are_read_from_the_log():
    assert live.count_steps(LINES) == 5000
    assert live.count_steps([]) == 0


def test_state_in_one_line():
    assert live.tell(JOB, CURVE, 5000) == "Training · step 1,000 of 5,000 · mean reward 1.50 · 100 steps/s"
    assert live.tell(JOB, EMPTY, 0) == "Training"


def test_a_notebook_has_one_panel_and_one_figure(shown):
    view = live.Notebook()
    view.update(JOB, LINES[:3], EMPTY)
    view.update(JOB, LINES, CURVE)
    view.update(JOB, LINES, CURVE)
    panel, figures = shown
    assert 'value="0" max="5000"' in panel[1].data
    assert 'value="1000" max="5000"' in panel[2].data
    assert "&lt;script&gt;" in panel[2].data
    assert "<script>" not in panel[2].data
    assert len(figures) == 1


def test_a_terminal_has_a_bar_and_each_log_line_once(capsys):
    view = live.Terminal()
    view.update(JOB, LINES[:3], EMPTY)
    view.update(JOB, LINES, CURVE)
    view.close()
    told = capsys.readouterr().out
    assert told.count("trainer:\tppo") == 1
    assert "1000/5000" in told
    assert "mean reward 1.50" in told


def test_outside_a_notebook_it_is_the_terminal():
    assert isinstance(live.view(), live.Terminal)
