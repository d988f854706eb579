"""Curves as pictures: what is drawn is what was measured, and nothing is drawn that would be wrong."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import reward_curves as rewards
from reward_curves.drawing import mean_interval


def curve(values, brain="B", **columns):
    steps = [1000 * (number + 1) for number in range(len(values))]
    given = {"brain": brain, "attempt": 1, "step": steps, "elapsed": [60.0 * n for n in range(1, len(values) + 1)]}
    return pd.DataFrame({**given, "mean_reward": values, "std_reward": float("nan"), **columns})


def legend(figure):
    (found,) = figure.legends or [figure.axes[0].get_legend()]
    return [text.get_text() for text in found.get_texts()]


def lines(figure):
    return {line.get_label(): line for axes in figure.axes for line in axes.lines}


def test_the_curve_and_its_band():
    figure = rewards.plot({"job": curve([-0.953, 1.25], std_reward=[0.4, 0.75])})
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert list(axes.lines[0].get_xdata()) == [1000, 2000]
    assert list(axes.lines[0].get_ydata()) == [-0.953, 1.25]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-1.353)
    assert band[:, 1].max() == pytest.approx(2.0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "mean cumulative reward ± 1 std")


def test_each_brain_and_each_job_has_a_line():
    two = pd.concat([curve([1.0, 2.0]), curve([3.0, 4.0], brain="A")])
    assert list(lines(rewards.plot({"job": two}))) == ["job, A", "job, B"]
    assert list(lines(rewards.plot({"one": curve([1.0]), "two": curve([2.0])}))) == ["one", "two"]


def test_smoothing_is_drawn_over_the_raw_line_and_named():
    drawn = lines(rewards.plot({"job": curve([0.0, 2.0, 4.0, 9.0])}, smooth=3))
    assert list(drawn) == ["job, each summary", "job, mean of 3 summaries"]
    assert list(drawn["job, each summary"].get_ydata()) == [0.0, 2.0, 4.0, 9.0]
    assert list(drawn["job, mean of 3 summaries"].get_ydata()) == [0.0, 1.0, 2.0, 5.0]


def test_against_time_and_against_cost():
    figure = rewards.plot({"job": curve([1.0, 2.0])}, x="time")
    assert list(figure.axes[0].lines[0].get_xdata()) == [1.0, 2.0]
    assert figure.axes[0].get_xlabel() == "training time, minutes"
    figure = rewards.plot({"job": curve([1.0, 2.0])}, x="cost", usd_per_hour=1.2)
    assert list(figure.axes[0].lines[0].get_xdata()) == pytest.approx([0.02, 0.04])
    assert figure.axes[0].get_xlabel() == "cost, USD"


def test_lessons_and_interruptions_are_marked_where_they_were():
    figure = rewards.plot({"job": curve([1.0, 2.0, 3.0, 4.0], lesson=[0, 0, 1, 1], attempt=[1, 1, 1, 2])})
    (axes,) = figure.axes
    marks = [(line.get_marker(), list(line.get_xdata())) for line in axes.lines[1:]]
    assert marks == [("D", [3000]), ("X", [4000])]
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert entries == ["job", "new lesson", "resumed from a checkpoint"]


def test_an_interruption_before_the_first_summary_that_was_kept_is_marked():
    (axes,) = rewards.plot({"job": curve([3.0, 4.0], attempt=[2, 2])}).axes
    assert [(line.get_marker(), list(line.get_xdata())) for line in axes.lines[1:]] == [("X", [1000])]


def test_a_curve_without_them_has_no_marks():
    figure = rewards.plot({"job": curve([1.0, 2.0], lesson=[0, 0])})
    assert len(figure.axes[0].lines) == 1


def test_another_scalar():
    figure = rewards.plot({"job": curve([1.0], episode_length=[200.0])}, y="episode_length")
    assert list(figure.axes[0].lines[0].get_ydata()) == [200.0]
    assert figure.axes[0].get_ylabel() == "episode length, steps"


def test_seeds_their_mean_and_its_interval():
    runs = [curve([0.0, 10.0]), curve([2.0, 20.0]), curve([4.0, 30.0])]
    figure = rewards.plot_seeds({"setting": runs})
    (axes,) = figure.axes
    assert [line.get_linewidth() for line in axes.lines] == [0.7, 0.7, 0.7, 2.2]
    assert list(axes.lines[3].get_ydata()) == [2.0, 20.0]
    assert axes.lines[3].get_label() == "setting, mean of 3 runs"
    band = axes.collections[0].get_paths()[0].vertices
    assert 10.0 <= band[:, 1].max() <= 30.0
    assert axes.get_ylabel() == "mean cumulative reward, 95 % interval"


def test_coverage_of_the_interval():
    chance = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        runs = [([0], [value]) for value in chance.normal(5.0, 2.0, size=20)]
        _, low, mean, high = mean_interval(runs)
        assert low[0] <= mean[0] <= high[0]
        hits += low[0] <= 5.0 <= high[0]
    assert 176 <= hits <= 198  # of 200; the percentile bootstrap of 20 runs covers a little less than 95 %


def test_runs_with_different_steps_are_interpolated():
    steps, low, mean, high = mean_interval([([0, 100, 200], [0.0, 10.0, 20.0]), ([50, 150], [5.0, 15.0])])
    assert list(steps) == [50, 100, 150]
    assert list(mean) == [5.0, 10.0, 15.0]
    assert list(low) == list(high) == list(mean)


def test_runs_without_a_common_step():
    with pytest.raises(rewards.RewardsError, match="one begins at 500 when another ended"):
        mean_interval([([0, 100], [0, 1]), ([500], [2])])


def test_all_scalars_of_a_training():
    training = curve([1.0, 2.0], episode_length=[10.0, 20.0], policy_loss=[0.1, 0.2], value_loss=[1.0, 0.5])
    figure = rewards.plot_training(training)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "mean cumulative reward",
        "episode length, steps",
        "policy loss",
        "value loss",
    ]


def test_a_brain_has_one_colour_in_all_panels():
    first = curve([1.0, 2.0], brain="A", value_loss=[1.0, 2.0], q1_loss=float("nan"))
    second = curve([3.0, 4.0], brain="B", value_loss=float("nan"), q1_loss=[5.0, 6.0])
    figure = rewards.plot_training(pd.concat([first, second]))
    drawn = {
        axes.get_ylabel(): {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.lines}
        for axes in figure.axes
    }
    both = drawn["mean cumulative reward"]
    assert list(both) == ["A", "B"] and both["A"] != both["B"]
    assert drawn["value loss"] == {"A": both["A"]}
    assert drawn["q1 loss"] == {"B": both["B"]}
    assert legend(figure) == ["A", "B"]


def test_every_scalar_has_a_panel_known_ones_first():
    training = curve(
        [1.0, 2.0], lesson=[0, 1], curiosity_forward_loss=[0.1, 0.2], entropy=[1.0, 0.5], q1_loss=float("nan")
    )
    figure = rewards.plot_training(training)
    names = ["mean cumulative reward", "entropy, nats", "lesson", "curiosity forward loss"]
    assert [axes.get_ylabel() for axes in figure.axes] == names
    assert legend(figure) == ["B", "new lesson"]


EMPTY = rewards.read_log([])
NAN = float("nan")


@pytest.mark.parametrize(
    ("curves", "note"),
    [
        ({"one": EMPTY, "two": curve([1.0])}, ["two", "one: no summary yet"]),
        ({"one": curve([NAN]), "two": curve([1.0])}, ["two", "one: no episode has ended"]),
        (
            {"job": pd.concat([curve([1.0]), curve([NAN], brain="Idle")])},
            ["job, B", "job, Idle: no episode has ended"],
        ),
    ],
)
def test_curves_without_data_are_named(curves, note):
    assert legend(rewards.plot(curves)) == note


@pytest.mark.parametrize("draw", [rewards.plot, lambda curves: rewards.plot_seeds({"job": list(curves.values())})])
@pytest.mark.parametrize("curves", [{"job": curve([NAN, NAN])}, {"job": curve([NAN]), "other": curve([NAN])}])
def test_a_picture_without_ended_episodes_says_why_it_is_empty(curves, draw):
    figure = draw(curves)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [
        "No episode has ended, so there is no mean reward: train longer, or make episodes shorter."
    ]
    assert len(axes.lines) == 0 and axes.get_ylabel() == "mean cumulative reward"
    assert legend(figure) == (
        ["job: no episode has ended"]
        if draw is not rewards.plot
        else [f"{name}: no episode has ended" for name in curves]
    )


def test_the_figure_says_why_the_reward_panel_is_missing():
    figure = rewards.plot_training(curve([NAN, NAN], value_loss=[2.0, 1.0]))
    assert [axes.get_ylabel() for axes in figure.axes] == ["value loss"]
    assert legend(figure) == [
        "B",
        "No episode has ended, so there is no mean reward: train longer, or make episodes shorter.",
    ]


ODD = ["$x", "a $b$ c", r"\$", "_hidden", "<img src=x onerror=alert(1)>", "é\x1b[31m", "$\\frac{1$", "%s {0} #1 ^_ ~"]


@pytest.mark.parametrize("name", ODD)
def test_labels_are_shown_literally(name, tmp_path):
    two = pd.concat([curve([1.0, 2.0], brain=name), curve([3.0, 4.0], brain="B"), curve([NAN], brain=name + "2")])
    shown = name.replace("\x1b", r"\x1b").replace("$", r"\$")
    figure = rewards.plot({name: two})
    assert sorted(legend(figure)) == sorted(
        [f"{shown}, {shown}", f"{shown}, B", f"{shown}, {shown}2: no episode has ended"]
    )
    for number, one in enumerate((figure, rewards.plot({name: two[:2]}), rewards.plot_training(two))):
        one.savefig(tmp_path / f"{number}.svg")  # as notebook 5 does: a formula that can't be read would raise here
        assert ElementTree.parse(tmp_path / f"{number}.svg").find(".//{*}script") is None


def test_a_seed_without_data_is_counted():
    figure = rewards.plot_seeds({"s": [curve([1.0, 2.0]), EMPTY, curve([3.0, 4.0])], "t": [curve([NAN])], "u": []})
    assert legend(figure) == [
        "s, mean of 2 runs",
        "s: 1 of 3 runs left out, no episode has ended",
        "t: no episode has ended",
        "u: no runs",
    ]


def test_a_long_legend_is_beside_the_axes():
    figure = rewards.plot({f"mlagents-2026112610175{number}": curve([1.0, 2.0]) for number in range(8)}, smooth=20)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert len(legend(figure)) == 9  # what is thin is told once
    (beside,) = figure.legends
    assert axes.get_tightbbox().x1 <= beside.get_window_extent().x0
    assert beside.get_window_extent().x1 <= figure.bbox.x1
    assert axes.get_window_extent().width > 700
    kinds = {line.get_linestyle() for line in axes.lines if line.get_linewidth() == 1.8}
    assert len(kinds) > 1


def test_a_short_legend_is_above_the_axes():
    figure = rewards.plot({"job": curve([1.0, 2.0], std_reward=[0.5, 0.5])})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_the_first_lines_are_distinct_in_grey():
    figure = rewards.plot({str(number): curve([1.0, 2.0]) for number in range(5)})
    drawn = [line._unscaled_dash_pattern for line in figure.axes[0].lines]
    assert len(set(map(str, drawn))) == 5


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ({"job": EMPTY}, {}, "found none: the first one comes after summary_freq steps"),
        ({}, {}, "found none"),
        ({"job": curve([1.0])}, {"y": "speed"}, "Expected a column speed, found brain, "),
        ({"job": curve([1.0])}, {"x": "hours"}, "x to be one of step, time, cost, found x='hours'"),
        ({"job": curve([1.0])}, {"x": "cost"}, 'usd_per_hour with x="cost"'),
        ({"job": curve([1.0])}, {"smooth": 0}, "1 or more, found 0"),
        (
            {"job": curve([1.0])},
            {"smooth": 2.5},
            "Expected smooth to be a whole number of summaries, 1 or more, found 2.5",
        ),
        (
            {
                "one": pd.concat([curve([1.0], brain="A"), curve([1.0], brain="Shared")]),
                "two": pd.concat([curve([1.0], brain="C"), curve([1.0], brain="Shared")]),
            },
            {},
            r"different brains \(one: A, Shared; two: C, Shared\)",
        ),
        (
            {"one": curve([1.0], brain="3DBall"), "two": curve([1.0], brain="Walker")},
            {},
            r"different brains \(one: 3DBall; two: Walker\)",
        ),
    ],
)
def test_misleading_pictures_are_refused(curves, options, message):
    with pytest.raises(rewards.RewardsError, match=message):
        rewards.plot(curves, **options)


def test_seeds_of_different_environments():
    with pytest.raises(rewards.RewardsError, match="different brains"):
        rewards.plot_seeds({"s": [curve([1.0], brain="A"), curve([1.0], brain="B")]})


@pytest.mark.parametrize("groups", [{}, {"s": []}, {"s": [EMPTY]}])
def test_seeds_without_a_summary(groups):
    with pytest.raises(rewards.RewardsError, match="Expected summaries to plot, found none"):
        rewards.plot_seeds(groups)


def test_a_training_without_summaries():
    with pytest.raises(rewards.RewardsError, match="Expected summaries to plot, found none"):
        rewards.plot_training(EMPTY)
