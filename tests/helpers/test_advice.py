"""What a million steps cost: the measured row, what is worked out from it, and where nothing can be."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from common import ROOT
from common.aws_session import Connection
from common.findings import PLAIN
from helpers import advice
from training_jobs import Job, Phase, cost

BEGUN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def phase(name, start, end):
    return Phase(name, BEGUN + timedelta(seconds=start), None if end is None else BEGUN + timedelta(seconds=end))


def job(steps=4500.0, phases=None, instance_type="ml.c5.xlarge", **hyperparameters):
    phases = phases or (phase("Downloading", 0, 10), phase("Training", 10, 160), phase("Uploading", 160, 170))
    values = {name.replace("_", "-"): value for name, value in hyperparameters.items()}
    metrics = {} if steps is None else {"step": steps}
    return Job(
        *("job", "Completed", "Completed", "", "", values, "", "", "", BEGUN, 170, 170, metrics, instance_type),
        phases=phases,
    )


def connection(target="embedded", region="us-east-1"):
    return Connection(target, None, "123456789012", region, "bucket", "role")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(advice, "cores_here", lambda: 2)


@pytest.fixture
def on_aws(monkeypatch):
    monkeypatch.setattr(
        cost, "ask_aws", lambda connection, name: cost.Price(name, "us-east-1", 0.5, "AWS", "2026-11-01")
    )
    return connection("aws")


def test_this_machine_was_measured_and_the_instances_are_extrapolated():
    found = advice.compare(connection(), job())
    first, *others = found.options
    assert (first.machine, first.cores, first.steps_per_second, first.price) == ("this machine", 2, 30.0, None)
    assert first.how == "measured: step 4500 after 150 s of job"
    assert {option.machine for option in others} == set(advice.CORES)
    assert all(option.how.startswith("extrapolated: ") for option in others)


def test_a_million_steps():
    (_, large, *_) = advice.compare(connection(), job()).options
    assert large.machine == "ml.m5.large"
    assert large.hours == pytest.approx(1e6 / 30 / 3600)
    assert large.usd == pytest.approx(1e6 / 30 / 3600 * 0.115)
    assert large.cells[:6] == ("ml.m5.large", "2", "0.115", "30.0", "9.3", "1.06")


def test_from_cheap_to_dear():
    costs = [option.usd for option in advice.compare(connection(), job(num_envs="8")).options[1:]]
    priced = [usd for usd in costs if usd is not None]
    assert costs == [*sorted(priced), None, None]


def test_an_instance_on_aws_was_measured_itself(on_aws):
    first, *others = advice.compare(on_aws, job(instance_type="ml.c5.2xlarge")).options
    assert (first.machine, first.cores, first.steps_per_second) == ("ml.c5.2xlarge", 8, 30.0)
    assert first.usd == pytest.approx(1e6 / 30 / 3600 * 0.5)
    assert first.how.startswith("measured: ")
    assert "ml.c5.2xlarge" not in [option.machine for option in others]


def test_an_instance_whose_cores_are_not_known(on_aws):
    found = advice.compare(on_aws, job(instance_type="ml.p9.xlarge"))
    assert [option.machine for option in found.options] == ["ml.p9.xlarge"]
    assert "The cores of ml.p9.xlarge are not in this project's table, so nothing is extrapolated." in found.notes
    assert found.options[0].cells[1] == ""


@pytest.mark.parametrize(
    ("measured", "other", "players", "share", "how"),
    [
        (2, 16, 1, 1, "as fast, for 1 player and the trainer keep 2 cores busy"),
        (4, 2, 1, 1, "as fast, for 1 player and the trainer keep 2 cores busy"),
        (2, 8, 3, 2, "times 4/2, for 3 players and the trainer keep 4 cores busy"),
        (2, 2, 3, 1, "as fast, for 3 players and the trainer keep 4 cores busy"),
        (16, 4, 7, 0.5, "times 4/8, for 7 players and the trainer keep 8 cores busy"),
        (1, 4, 1, 2, "times 2/1, for 1 player and the trainer keep 2 cores busy"),
    ],
)
def test_what_is_extrapolated_and_how(measured, other, players, share, how):
    assert advice.scale(measured, other, players) == (share, f"extrapolated: {how}")


@pytest.mark.parametrize(
    ("measured", "other", "kept", "share", "how"),
    [
        (
            *(2, 8, 1, 1),
            "as fast, for auto kept 1 player; with the trainer that keeps 2 cores busy, and it may keep more there",
        ),
        (
            *(4, 8, 5, 1.5),
            "times 6/4, for auto kept 5 players; with the trainer that keeps 6 cores busy, and it may keep more there",
        ),
        (16, 4, 7, 0.5, "times 4/8, for auto kept 7 players; with the trainer that keeps 8 cores busy"),
    ],
)
def test_what_auto_kept_is_what_counts(measured, other, kept, share, how):
    assert advice.scale(measured, other, kept, "auto kept") == (share, f"extrapolated: {how}")


class Logs:
    """CloudWatch Logs with one stream."""

    def __init__(self, *lines):
        self.lines = lines

    def describe_log_streams(self, **asked):
        return {"logStreams": [{"logStreamName": f"{asked['logStreamNamePrefix']}algo-1-1"}]}

    def get_log_events(self, **asked):
        events = [] if "nextToken" in asked else [{"message": line} for line in self.lines]
        return {"events": events, "nextForwardToken": "end"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["train: training with 3 players: auto, steps a second by players: 1: 90, 2: 150 (…)"],
            "times 4/2, for auto kept 3 players; with the trainer that keeps 4 cores busy, and it may keep more there",
        ),
        (
            ["train: training with 4 players: auto, …", "a crash", "train: training with 1 player: auto, …"],
            "as fast, for auto kept 1 player; with the trainer that keeps 2 cores busy, and it may keep more there",
        ),
        (
            ["a player says: train: training with 9 players: auto"],
            "as fast, for auto had not settled, so this reckons with 1 player; with the trainer that keeps 2 cores "
            "busy, and it may keep more there",
        ),
    ],
)
def test_what_auto_kept_is_read_from_the_jobs_log(monkeypatch, lines, told):
    monkeypatch.setattr(Connection, "client", lambda connection, service: Logs(*lines))
    *_, how = advice.compare(connection(), job(num_envs="auto"), "ml.c5.2xlarge").options[1].cells
    assert how == f"extrapolated: {told}"
    *_, how = advice.compare(connection(), job(num_envs="1.0"), "ml.c5.2xlarge").options[1].cells
    assert how == "extrapolated: as fast, for 1 player and the trainer keep 2 cores busy"


@pytest.mark.parametrize("given", ["-1", "0", "abc", "inf", "nan"])
def test_a_number_of_players_that_is_none(given):
    with pytest.raises(cost.CostError, match=f"Expected num-envs to be auto, or 1 or more, found {given} in job."):
        advice.compare(connection(), job(num_envs=given))


def test_one_type_and_the_same_twice():
    told = [advice.compare(connection(), job(), types) for types in ("ml.c5.xlarge", ["ml.c5.xlarge"] * 2)]
    assert [[option.machine for option in found.options] for found in told] == [["this machine", "ml.c5.xlarge"]] * 2


def test_only_training_counts_and_an_interruption_between_does_not():
    phases = (
        *(phase("Training", 0, 100), phase("Interrupted", 100, 400), phase("Training", 400, 450)),
        phase("Uploading", 450, 460),
    )
    assert advice.training_seconds(job(phases=phases)) == 150
    assert advice.training_seconds(job(phases=(phase("Training", 0, None),))) == 0


@pytest.mark.parametrize("given", [job(None), job(0.0), job(phases=(phase("Training", 0, None),))])
def test_without_a_speed_nothing_is_advised(given):
    found = advice.compare(connection(), given)
    assert found.options == ()
    assert str(found) == "job was Completed without a summary, so no speed was measured."
    assert found._repr_html_() == f"<div {PLAIN}><p>{found}</p></div>"


def test_a_job_that_goes_on_from_another_measured_nothing():
    found = advice.compare(connection(), replace(job(), goes_on_from="job first"))
    assert found.options == ()
    assert str(found) == "job goes on from job first: its own steps are not known, so its speed is not either."


def test_the_default_number_of_players_is_the_containers():
    code = "import hyperparameters as h; print(next(o.default for o in h.OPTIONS if o.name == 'num-envs') or 'auto')"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "container", capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == advice.PLAYERS


def test_types_that_are_not_known():
    with pytest.raises(cost.CostError, match="Expected instance types out of ml.m5.large, .*, found ml.p9.xlarge"):
        advice.compare(connection(), job(), ["ml.c5.xlarge", "ml.p9.xlarge"])


def test_the_days_of_the_prices():
    assert advice.compare(connection(), job()).notes[-1] == "Prices of 2026-08-11 to 2026-09-25 in us-east-1."


def test_a_type_without_a_dated_price_has_an_empty_cell_and_is_told():
    unknown = {"ml.c5.18xlarge", "ml.c5.24xlarge"}
    assert set(advice.CORES) - {price.instance_type for price in cost.TABLE} == unknown
    found = advice.compare(connection(), job())
    rows = {option.machine: option.cells for option in found.options}
    assert {name for name, cells in rows.items() if cells[2] == cells[5] == ""} == {advice.HERE, *unknown}
    assert [option.machine for option in found.options[-2:]] == sorted(unknown)
    told = (
        "No dated price of ml.c5.18xlarge, ml.c5.24xlarge is known here: see https://aws.amazon.com/sagemaker/pricing/."
    )
    assert told in found.notes


def test_both_forms_say_the_same():
    found = advice.compare(connection(region="eu-west-1"), job(), ["ml.c5.xlarge"])
    lines = str(found).splitlines()
    assert lines[0].split("  ")[0] == "instance"
    assert "as fast, for 1 player and the trainer keep 2 cores busy" in lines[2]
    assert "take every core for as fast as a measured one" in lines[3]
    assert lines[4] == "Prices of 2026-09-25 in us-east-1. Prices in eu-west-1 differ."
    for cell in ("this machine", "ml.c5.xlarge", "0.204", "30.0", "1.89"):
        assert cell in str(found)
        assert f"<td>{cell}</td>" in found._repr_html_()
