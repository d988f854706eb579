"""Choose an instance: what a million steps cost on each, from the speed of a job that was measured.

One speed was measured, on one machine. What other instances would reach is worked out from their cores alone, and
says so in every row: nothing here knows how fast a core of theirs is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from common.aws_session import Connection
from common.cores import cores_here
from common.findings import Tabular
from training_jobs import Job, cost
from training_jobs.log import Log

CORES = {
    "ml.m5.large": 2,
    "ml.m5.xlarge": 4,
    "ml.c5.xlarge": 4,
    "ml.c5.2xlarge": 8,
    "ml.c5.4xlarge": 16,
    "ml.c5.9xlarge": 36,
    "ml.c5.18xlarge": 72,
    "ml.c5.24xlarge": 96,
    "ml.g4dn.xlarge": 4,
}
"""The types that are compared, with their vCPUs (https://aws.amazon.com/ec2/instance-types/)."""
PLAYERS = "1"
"""What ``num-envs`` is in the container where a job does not set it."""
KEPT = re.compile(r"^train: training with (\d{1,6}) players?: auto")
"""What the container says in the log when it has found out how many are fastest."""
HERE = "this machine"
HEADER = ("instance", "vCPUs", "USD an hour", "steps a second", "hours", "USD", "measured or extrapolated")
MILLION = 1_000_000


@dataclass(frozen=True)
class Option:
    """A machine, and what a million steps take on it.

    Attributes
    ----------
    machine : str
        An instance type, or `HERE`.
    cores : int
        0 where they are not known.
    steps_per_second : float
    how : str
        ``"measured …"`` or ``"extrapolated …"``, and from what.
    price : cost.Price or None
        None where it costs nothing, or no price is known.
    """

    machine: str
    cores: int
    steps_per_second: float
    how: str
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
        price = "" if self.price is None else f"{self.price.usd_per_hour:.3f}"
        usd = "" if self.usd is None else f"{self.usd:.2f}"
        return (
            self.machine,
            f"{self.cores}" if self.cores else "",
            price,
            f"{self.steps_per_second:.1f}",
            f"{self.hours:.1f}",
            usd,
            self.how,
        )


@dataclass(frozen=True)
class Advice(Tabular):
    """The options, the measured one first and then from cheap to dear, and what to know of them."""

    options: tuple[Option, ...]
    notes: tuple[str, ...]
    header = HEADER

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The table."""
        return tuple(option.cells for option in self.options)


def compare(connection: Connection, job: Job, types: str | Sequence[str] = tuple(CORES)) -> Advice:
    """Compare what a million steps of a job's training cost on its own machine and on others.

    The measured speed is the job's last step over the seconds that it was Training, the trainer's start included. A job
    on the embedded target was measured on this machine, one on AWS on its instance.

    Parameters
    ----------
    connection : Connection
    job : Job
        That has ended.
    types : str or sequence of str
        Instance types to compare, out of `CORES`.

    Raises
    ------
    cost.CostError
        If a type is not in `CORES`, or the job's ``num-envs`` is no number of players.
    """
    types = [types] if isinstance(types, str) else list(dict.fromkeys(types))
    if unknown := sorted(set(types) - set(CORES)):
        raise cost.CostError(f"Expected instance types out of {', '.join(CORES)}, found {', '.join(unknown)}.")
    seconds = training_seconds(job)
    steps = job.metrics.get("step", 0.0)
    if not (seconds > 0 and steps > 0):
        return Advice((), (f"{job.name} was {job.status} without a summary, so no speed was measured.",))
    if job.goes_on_from.startswith("job "):  # its last step counts those of the earlier job
        told = f"{job.name} goes on from {job.goes_on_from}: its own steps are not known, so its speed is not either."
        return Advice((), (told,))
    speed = steps / seconds
    embedded = connection.target == "embedded"
    machine = HERE if embedded else job.instance_type
    cores = cores_here() if embedded else CORES.get(machine, 0)
    how = f"measured: step {steps:.0f} after {seconds:.0f} s of {job.name}"
    measured = Option(machine, cores, speed, how, None if embedded else cost.find_price(connection, machine)[0])
    players, why = count_players(connection, job)
    others = []
    for name in types if cores else ():
        if name != machine:
            share, how = scale(cores, CORES[name], players, why)
            others.append(Option(name, CORES[name], speed * share, how, cost.find_price(connection, name)[0]))
    others.sort(key=lambda option: (option.usd is None, option.usd, option.machine))
    return Advice((measured, *others), notes(connection, measured, others))


def count_players(connection: Connection, job: Job) -> tuple[int, str]:
    """Return how many players a job trained with, and a remark where ``auto`` chose them.

    Raises
    ------
    cost.CostError
        If its ``num-envs`` is no number of players.
    """
    told = job.hyperparameters.get("num-envs", PLAYERS)
    if told != "auto":
        try:
            players = int(float(told))  # as the container reads it
        except (ValueError, OverflowError):
            players = 0
        if players < 1:
            raise cost.CostError(f"Expected num-envs to be auto, or 1 or more, found {told} in {job.name}.")
        return players, ""
    log = Log(connection, job.name)
    log.read()
    kept = [int(found[1]) for line in log.lines if (found := KEPT.search(line))]
    return (kept[-1], "auto kept") if kept else (1, "auto had not settled, so this reckons with")


def scale(measured: int, other: int, players: int, why: str = "") -> tuple[float, str]:
    """Work out what share of the measured speed a machine with another number of cores reaches, and say how.

    A training keeps one core busy for the trainer and one for each player at most, and waits for cores that are not
    there.

    Parameters
    ----------
    measured, other : int
        Cores of the machine that was measured, and of the other.
    players : int
        How many trained on the measured machine.
    why : str
        What ``auto`` did to come to that number; empty where the number was asked for.

    Returns
    -------
    share : float
    how : str
    """
    busy = players + 1
    share = min(other, busy) / min(measured, busy)
    count = f"{players} player{'s' * (players > 1)}"
    keeps = f"{count} and the trainer keep {busy} cores busy"
    if why:
        keeps = f"{why} {count}; with the trainer that keeps {busy} cores busy"
        keeps += ", and it may keep more there" if other > measured else ""
    if share == 1:
        return share, f"extrapolated: as fast, for {keeps}"
    return share, f"extrapolated: times {min(other, busy)}/{min(measured, busy)}, for {keeps}"


def training_seconds(job: Job) -> float:
    """Give how long a job was Training, its download and upload left out; 0 while it still is."""
    phases = [phase for phase in job.phases if phase.name == "Training" and phase.end is not None]
    return sum((phase.end - phase.start).total_seconds() for phase in phases)


def notes(connection: Connection, measured: Option, others: Sequence[Option]) -> tuple[str, ...]:
    """Return what the table leaves out."""
    told = [
        "Hours and USD are for a million steps, on demand. Extrapolated rows take every core for as fast as a measured "
        "one, and a GPU for no help. A short job there gives the measured number."
    ]
    if not others and not measured.cores:
        told.append(f"The cores of {measured.machine} are not in this project's table, so nothing is extrapolated.")
    if unknown := [option.machine for option in (measured, *others) if option.machine != HERE and not option.price]:
        told.append(f"No dated price of {', '.join(unknown)} is known here: see {cost.PAGE}.")
    prices = [option.price for option in (measured, *others) if option.price]
    if prices:
        dates = " to ".join(sorted({min(price.date for price in prices), max(price.date for price in prices)}))
        regions = sorted({price.region for price in prices})
        other = "" if regions == [connection.region] else f" Prices in {connection.region} differ."
        told.append(f"Prices of {dates} in {', '.join(regions)}.{other}")
    return tuple(told)
