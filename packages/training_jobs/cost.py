"""The cost of a training job before it is launched: at most, and likely.

SageMaker bills an instance by the second while a job runs. On ``"aws"`` the price is asked of the AWS Price List
(https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html); elsewhere, or where that is
refused, it comes from `TABLE`. Either way source and date are shown.
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
"""Where the Price List answers, for all regions (also in eu-central-1 and ap-south-1)."""
PAGE = "https://aws.amazon.com/sagemaker/pricing/"
SPOT_SAVES = 0.9
"""The most that spot saves (https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html)."""
STOP_SECONDS = 120
"""How long a job that reaches its maximum has to save its model."""

GPU = re.compile(r"ml\.[gp]\d")
NO_CUDA = (
    "You would pay for a GPU that idles: the image's TensorFlow, 1.15.5 from PyPI, is built without CUDA. The networks "
    "of ML-Agents are small, and players need cores: take an instance without a GPU."
)


class CostError(ValueError):
    """A cost cannot be worked out: the time, steps or speed are not above zero, or a type is unknown."""


@dataclass(frozen=True)
class Price:
    """What an instance costs in a training job, on demand.

    Attributes
    ----------
    instance_type : str
        Such as ``"ml.c5.xlarge"``.
    region : str
    usd_per_hour : float
    source : str
        Where the number comes from.
    date : str
        The day for which the source gave it, as ``YYYY-MM-DD``.
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
"""Prices for where AWS is not asked, in US dollars an hour.

Not read from AWS by this project: taken from public documents that quote AWS's price file with its date
(https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/us-east-1/index.json). Types for which
no dated quotation was found are left out.
"""


@dataclass(frozen=True)
class Estimate(Tabular):
    """What a job will cost.

    Attributes
    ----------
    instance_type : str
    spot : bool
        Whether the job is to run on spot instances.
    price : Price or None
        None where no price is known.
    why : str
        Why the price is not AWS's own of today, or is missing; else empty.
    max_seconds : float
        The job's maximum runtime.
    likely_seconds : float or None
        How long the steps take at the measured speed, the maximum at most; None without a speed.
    """

    instance_type: str
    spot: bool
    price: Price | None
    why: str
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
        """The table: what, how long, on demand, on spot."""
        rows = [("at most", self.max_seconds, self.at_most)]
        if self.likely_seconds is not None:
            rows.append(("likely", self.likely_seconds, self.likely))
        return tuple((what, f"{seconds / 60:.1f} min", _dollars(usd), _spot(usd)) for what, seconds, usd in rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """Source and date of the price, and what the numbers leave out."""
        gpu = (NO_CUDA,) if GPU.match(self.instance_type) else ()
        if self.price is None:
            return (f"{self.why} See {PAGE}", *gpu)
        price = self.price
        source = f"{price.instance_type} in {price.region}: {price.usd_per_hour:.3f} USD an hour. "
        source += f"Source: {price.source}, {price.date}."
        left_out = (
            f"Spot saves up to {SPOT_SAVES:.0%}, how much is known afterwards. Disk, S3 and ECR come to less than a "
            f"cent an hour. A job that reaches its maximum has up to {STOP_SECONDS / 60:.0f} minutes more to save."
        )
        return (f"{source} {self.why}".strip(), left_out, *gpu)

    @property
    def header(self) -> tuple[str, ...]:
        """The table's heading, with the chosen way to pay marked."""
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
    """Estimate what a job will cost at most and, where its speed is known, likely.

    Parameters
    ----------
    connection : Connection
    instance_type : str
    max_minutes : float
        The job's maximum runtime.
    steps : int, optional
        Of the training, as in ``max_steps``.
    steps_per_second : float, optional
        How fast it goes: of an earlier job, its last step over its seconds. A smoke start's speed is an upper bound,
        for there the trainer learns nothing.
    spot : bool
        Whether it is to run on spot instances.

    Raises
    ------
    CostError
        If time, speed or steps are not numbers above zero.
    """
    for name, value in (("max_minutes", max_minutes), ("steps", steps), ("steps_per_second", steps_per_second)):
        if value is not None and not (isinstance(value, Real) and value > 0):
            raise CostError(f"Expected {name} to be a number above 0, found {value!r}.")
    price, why = find_price(connection, instance_type)
    seconds = None
    if steps is not None and steps_per_second is not None:
        seconds = min(steps / steps_per_second, 60 * max_minutes)
    return Estimate(instance_type, spot, price, why, 60 * max_minutes, seconds)


def find_price(connection: Connection, instance_type: str) -> tuple[Price | None, str]:
    """Find the price of an instance in a training job.

    Returns
    -------
    price : Price or None
        None if neither AWS nor the table has one.
    why : str
        Why it is not AWS's own of today; empty if it is.
    """
    why = "The embedded AWS costs nothing; this is what AWS would ask."
    if connection.target == "aws":
        try:
            found = ask_aws(connection, instance_type)
        except (BotoCoreError, ClientError) as error:
            why = f"The AWS Price List could not be asked: {error}."
        else:
            if found:
                return found, ""
            why = f"The AWS Price List has no {instance_type} for training in {connection.region}."
    price = next((price for price in TABLE if price.instance_type == instance_type), None)
    if price is None:
        return None, f"{why} The table of this project has no price of {instance_type}."
    if price.region != connection.region:
        why = f"{why} Prices in {connection.region} differ from it."
    return price, why


def ask_aws(connection: Connection, instance_type: str) -> Price | None:
    """Ask the AWS Price List for the price of an instance in a training job.

    The usage type names what is billed: ``USE1-Train:ml.m5.large``, with another abbreviation for each region. Type and
    region are filtered there, the usage type is compared here, for ``-TrainWarmPool:`` and others look alike.

    Raises
    ------
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If the Price List does not answer.
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
    wanted = re.compile(rf"(?:[A-Z0-9]+-)?Train:{re.escape(instance_type)}")
    found = [
        (usd, entry.get("publicationDate", "")[:10], entry["product"]["attributes"]["usagetype"])
        for page in pages
        for entry in map(json.loads, page["PriceList"])
        if wanted.fullmatch(entry["product"]["attributes"].get("usagetype", ""))
        for usd in hourly_prices(entry)
    ]
    if not found:
        return None
    usd, date, usage_type = max(found)  # a free tier's zero stands beside the price
    return Price(instance_type, connection.region, usd, f"AWS Price List, usage type {usage_type}", date)


def hourly_prices(entry: Mapping[str, Any]) -> Iterator[float]:
    """Yield the hourly prices on demand of a Price List entry, in US dollars."""
    for term in entry.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"].lower() in ("hrs", "hours", "hour") and "USD" in dimension["pricePerUnit"]:
                yield float(dimension["pricePerUnit"]["USD"])
