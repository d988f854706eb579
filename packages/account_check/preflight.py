"""Check an AWS account for everything that a training job needs, and say what is missing and how to get it.

One table covers credentials, region, clock, bucket, role, permissions, registry, quotas, Docker and disk. All checks
run, whatever the others find. Nothing is changed, and no permission is needed beyond those in `user.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from account_check.account import check_region, find_identity
from account_check.bucket import check_bucket
from account_check.checked_account import CheckedAccount, unanswered
from account_check.machine import check_disk, check_image
from account_check.policies import PolicyError
from account_check.quota import check_quota
from account_check.rights import check_user, find_role
from common import aws_session
from common.findings import CheckError, Finding, Report, ordered
from training_image.name import CONTAINER


class PreflightError(CheckError):
    """The account or this machine lacks something; the text says what and how to get it."""


@dataclass(frozen=True)
class PreflightReport(Report):
    """The result of a check of an account: a row for each item, missing ones first.

    Parameters
    ----------
    account
        Its 12 digits; empty if they are unknown.
    region
        Empty if none is chosen.
    """

    error_type: ClassVar[type[CheckError]] = PreflightError
    ready: ClassVar[str] = "The account is ready to train."

    account: str
    region: str


def check(
    target: str | aws_session.Connection = "aws",
    *,
    role: str = "",
    bucket: str = "",
    region: str = "",
    instance_type: str = "ml.c5.xlarge",
    spot: bool = False,
    keep_alive: bool = False,
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    kms_key: str = "",
    container: str | Path = CONTAINER,
    session: boto3.Session | None = None,
) -> PreflightReport:
    """Check everything that a training job needs, and change nothing.

    Parameters
    ----------
    target
        ``"aws"``, or a connection, whose names are used.
    role, bucket, region, subnets, security_groups, kms_key
        As for `helpers.aws.connect`.
    instance_type
        The job's instance type, whose quota is checked.
    spot
        Whether the job runs on spot instances, which have their own quota.
    keep_alive
        Whether its machine stays in a warm pool, which has another quota.
    container
        Folder of the image.
    session
        For ``"aws"``; default: one with the reader's own credentials.

    Raises
    ------
    ConnectError
        If the target is neither of the two, the settings for AWS can't be used, or a name of a VPC or key is invalid.
        Nothing else is raised: the report says what is missing.
    """
    subnets, security_groups, kms_key = aws_session.choose_place(subnets, security_groups, kms_key)
    if isinstance(target, aws_session.Connection):
        subnets, kms_key = subnets or target.subnets, kms_key or target.kms_key
        target, session, role, bucket = target.target, target.session, target.role, target.bucket
    elif target != "aws":
        raise aws_session.ConnectError(f'Expected target to be "embedded" or "aws", found {target!r}.')
    elif session is None:
        session = aws_session.open_session(region)
    region = region or session.region_name or ""

    identity, findings = find_identity(session, region)
    findings += check_region(session, region)
    account = identity.get("Account", "")
    place = None
    if account and region:
        bucket = bucket or aws_session.default_bucket(region, account)
        place = CheckedAccount(target, session, account, identity["Arn"], region, bucket, role, kms_key, bool(subnets))
        findings += _run(place, "bucket", check_bucket)
        arn, found = find_role(place)
        place, findings = replace(place, role=arn), findings + found
        findings += _run(place, "your rights", check_user)
        findings += _run(place, "quota", lambda place: check_quota(place, instance_type, spot, keep_alive))
    else:
        todo = "They can be once there are credentials and a region."
        findings.append(Finding("note", "Bucket, role, rights, registry and quotas were not checked.", todo, "AWS"))
    findings += check_image(place, Path(container))
    findings += check_disk()
    where = "the embedded AWS" if target == "embedded" else f"AWS account {account or '?'}, {region or 'no region'}"
    return PreflightReport(f"Preflight of {where}", ordered(findings), account, region)


def _run(place: CheckedAccount, name: str, check: Callable[[CheckedAccount], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check, or one that says that it failed."""
    try:
        yield from check(place)
    except (BotoCoreError, ClientError) as error:
        yield unanswered(place, name, error)
    except PolicyError as error:
        yield Finding("error", str(error), "Correct the name.", name)
