"""What is shown while a job runs."""

import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from types import SimpleNamespace

import IPython.display
import pytest

import reward_curves as rewards
from common import ROOT
from training_jobs import live

SUMMARY = "INFO:mlagents.trainers: run: {}: Step: {}. Time Elapsed: {} s Mean Reward: {}. Std of Reward: 0.5. Training."
LINE = SUMMARY.replace("{}", "3DBall", 1)
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
    text = progress(job(seconds=75), LINES, CURVE, usd_per_hour=2.4)
    assert str(text) == (
        "Training · step 1,000 of 5,000 · 100 steps/s · mean reward 1.50 · 1:15 min, 0:40 min to go"
        " · 0.050 USD, 0.027 to go"
    )


def test_at_first_only_the_phase_is_shown():
    assert str(progress(job(), [], EMPTY)) == "Training"
    assert str(progress(job(seconds=30, status="Failed"), [], EMPTY)) == "Failed · 0:30 min"


def test_steps_are_read_from_the_log_of_each_update():
    view = live.View()
    view.update(job(), LINES[:1], EMPTY)
    assert view.progress.total == 0
    view.update(job(), LINES[1:3], EMPTY)
    assert view.progress.total == 5000
    view.update(job(), LINES[3:], CURVE)
    assert (view.progress.step, view.progress.total, view.progress.speed) == (1000, 5000, 100.0)
    assert list(view.tail) == LINES


def settings(brain, max_steps):
    return [
        f"INFO:mlagents.trainers:Hyperparameters for the PPOTrainer of brain {brain}: ",
        f"\tmax_steps:\t{max_steps}",
    ]


@pytest.mark.parametrize(
    ("totals", "steps", "expected"),
    [
        ({"A": "1.0e3", "B": "1.0e3"}, {"A": [500, 1000], "B": [100, 200]}, ("B", 200, 1000, 2.0)),
        ({"Small": "1.0e3", "Big": "1.0e5"}, {"Small": [500, 1000], "Big": [400, 800]}, ("Big", 800, 100_000, 2.0)),
    ],
)
def test_the_brain_with_the_most_steps_left_is_shown(totals, steps, expected):
    lines = [line for brain, total in totals.items() for line in settings(brain, total)]
    for number, (brain, done) in enumerate(steps.items(), 1):
        lines += [SUMMARY.format(brain, step, f"{step / 100}", f"{number}.000") for step in done]
    found = progress(job(seconds=10), lines, rewards.read_log(lines))
    name, step, total, reward = expected
    assert (found.brain, found.step, found.total, found.mean_reward) == (name, step, total, reward)
    assert found.speed == pytest.approx(100.0)
    assert found.seconds_to_go == pytest.approx((total - step) / 100.0)
    assert str(found).startswith(
        f"Training · {name} step {step:,} of {total:,} · 100 steps/s · mean reward {reward:.2f} · "
    )


def test_a_brain_without_a_summary_is_shown_if_it_has_the_most_steps_left():
    lines = settings("A", "1.0e3") + settings("Idle", "2.0e3") + [SUMMARY.format("A", 500, "5.0", "1.0")]
    found = progress(job(), lines, rewards.read_log(lines))
    assert str(found) == "Training · Idle step 0 of 2,000"


@pytest.mark.parametrize(
    ("status", "bar"), [("Completed", (5000, 5000)), ("Failed", (1000, 5000)), ("Stopped", (1000, 5000))]
)
def test_an_ended_job_has_no_time_left(status, bar):
    found = progress(job(seconds=75, status=status), LINES, CURVE, usd_per_hour=2.4)
    assert str(found) == f"{status} · step 1,000 of 5,000 · 100 steps/s · mean reward 1.50 · 1:15 min · 0.050 USD"
    assert found.drawn == bar


def test_a_job_that_was_resumed_after_its_last_summary_has_no_speed_yet():
    resumed = [*LINES, "train: brain 3DBall goes on from step 1050"]
    view = live.View()
    view.update(job(), resumed, rewards.read_log(resumed))
    assert (view.progress.step, view.progress.speed) == (1000, 0.0)


def test_the_speed_of_a_resumed_job_counts_only_its_own_steps():
    lines = [*settings("3DBall", "1.0e6"), "train: brain 3DBall goes on from step 900000"]
    assert progress(job(), lines, rewards.read_log(lines)).step == 900_000
    lines.append(LINE.format(901000, "10.0", "1.0"))
    found = progress(job(seconds=12), lines, rewards.read_log(lines), usd_per_hour=3.6)
    assert (found.speed, found.seconds_to_go) == (100.0, 990.0)
    assert str(found) == (
        "Training · step 901,000 of 1,000,000 · 100 steps/s · mean reward 1.00 · 0:12 min, 16:30 min to go"
        " · 0.012 USD, 0.990 to go"
    )


def test_the_speed_is_from_the_last_summaries_of_this_attempt():
    lines = [LINE.format(1000, "10.0", "1.0"), LINE.format(2000, "20.0", "1.0")]
    lines += ["train: brain 3DBall goes on from step 2000", LINE.format(3000, "40.0", "1.0")]
    assert progress(job(), lines, rewards.read_log(lines)).speed == 0.0  # unknown: when it was at 2000 is not told
    lines.append(LINE.format(4000, "60.0", "1.0"))
    assert progress(job(), lines, rewards.read_log(lines)).speed == 50.0


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00 min"), (59.6, "1:00 min"), (3599, "59:59 min"), (7260, "2:01 h")]
)
def test_clock(seconds, expected):
    assert live.clock(seconds) == expected


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


NOISY = """\

                   ╓▓▓▓▓▓▓█▓▓▓▓▓
                        ¬`▀▀▀█▓
WARNING:tensorflow:From threads.py:19: The name tf.ConfigProto is deprecated.
  * https://github.com/tensorflow/addons
2026-11-29 01:02:08.287885: I tensorflow/core/platform/cpu_feature_guard.cc:142] Your CPU supports instructions
Use `tf.compat.v1.graph_util.extract_sub_graph`
Please use `layer.__call__` method instead.
INFO:mlagents.trainers:\tis_continuous_control
IN: 'epsilon': [-1, 1, 1, 2] => 'mul_1'
DONE: wrote ./models/run-0/3DBall.nn file.
train: 1 player
"""


def test_logo_and_warnings_of_tensorflow_are_left_out(shown, capsys):
    for view in (live.Notebook(), live.Terminal()):
        view.update(job(), NOISY.splitlines(), EMPTY)
        assert list(view.tail) == ["train: 1 player"]
    assert capsys.readouterr().out.splitlines() == ["train: 1 player", "Training"]


LATER = """\
            ┐  ╖
 ╬╬╬╬┐     ╙╬╬╣╣      ╫╣╣╣╬      ╟╣╣╬    ╟╣╣╣ ╟╣╣╬   ╣╣╣  ╣╣╣  ╟╣╣     ╣╣╣┌╣╣╜
             ╙
/trainer/mlagents/torch_utils/torch.py:4: UserWarning: pkg_resources is deprecated as an API.
  import pkg_resources
[INFO] Hyperparameters for behavior name My Ball:\x20
\tmax_steps:\t24000
[INFO] My Ball. Step: 12000. Time Elapsed: 24.000 s. Mean Reward: 1.631. Std of Reward: 0.785. Training.
"""


def test_steps_are_read_from_the_log_of_ml_agents_1_1_0():
    view = live.View()
    view.update(job(), LATER.splitlines(), rewards.read_log(LATER.splitlines()))
    assert list(view.tail) == LATER.splitlines()[-3:]
    assert (view.progress.step, view.progress.total, view.progress.speed) == (12000, 24000, 500.0)


def test_a_long_line_ends_with_a_whole_word(shown):
    view = live.Notebook()
    view.update(job(), ["advice, " * 100], EMPTY)
    ((*_, panel),) = shown
    assert panel.data.count("advice,") == 75 and "advice, …</pre>" in panel.data


def test_names_and_log_lines_are_escaped(shown, capsys):
    """Whoever wrote the game wrote them: markup for a page, and for a terminal what clears it or turns its text."""
    name = "<b>$x$</b>\x1b[2J\u202e"
    written = r"<b>$x$</b>\x1b[2J\u202e"
    lines = [*settings(name, "1.0e3"), *settings("Z", "1.0e2"), f"\x1b]0;title\x07{name}"]
    for view in (live.Notebook(), live.Terminal()):
        view.update(job(), lines, EMPTY)
    (panel,) = shown
    text = html.unescape(re.sub(r"<(/?(div|progress|b|pre|br)\b[^>]*)>", "", panel[-1].data))
    assert text.count(written) == 3 and "<b>$" not in panel[-1].data and 'class="tex2jax_ignore' in panel[-1].data
    printed = capsys.readouterr().out
    assert printed.count(written) == 3
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", printed + panel[-1].data)


def test_the_figure_is_drawn_rarely_and_at_the_end(shown, monkeypatch):
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


def test_a_nan_reward_is_not_shown(shown):
    lines = [*LINES[:3], LINE.format(1000, "10.000", "nan")]
    view = live.Notebook()
    view.update(job(), lines, rewards.read_log(lines))
    assert len(shown) == 1  # the panel: there is nothing to draw
    assert str(view.progress) == "Training · step 1,000 of 5,000 · 100 steps/s"


def test_a_file_gets_plain_lines_and_only_what_is_new(capsys):
    view = live.Terminal()
    view.update(job(), LINES[:3], EMPTY)
    for seconds in (1, 4, 7):
        view.update(job(seconds), LINES[3:] if seconds == 1 else [], CURVE)
    view.close()
    state = "Training · step 1,000 of 5,000 · 100 steps/s · mean reward 1.50 · 0:01 min, 0:40 min to go"
    assert capsys.readouterr().out.splitlines() == [*LINES[:3], "Training · step 0 of 5,000", *LINES[3:], state]


IN_A_TERMINAL = """
import sys
sys.path.insert(0, "tests/training_jobs")
from test_live import *
view = live.view(3.6, "USD on AWS")
lines = [*settings("3DBall", "5.0e4")]
view.update(job(1), lines, EMPTY)
for number in range(1, 16):
    line = LINE.format(1000 * number, f"{10 * number}.0", f"{number}.000")
    lines.append(line)
    view.update(job(10 * number), [line], rewards.read_log(lines))
    view.update(job(10 * number + 3), [], rewards.read_log(lines))
view.close()
"""


def test_the_display_fits_a_terminal_of_80_columns():
    terminal, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    program = subprocess.Popen([sys.executable, "-c", IN_A_TERMINAL], stdout=theirs, cwd=ROOT, env=environment)
    os.close(theirs)
    output = b""
    try:
        while piece := os.read(terminal, 4096):
            output += piece
    except OSError:  # Linux says so where the other end was closed
        pass
    os.close(terminal)
    assert program.wait() == 0
    *_, last = re.split(r"\x1b\[\d+F\x1b\[J", output.decode())
    assert last.splitlines() == [
        " 30% |██████              |",
        "Training · step 15,000 of 50,000 · 100 steps/s · mean reward 15.00 ·",
        "2:33 min, 5:50 min to go · 0.153 USD on AWS, 0.350 to go",
    ]
    assert output.count(b"\x1b[J") == 30  # replaced in place each time but the first
    assert output.count(b"Step: 15000.") == 1


def test_outside_a_notebook_it_is_the_terminal():
    assert isinstance(live.view(), live.Terminal)
