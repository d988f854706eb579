"""What is shown while a job runs."""

from types import SimpleNamespace

import IPython.display
import pytest

from helpers import live, rewards

LINE = (
    "INFO:mlagents.trainers: run: 3DBall: Step: {}. Time Elapsed: {} s Mean Reward: {}. Std of Reward: 0.5. Training."
)
LINES = [
    "INFO:mlagents.trainers:Hyperparameters for the PPOTrainer of brain 3DBall: ",
    "\ttrainer:\tppo",
    "\tmax_steps:\t5.0e3",
    LINE.format(1000, "10.000", "1.500"),
    "<script>",
]
CURVE = rewards.read_log(LINES)
EMPTY = rewards.read_log([])


def job(seconds=0.0, status="InProgress"):
    ended = status != "InProgress"
    return SimpleNamespace(name="mlagents-1", status=status, phase="Training", ended=ended, seconds=lambda: seconds)


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


def progress(job, lines, curve, **options):
    view = live.View(**options)
    view.update(job, lines, curve)
    return view.progress


def test_the_state_in_one_line():
    told = progress(job(seconds=75), LINES, CURVE, usd_per_hour=2.4)
    assert str(told) == (
        "Training · step 1,000 of 5,000 · 100 steps/s · mean reward 1.50 · 1:15 min, 0:40 min to go"
        " · 0.050 USD, 0.027 to go"
    )


def test_before_anything_is_known_only_the_phase_is_told():
    assert str(progress(job(), [], EMPTY)) == "Training"
    assert str(progress(job(seconds=30, status="Failed"), [], EMPTY)) == "Failed · 0:30 min"


def test_steps_are_read_from_the_log_of_each_update():
    view = live.View()
    view.update(job(), LINES[:3], EMPTY)
    view.update(job(), ["\tmax_steps:\t900"], EMPTY)
    assert view.progress.total == 5000
    view.update(job(), LINES[3:], CURVE)
    assert (view.progress.step, view.progress.total, view.progress.speed) == (1000, 5000, 100.0)
    assert list(view.tail) == [LINES[0], LINES[1], LINES[2], "\tmax_steps:\t900", LINES[3], LINES[4]]


def test_the_speed_is_that_of_the_last_summaries_of_this_attempt():
    lines = [LINE.format(1000, "10.0", "1.0"), LINE.format(2000, "20.0", "1.0")]
    lines += ["train: brain 3DBall goes on from step 2000", LINE.format(3000, "40.0", "1.0")]
    assert progress(job(), lines, rewards.read_log(lines)).speed == 0.0  # unknown: when it was at 2000 is not told
    lines.append(LINE.format(4000, "60.0", "1.0"))
    assert progress(job(), lines, rewards.read_log(lines)).speed == 50.0


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00 min"), (59.6, "1:00 min"), (3599, "59:59 min"), (7260, "2:01 h")]
)
def test_clock(seconds, told):
    assert live.clock(seconds) == told


def test_a_curve_in_blocks():
    assert live.sparkline([0.0, 3.5, 7.0]) == "▁▅█"
    assert live.sparkline([5.0, 5.0]) == "▁▁"
    assert live.sparkline([float("nan")]) == ""
    assert len(live.sparkline(range(100))) == 30


def test_a_notebook_has_one_panel_and_one_figure(shown):
    view = live.Notebook()
    view.update(job(), LINES[:3], EMPTY)
    view.update(job(), LINES[3:], CURVE)
    view.update(job(), [], CURVE)
    panel, figures = shown
    assert 'value="0" max="5000"' in panel[1].data
    assert 'value="1000" max="5000"' in panel[2].data
    assert "&lt;script&gt;" in panel[2].data
    assert "<script>" not in panel[2].data
    assert len(figures) == 1


def test_the_figure_is_not_drawn_all_the_time_but_at_the_end(shown, monkeypatch):
    monkeypatch.setattr(live, "DRAWING", 1e-9)  # of a core: after one drawing, none for years
    lines = list(LINES)
    view = live.Notebook()
    view.update(job(), lines, CURVE)
    lines.append(LINE.format(2000, "20.0", "2.0"))
    grown = rewards.read_log(lines)
    view.update(job(), lines[-1:], grown)
    assert len(shown[1]) == 1
    view.update(job(status="Completed"), [], grown)
    assert len(shown[1]) == 2


def test_a_terminal_has_a_bar_and_each_log_line_once(capsys):
    view = live.Terminal()
    view.update(job(), LINES[:3], EMPTY)
    view.update(job(), LINES[3:], CURVE)
    view.close()
    told = capsys.readouterr().out
    assert told.count("trainer:\tppo") == 1
    assert " 20% |" in told
    assert "step 1,000 of 5,000 · 100 steps/s · mean reward 1.50 ▁" in told


def test_outside_a_notebook_it_is_the_terminal():
    assert isinstance(live.view(), live.Terminal)
