"""Checks of the credentials, the region, and this machine's clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from account_check.checked_account import QUICK, code, header
from common.findings import Finding

# Signatures are refused when the request is older than this
# (https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html); S3 grants 15 minutes.
MAX_SKEW = 300.0
MUCH_SKEW = 60.0

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")


def find_identity(session: Any, region: str) -> tuple[dict[str, str], list[Finding]]:
    """Return the identity of the credentials.

    Returns
    -------
    identity : dict
        With ``Account`` and ``Arn``; empty if it is unknown.
    findings : list of Finding
        About the credentials and the clock.
    """
    name = "credentials"
    how = "Run `aws configure` (access keys) or `aws sso login`, or set AWS_PROFILE to a profile that has them."
    try:
        if session.get_credentials() is None:
            return {}, [Finding("error", "There are none.", how, name)]
        # Any region will do; this one always exists.
        response = session.client("sts", region_name=region or "us-east-1", config=QUICK).get_caller_identity()
    except ClientError as error:
        if code(error) in _EXPIRED:
            finding = Finding(
                "error", "They have expired.", "Get new ones: `aws sso login`, or as you got these.", name
            )
        else:
            finding = Finding("error", f"AWS does not accept them: {error}.", how, name)
        return {}, [finding, *compare_clocks(error.response)]
    except BotoCoreError as error:
        todo = f"Check the network and a proxy. {how}"
        return {}, [Finding("error", f"AWS could not be reached to identify them: {error}.", todo, name)]
    arn = response["Arn"]
    if arn.endswith(":root"):
        todo = "Make a user or role of your own with packages/account_check/user.json; never work as root."
        finding = Finding("warning", f"They are the root user's of account {response['Account']}.", todo, name)
    else:
        finding = Finding("ok", arn, "", name)
    return {"Account": response["Account"], "Arn": arn}, [finding, *compare_clocks(response)]


def compare_clocks(response: dict[str, Any]) -> Iterator[Finding]:
    """Compare this machine's clock with the time in a response of AWS."""
    if not (date := header(response, "date")):
        return
    skew = (datetime.now(timezone.utc) - parsedate_to_datetime(date)).total_seconds()
    if abs(skew) < MUCH_SKEW:
        yield Finding("ok", "Agrees with AWS's.", "", "clock")
        return
    text = f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's."
    todo = f"Set it (switch time synchronisation on): AWS refuses requests that are off by {MAX_SKEW / 60:.0f} minutes."
    yield Finding("error" if abs(skew) >= MAX_SKEW else "warning", text, todo, "clock")


def check_region(session: Any, region: str) -> Iterator[Finding]:
    """Check that a region is chosen and has SageMaker."""
    if not region:
        todo = "Run `aws configure set region us-east-1` (or the one nearest to you), or pass region=."
        yield Finding("error", "None is chosen.", todo, "region")
        return
    partition = session.get_partition_for_region(region)
    known = session.get_available_regions("sagemaker", partition_name=partition)
    if region in known:
        yield Finding("ok", region, "", "region")
    else:
        todo = f"Is the name right? Known: {', '.join(known)}."
        yield Finding("warning", f"{region} is not among the regions known to have SageMaker.", todo, "region")
