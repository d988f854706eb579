"""The cost of a million steps: measured rows, and notes about other instances."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from common import ROOT
from common.aws_session import Connection
from common.cores import cores_of
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


@pytest.fixture
def on_aws(monkeypatch):
    monkeypatch.setattr(
        cost, "ask_aws", lambda connection, name: cost.Price(name, "us-east-1", 0.5, "AWS", "2026-11-01")
    )
    return connection("aws")


def test_this_machine_was_measured():
    (speed,) = advice.compare(connection(), job()).speeds
    assert speed.cells == ("job", "this machine", "1", "30.0", "9.3", "")


def test_measured_instances_are_sorted_by_cost(on_aws):
    jobs = [replace(job(steps), name=f"job-{steps:.0f}") for steps in (3000.0, 4500.0)]
    found = advice.compare(on_aws, *jobs)
    assert [speed.job for speed in found.speeds] == ["job-4500", "job-3000"]
    assert found.speeds[0].cells == ("job-4500", "ml.c5.xlarge", "1", "30.0", "9.3", "4.63")
    assert found.speeds[0].usd == pytest.approx(1e6 / 30 / 3600 * 0.5)


def test_other_instances_have_only_cores_and_prices():
    notes = advice.compare(connection(), job(num_envs="3")).notes
    assert notes == (
        "Hours and USD are for a million environment steps, on demand.",
        "3 players and the trainer keep 4 cores busy at most, so an instance with more of them trains no faster. How fast "
        "a core of it is only a job tells: a short one there adds its row.",
        "An hour costs 0.204 USD on ml.c5.xlarge (4 cores), 0.230 USD on ml.m5.xlarge (4 cores), 0.408 USD on "
        "ml.c5.2xlarge (8 cores), 0.736 USD on ml.g4dn.xlarge (4 cores), 0.816 USD on ml.c5.4xlarge (16 cores), 0.922 USD "
        "on ml.m5.4xlarge (16 cores), 1.836 USD on ml.c5.9xlarge (36 cores), as of 2026-09-24 to 2026-09-25 in us-east-1.",
    )
    assert advice.compare(connection(region="eu-west-1"), job()).notes[-1].endswith(" Prices in eu-west-1 differ.")


def test_jobs_of_two_versions_are_compared_in_agent_steps():
    earlier = replace(job(), image="registry/mlagents-0.11.0:tag")
    later = replace(job(108000.0), name="later", image="registry/mlagents-1.1.0@sha256:77")
    assert advice.compare(connection(), earlier).header[3] == "environment steps a second"
    with pytest.raises(cost.CostError, match="Expected jobs that count the same steps, found agent steps and env"):
        advice.compare(connection(), earlier, later)
    found = advice.compare(connection(), earlier, later, agents=12)
    assert [(speed.job, speed.steps_per_second) for speed in found.speeds] == [("later", 720.0), ("job", 360.0)]
    assert found.header[3] == "agent steps a second"
    assert found.notes[0] == "Hours and USD are for a million agent steps, on demand."


def test_each_listed_type_has_a_dated_price():
    assert all(cores_of(price.instance_type) for price in cost.TABLE)


class Logs:
    """CloudWatch Logs with one stream."""

    def __init__(self, *lines):
        self.lines = lines

    def describe_log_streams(self, **request):
        return {"logStreams": [{"logStreamName": f"{request['logStreamNamePrefix']}algo-1-1"}]}

    def get_log_events(self, **request):
        events = [] if "nextToken" in request else [{"message": line} for line in self.lines]
        return {"events": events, "nextForwardToken": "end"}


@pytest.mark.parametrize(
    ("lines", "players"),
    [
        (["train: training with 3 players: auto, steps a second by players: 1: 90, 2: 150 (…)"], 3),
        (["train: training with 4 players: auto, …", "a crash", "train: training with 1 player: auto, …"], 1),
        (["a player says: train: training with 9 players: auto"], 1),
    ],
)
def test_the_players_of_auto_are_read_from_the_log(monkeypatch, lines, players):
    monkeypatch.setattr(Connection, "client", lambda connection, service: Logs(*lines))
    assert advice.count_players(connection(), job(num_envs="auto")) == players
    assert advice.count_players(connection(), job(num_envs="2.0")) == 2


@pytest.mark.parametrize("setting", ["-1", "0", "abc", "inf", "nan"])
def test_an_invalid_number_of_players(setting):
    with pytest.raises(cost.CostError, match=f"Expected num-envs to be auto, or 1 or more, found {setting} in job."):
        advice.compare(connection(), job(num_envs=setting))


def test_only_phases_of_training_count():
    phases = (
        *(phase("Training", 0, 100), phase("Interrupted", 100, 400), phase("Training", 400, 450)),
        phase("Uploading", 450, 460),
    )
    assert advice.training_seconds(job(phases=phases)) == 150
    assert advice.training_seconds(job(phases=(phase("Training", 0, None),))) == 0


@pytest.mark.parametrize("ended", [job(None), job(0.0), job(phases=(phase("Training", 0, None),))])
def test_a_job_without_a_speed_is_left_out(ended):
    found = advice.compare(connection(), ended)
    assert found.speeds == ()
    assert str(found) == "job was Completed without a summary, so no speed was measured."
    assert found._repr_html_() == f"<div {PLAIN}><p>{found}</p></div>"


def test_a_job_that_continues_another_has_no_speed():
    found = advice.compare(connection(), replace(job(), goes_on_from="job first"))
    assert found.speeds == ()
    assert str(found) == "job goes on from job first: its own steps are not known, so its speed is not either."


def test_the_default_number_of_players_is_the_containers():
    code = "import hyperparameters as h; print(next(o.default for o in h.OPTIONS if o.name == 'num-envs') or 'auto')"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "container", capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == advice.PLAYERS


def test_text_and_html_have_the_same_content():
    found = advice.compare(connection(), job())
    assert str(found).splitlines()[0].split("  ")[0] == "measured by"
    for cell in found.rows[0]:
        assert cell in str(found) and f"<td>{cell}</td>" in found._repr_html_()
    for note in found.notes:
        assert note in str(found) and f"<p>{note}</p>" in found._repr_html_()
