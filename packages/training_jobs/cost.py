"""The estimated cost of a training job: its maximum, and its likely cost.

SageMaker bills an instance by the second while a job runs. On ``"aws"`` the price is from the AWS Price List
(https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html); elsewhere, or if that fails, it is
from `TABLE`. Its source and date are always shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import Connection
from common.findings import Tabular

PRICING_REGION = "us-east-1"
"""The region of the Price List's endpoint, which has the prices of all regions."""
PAGE = "https://aws.amazon.com/sagemaker/pricing/"
SPOT_SAVES = 0.9
"""The largest share that spot saves (https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html)."""
GRACE_SECONDS = 120
"""Seconds that a job has to save its model after its maximum runtime."""

GPU = re.compile(r"ml\.[gp]\d")
NO_CUDA = (
    "You would pay for an idle GPU: images are built without CUDA, but for that of ML-Agents 1.1.0 with gpu=True. The "
    "networks of ML-Agents are small, and players need cores: use an instance without a GPU."
)


class CostError(ValueError):
    """The cost can't be estimated: time, steps or speed are not positive, or an instance type is unknown."""


@dataclass(frozen=True)
class Price:
    """The on-demand price of an instance in a training job.

    Attributes
    ----------
    instance_type : str
        Such as ``"ml.c5.xlarge"``.
    region : str
    usd_per_hour : float
    source : str
        The source of the price.
    date : str
        The day on which the source listed it, as ``YYYY-MM-DD``.
    """

    instance_type: str
    region: str
    usd_per_hour: float
    source: str
    date: str


_FILE = "AWS's price file AmazonSageMaker, us-east-1, component Training, as quoted publicly"
_SHARE = f"{{}} of ml.c5.4xlarge's (c5 is priced by the core) in {_FILE}"

TABLE = tuple(
    Price(instance_type, "us-east-1", usd_per_hour, source, date)
    for instance_type, usd_per_hour, source, date in (
        ("ml.m5.large", 0.115, "AWS Price List, usage type USE1-Train:ml.m5.large, as quoted publicly", "2026-08-11"),
        ("ml.m5.xlarge", 0.230, _FILE, "2026-09-24"),
        ("ml.m5.4xlarge", 0.922, _FILE, "2026-09-25"),
        ("ml.c5.xlarge", 0.204, _SHARE.format("a quarter"), "2026-09-25"),
        ("ml.c5.2xlarge", 0.408, _SHARE.format("half"), "2026-09-25"),
        ("ml.c5.4xlarge", 0.816, _FILE, "2026-09-25"),
        ("ml.c5.9xlarge", 1.836, _FILE, "2026-09-25"),
        ("ml.g4dn.xlarge", 0.736, _FILE, "2026-09-25"),
    )
)
"""Prices in US dollars an hour, for use without the Price List.

They are from public documents that quote AWS's price file with its date
(https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/us-east-1/index.json). Types without a
dated quotation are left out.
"""


@dataclass(frozen=True)
class Estimate(Tabular):
    """The estimated cost of a job.

    Attributes
    ----------
    instance_type : str
    spot : bool
        Whether the job runs on spot instances.
    price : Price or None
        None if no price is known.
    price_note : str
        Why the price is not AWS's current one, or is missing; else empty.
    max_seconds : float
        The job's maximum runtime.
    likely_seconds : float or None
        The seconds that the steps take at the measured speed, up to the maximum; None without a speed.
    """

    instance_type: str
    spot: bool
    price: Price | None
    price_note: str
    max_seconds: float
    likely_seconds: float | None

    @property
    def at_most(self) -> float | None:
        """US dollars for the maximum runtime, on demand; spot can't cost more."""
        return self._cost(self.max_seconds)

    @property
    def likely(self) -> float | None:
        """US dollars for the likely runtime, on demand."""
        return None if self.likely_seconds is None else self._cost(self.likely_seconds)

    def _cost(self, seconds: float) -> float | None:
        return None if self.price is None else seconds / 3600 * self.price.usd_per_hour

    @property
    def rows(self) -> tuple[tuple[str, str, str, str], ...]:
        """The table's rows: label, time, on-demand cost, spot cost."""
        rows = [("at most", self.max_seconds, self.at_most)]
        if self.likely_seconds is not None:
            rows.append(("likely", self.likely_seconds, self.likely))
        return tuple((label, f"{seconds / 60:.1f} min", _dollars(usd), _spot(usd)) for label, seconds, usd in rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """The source and date of the price, and costs that the numbers leave out."""
        gpu = (NO_CUDA,) if GPU.match(self.instance_type) else ()
        if self.price is None:
            return (f"{self.price_note} See {PAGE}", *gpu)
        price = self.price
        source = f"{price.instance_type} in {price.region}: {price.usd_per_hour:.3f} USD an hour. "
        source += f"Source: {price.source}, {price.date}."
        left_out = (
            f"Spot saves up to {SPOT_SAVES:.0%}; the exact amount is known only afterwards. Disk, S3 and ECR cost less "
            f"than a cent an hour. A job that reaches its maximum has {GRACE_SECONDS / 60:.0f} more minutes to save."
        )
        return (f"{source} {self.price_note}".strip(), left_out, *gpu)

    @property
    def header(self) -> tuple[str, ...]:
        """The table's heading, with the chosen kind of instance marked."""
        chosen = "spot" if self.spot else "on demand"
        return ("", "time", *(f"{kind}{' (chosen)' * (kind == chosen)}" for kind in ("on demand", "spot")))


def _dollars(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.3f} USD"


def _spot(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd * (1 - SPOT_SAVES):.3f} to {usd:.3f} USD"


def estimate(
    connection: Connection,
    *,
    instance_type: str,
    max_minutes: float,
    steps: int | None = None,
    steps_per_second: float | None = None,
    spot: bool = False,
) -> Estimate:
    """Estimate a job's maximum cost and, if its speed is known, its likely cost.

    Parameters
    ----------
    connection : Connection
    instance_type : str
    max_minutes : float
        The job's maximum runtime.
    steps : int, optional
        Steps of the training, as in ``max_steps``: those of the environment, or from ML-Agents 0.14 on of all agents.
    steps_per_second : float, optional
        The speed, in the same steps: an earlier job's last step divided by its seconds. A smoke start's speed is an
        upper bound, because the trainer does not learn there.
    spot : bool
        Whether it runs on spot instances.

    Raises
    ------
    CostError
        If time, speed or steps are not positive numbers.
    """
    for name, value in (("max_minutes", max_minutes), ("steps", steps), ("steps_per_second", steps_per_second)):
        if value is not None and not (isinstance(value, Real) and value > 0):
            raise CostError(f"Expected {name} to be a number above 0, found {value!r}.")
    price, price_note = find_price(connection, instance_type)
    seconds = None
    if steps is not None and steps_per_second is not None:
        seconds = min(steps / steps_per_second, 60 * max_minutes)
    return Estimate(instance_type, spot, price, price_note, 60 * max_minutes, seconds)


def find_price(connection: Connection, instance_type: str) -> tuple[Price | None, str]:
    """Return the price of an instance in a training job.

    Returns
    -------
    price : Price or None
        None if neither AWS nor the table has one.
    note : str
        Why it is not AWS's current price; empty if it is.
    """
    note = "The embedded AWS costs nothing; this is what AWS would charge."
    if connection.target == "aws":
        try:
            found = ask_aws(connection, instance_type)
        except (BotoCoreError, ClientError) as error:
            note = f"The AWS Price List could not be queried: {error}."
        else:
            if found:
                return found, ""
            note = f"The AWS Price List has no {instance_type} for training in {connection.region}."
    price = next((price for price in TABLE if price.instance_type == instance_type), None)
    if price is None:
        return None, f"{note} This project's table has no price for {instance_type}."
    if price.region != connection.region:
        note = f"{note} Prices in {connection.region} differ."
    return price, note


def ask_aws(connection: Connection, instance_type: str) -> Price | None:
    """Return the price of an instance in a training job from the AWS Price List.

    The usage type identifies what is billed, such as ``USE1-Train:ml.m5.large``, with another abbreviation for each
    region. It is compared here, because the Price List's filter also finds ``-TrainWarmPool:`` and others.

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If the request fails.
    """
    quick = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
    client = connection.session.client("pricing", region_name=PRICING_REGION, config=quick)
    filters = [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": connection.region},
        {"Type": "CONTAINS", "Field": "usagetype", "Value": f"Train:{instance_type}"},
    ]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode="AmazonSageMaker", Filters=filters, FormatVersion="aws_v1"
    )
    pattern = re.compile(rf"(?:[A-Z0-9]+-)?Train:{re.escape(instance_type)}")
    found = [
        (usd, entry.get("publicationDate", "")[:10], entry["product"]["attributes"]["usagetype"])
        for page in pages
        for entry in map(json.loads, page["PriceList"])
        if pattern.fullmatch(entry["product"]["attributes"].get("usagetype", ""))
        for usd in hourly_prices(entry)
    ]
    if not found:
        return None
    usd, date, usage_type = max(found)  # the free tier has another entry with 0
    return Price(instance_type, connection.region, usd, f"AWS Price List, usage type {usage_type}", date)


def hourly_prices(entry: Mapping[str, Any]) -> Iterator[float]:
    """Yield the hourly on-demand prices of a Price List entry, in US dollars."""
    for term in entry.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"].lower() in ("hrs", "hours", "hour") and "USD" in dimension["pricePerUnit"]:
                yield float(dimension["pricePerUnit"]["USD"])
