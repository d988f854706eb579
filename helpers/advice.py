"""Choose an instance: the cost of a million steps where a job has measured the speed, and notes about the others.

The speed of an instance is only known if a job has run on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.aws_session import Connection
from common.contract import CHOSEN_PLAYERS, DEFAULT_TRAINER, TRAINERS
from common.cores import cores_of
from common.findings import Tabular
from training_jobs import Job, cost
from training_jobs.log import Log

PLAYERS = "1"
"""The container's default of ``num-envs``."""
HERE = "this machine"
MILLION = 1_000_000


@dataclass(frozen=True)
class Speed:
    """The measured speed of a job.

    Attributes
    ----------
    job : str
        Its name.
    machine : str
        An instance type, or `HERE`.
    players : int
    steps_per_second : float
        The job's last step divided by its seconds in Training, including the start of the trainer.
    price : cost.Price or None
        None if it costs nothing or the price is not known.
    """

    job: str
    machine: str
    players: int
    steps_per_second: float
    price: cost.Price | None = None

    @property
    def hours(self) -> float:
        """For a million steps."""
        return MILLION / self.steps_per_second / 3600

    @property
    def usd(self) -> float | None:
        """For a million steps, on demand."""
        return None if self.price is None else self.hours * self.price.usd_per_hour

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        usd = "" if self.usd is None else f"{self.usd:.2f}"
        return self.job, self.machine, f"{self.players}", f"{self.steps_per_second:.1f}", f"{self.hours:.1f}", usd


@dataclass(frozen=True)
class Advice(Tabular):
    """Measured speeds, cheapest first, in steps of one kind, and notes about other instances."""

    speeds: tuple[Speed, ...]
    notes: tuple[str, ...]
    counts: str = TRAINERS[DEFAULT_TRAINER]["counts"]

    @property
    def header(self) -> tuple[str, ...]:
        """The table's heading."""
        return "measured by", "on", "players", f"{self.counts} a second", "hours", "USD"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The table."""
        return tuple(speed.cells for speed in self.speeds)


def compare(connection: Connection, *jobs: Job, agents: int = 0) -> Advice:
    """Compare the cost of a million steps by the jobs that measured it.

    A job on the embedded target measures this machine, one on AWS its instance.

    Parameters
    ----------
    connection : Connection
    *jobs : Job
        That have ended.
    agents : int
        How many agents act in each step of the environment. It converts the steps of jobs with ML-Agents 0.11.0 where
        others count those of all agents.

    Raises
    ------
    cost.CostError
        If a job's ``num-envs`` is not a valid number of players, or jobs count different steps and `agents` is not
        given.
    """
    kinds = {TRAINERS[job.trainer]["counts"] for job in jobs}
    if len(kinds) > 1 and agents < 1:
        raise cost.CostError(
            f"Expected jobs that count the same steps, found {' and '.join(sorted(kinds))}. Say with agents=… how many "
            "agents act in each step of the environment."
        )
    counts = min(kinds, default=TRAINERS[DEFAULT_TRAINER]["counts"])  # agent steps where there are both
    speeds, notes = [], []
    for job in jobs:
        seconds, steps = training_seconds(job), job.metrics.get("step", 0.0)
        if not (seconds > 0 and steps > 0):
            notes.append(f"{job.name} was {job.status} without a summary, so no speed was measured.")
        elif job.goes_on_from.startswith("job "):  # its last step counts those of the earlier job
            notes.append(
                f"{job.name} goes on from {job.goes_on_from}: its own steps are not known, so its speed is not either."
            )
        else:
            here = connection.target == "embedded"
            price = None if here else cost.find_price(connection, job.instance_type)[0]
            machine = HERE if here else job.instance_type
            steps *= 1 if TRAINERS[job.trainer]["counts"] == counts else agents
            speeds.append(Speed(job.name, machine, count_players(connection, job), steps / seconds, price))
    speeds.sort(key=lambda speed: (speed.usd is None, speed.usd, speed.hours))
    return Advice(tuple(speeds), (*notes, *describe_others(connection, speeds, counts)), counts)


def count_players(connection: Connection, job: Job) -> int:
    """Return the number of players of a job; for ``auto``, the chosen number, or 1 if none was chosen yet.

    Raises
    ------
    cost.CostError
        If its ``num-envs`` is not a valid number of players.
    """
    setting = job.hyperparameters.get("num-envs", PLAYERS)
    if setting != "auto":
        try:
            players = int(float(setting))  # as the container reads it
        except (ValueError, OverflowError):
            players = 0
        if players < 1:
            raise cost.CostError(f"Expected num-envs to be auto, or 1 or more, found {setting} in {job.name}.")
        return players
    log = Log(connection, job.name)
    log.read()
    return ([1] + [int(found["players"]) for line in log.lines if (found := CHOSEN_PLAYERS.search(line))])[-1]


def training_seconds(job: Job) -> float:
    """Return how long a job was Training, its download and upload left out; 0 while it still is."""
    phases = [phase for phase in job.phases if phase.name == "Training" and phase.end is not None]
    return sum((phase.end - phase.start).total_seconds() for phase in phases)


def describe_others(connection: Connection, speeds: Sequence[Speed], counts: str) -> Iterable[str]:
    """Yield notes about instances that no job has measured: cores, and the price of an hour."""
    if not speeds:
        return
    yield f"Hours and USD are for a million {counts}, on demand."
    busy = max(speed.players for speed in speeds) + 1
    count = f"{busy - 1} player{'s' * (busy > 2)}"
    yield (
        f"{count} and the trainer keep {busy} cores busy at most, so an instance with more of them trains no faster. "
        "How fast a core of it is only a job tells: a short one there adds its row."
    )
    large_enough = [listed.instance_type for listed in cost.TABLE if (cores_of(listed.instance_type) or 0) >= busy]
    found = [price for name in large_enough if (price := cost.find_price(connection, name)[0])]
    if prices := sorted(found, key=lambda one: one.usd_per_hour):
        per_hour = ", ".join(
            f"{one.usd_per_hour:.3f} USD on {one.instance_type} ({cores_of(one.instance_type)} cores)" for one in prices
        )
        dates = " to ".join(sorted({min(price.date for price in prices), max(price.date for price in prices)}))
        regions = sorted({price.region for price in prices})
        other = "" if regions == [connection.region] else f" Prices in {connection.region} differ."
        yield f"An hour costs {per_hour}, as of {dates} in {', '.join(regions)}.{other}"
