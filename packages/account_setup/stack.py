"""The stack: the change set that makes or changes it, what happens to it, and what a failure means in a sentence."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from account_check import policies
from account_setup.settings import Settings, SetUpError
from account_setup.template import NO_BUDGETS, TEMPLATE, read
from common.aws_session import PROJECT_TAG, Connection, code, default_bucket, explain_silence, find_embedded
from common.bar import make as make_bar
from training_image.name import PROJECT, REPOSITORY

STACK = "mlagents"
BUILD_LOG = f"/aws/codebuild/{PROJECT}"
FIXED = "Its name is fixed: delete it if nobody uses it, then run this again, or"
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
NOTHING = re.compile(r"didn't contain changes|No updates are to be performed")
DENIED = re.compile(r"not authorized to perform:? (?:the action )?`?([a-z0-9-]+:[A-Za-z]+)")
WHO = re.compile(r"arn:[a-z-]+:(?:iam|sts)::([0-9]{12}):(?:user|assumed-role)/[\w+=,.@/-]+", re.ASCII)
TAKEN = re.compile(r"already exists|BucketAlreadyExists|BucketAlreadyOwnedByYou|EntityAlreadyExists", re.IGNORECASE)
POLL_SECONDS = 2.0
ABSENT = (
    "NoSuchEntity",
    "RepositoryNotFoundException",
    "NotFound",
    "NotFoundException",
    "ResourceNotFoundException",
)
"""How IAM, ECR, SNS, Budgets and EventBridge say that there is none."""


@dataclass(frozen=True)
class ChangeSet:
    """What executing a change set would do.

    Attributes
    ----------
    name : str
        Its ARN.
    stack : str
    table : pandas.DataFrame
        A row for each resource: ``action`` (Add, Modify, Remove), ``resource`` (its name in the template), ``type``,
        ``replacement`` (whether a Modify makes it anew). Empty if nothing would change.
    """

    name: str
    stack: str
    table: pd.DataFrame

    @property
    def empty(self) -> bool:
        """Whether the account is as the template wants it already."""
        return self.table.empty

    def __str__(self) -> str:
        if self.empty:
            return f"Nothing to change: the stack {self.stack} is as the template and your settings want it."
        counts = self.table["action"].value_counts()
        return f"{self.stack}: " + ", ".join(f"{count} to {action.lower()}" for action, count in counts.items())


def make_request(session: boto3.Session, settings: Settings, stack: str = STACK) -> dict[str, Any]:
    """Return the arguments of ``create_change_set`` for what is there now.

    Bucket, repository and role that are there already and that no stack owns stay as they are.

    Parameters
    ----------
    session : boto3.Session
        With the credentials of somebody who may make roles and policies.
    settings : Settings
    stack : str
        Name of the stack.

    Raises
    ------
    SetUpError
        If a name is invalid or taken, a resource belongs to another stack, or the stack cannot be changed now.
    """
    cloudformation = session.client("cloudformation")
    with explained(cloudformation):
        identity = session.client("sts").get_caller_identity()
    account, region = identity["Account"], session.region_name
    bucket = settings.bucket or default_bucket(region, account)
    with explained(Connection("aws", session, account, region, bucket, settings.role)):
        user = settings.user or identity["Arn"].replace(f":sts::{account}:user/", f":iam::{account}:user/")
        if user.endswith(":root"):
            raise SetUpError(
                f"Expected the ARN of a user or a role that is to use the notebooks, found {user}, the root user of "
                "the account. AWS advises to use it for nothing but its own settings: name another with user=."
            )
        try:
            names = policies.Names(account, region, bucket, settings.role, user, settings.kms_key, settings.vpc)
        except policies.PolicyError as error:
            raise SetUpError(str(error)) from error
        if settings.budget_usd and policies.partition(region) in NO_BUDGETS:
            raise SetUpError(
                f"Expected budget_usd = 0, for {region} has no AWS Budgets, found {settings.budget_usd}. Budgets of "
                "the standard account that pays for this one count it."
            )
        kind = _choose_type(cloudformation, stack)
        there = {
            "Bucket": _has_bucket(session, bucket),
            "Repository": _has(session.client("ecr").describe_repositories, repositoryNames=[REPOSITORY]),
            "Role": _has(session.client("iam").get_role, RoleName=settings.role),
        }
        ids = {
            "Bucket": (bucket, "Choose another with bucket=, or"),
            "Repository": (REPOSITORY, "Its name is fixed:"),
            "Role": (settings.role, "Choose another with role= (new_role in lesson 0), or"),
        }
        make = {name: not found or _is_ours(cloudformation, *ids[name], stack) for name, found in there.items()}
        if settings.keep_days and not make["Bucket"]:
            raise SetUpError(
                f"Expected the stack to make the bucket whose objects are deleted after keep_days, found {bucket} "
                "there already, which stays as it is. Set keep_days = 0, or choose another name with bucket=."
            )
        policy = f"arn:{policies.partition(region)}:iam::{account}:policy/{settings.policy}"
        found = _has(session.client("iam").get_policy, PolicyArn=policy)
        if found and not _is_ours(cloudformation, policy, "Its name is fixed:", stack):
            _explain_policy(found["Policy"], there["Role"]["Role"] if there["Role"] else {})
        own = set(_list_resources(cloudformation, stack)["resource"]) if kind == "UPDATE" else ()
        for name, what, found_id, remedy in _list_fixed(session, names, settings):
            if name not in own and not _is_ours(cloudformation, found_id, "Its name is fixed:", stack):
                raise SetUpError(f"Expected no {what} {found_id}, found one that no stack owns. {FIXED} {remedy}.")
    parameters = {
        "BucketName": bucket,
        "RoleName": settings.role,
        "PolicyName": settings.policy,
        "UserArn": names.principal,
        "UserIsRole": ":role/" in names.principal,
        "KeyArn": settings.kms_key,
        "Vpc": settings.vpc,
        "KeepDays": settings.keep_days,
        "Mail": settings.mail,
        "BudgetUsd": settings.budget_usd,
        "BudgetMail": (settings.budget_mail or settings.mail) if settings.budget_usd else "",
        **{f"Make{name}": wanted for name, wanted in make.items()},
    }
    return {
        "StackName": stack,
        "ChangeSetName": f"{stack}-{time.strftime('%Y%m%d-%H%M%S')}",
        "ChangeSetType": kind,
        "TemplateBody": read(policies.partition(region)),
        "Parameters": [{"ParameterKey": name, "ParameterValue": _text(value)} for name, value in parameters.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [PROJECT_TAG],
    }


def _explain_policy(policy: dict[str, Any], role: dict[str, Any]) -> NoReturn:
    """Raise `SetUpError` about a policy that is there already, perhaps of this project's stack in another region."""
    tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", ())}
    described = f"\n      Description: {policy.get('Description')}\n" in TEMPLATE.read_text()
    if not described and tags.get(PROJECT_TAG["Key"]) != PROJECT_TAG["Value"]:
        raise SetUpError(
            f"Expected no policy {policy['PolicyName']}, found one that no stack owns. {FIXED} use another account."
        )
    owner = tags.get("aws:cloudformation:stack-id", "")
    region = f" ({owner.split(':')[3]})" if owner else ""
    raise SetUpError(
        f"Expected no policy {policy['PolicyName']}, found that of this project's stack in another region{region}. "
        "IAM's names count in all regions, so an account can be set up in one region at a time. Train in that region, "
        'or delete its stack first: run the last lesson with that region and delete = ["stack"].'
    )


def _list_fixed(
    session: boto3.Session, names: policies.Names, settings: Settings
) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is there of what has a fixed name: its name in the template, what it is, its ID, what else to do."""
    elsewhere = "work in another region"
    build_role = f"mlagents-image-build-{names.region}"
    if _has(session.client("iam").get_role, RoleName=build_role):
        yield "BuildRole", "role", build_role, elsewhere
    if session.client("codebuild").batch_get_projects(names=[PROJECT])["projects"]:
        yield "BuildProject", "CodeBuild project", PROJECT, elsewhere
    groups = session.client("logs").describe_log_groups(logGroupNamePrefix=BUILD_LOG)["logGroups"]
    if BUILD_LOG in [group["logGroupName"] for group in groups]:
        yield "BuildLog", "log group", BUILD_LOG, elsewhere
    if settings.mail:
        topic = f"arn:{policies.partition(names.region)}:sns:{names.region}:{names.account}:mlagents-job-ended"
        if _has(session.client("sns").get_topic_attributes, TopicArn=topic):
            yield "JobEnded", "topic", topic, 'set mail = ""'
        for name, rule in (("JobEndedRule", "mlagents-job-ended"), ("TuningEndedRule", "mlagents-tuning-ended")):
            if _has(session.client("events").describe_rule, Name=rule):
                yield name, "rule", rule, 'set mail = ""'
    if settings.budget_usd:
        budget = {"AccountId": names.account, "BudgetName": "mlagents"}
        if _has(session.client("budgets").describe_budget, **budget):
            yield "Budget", "budget", "mlagents", "set budget_usd = 0"


def _text(value: object) -> str:
    """Return a parameter's value as CloudFormation takes it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _choose_type(cloudformation: Any, stack: str) -> str:
    """Return CREATE or UPDATE. Raises `SetUpError` if neither is possible."""
    found = find_stack(cloudformation, stack)
    if is_foreign(found):
        raise SetUpError(
            f"Expected the stack {stack} to be this project's, found one without the tag {PROJECT_TAG['Key']} = "
            f"{PROJECT_TAG['Value']}: it is somebody else's. Work in another region, or have its owner delete it."
        )
    status = found["StackStatus"] if found else "REVIEW_IN_PROGRESS"
    if status == "REVIEW_IN_PROGRESS":  # a change set that was never executed
        return "CREATE"
    if status in UPDATABLE:
        return "UPDATE"
    if _is_moving(status):
        raise SetUpError(f"Expected the stack {stack} at rest, found it {status}. Wait until that has ended.")
    left = _list_resources(cloudformation, stack)
    raise SetUpError(
        f"Expected the stack {stack} to be one that can be changed, found it {status}: AWS changes no stack whose "
        f"making failed. {_tell_left(left)} {_advise_deletion(cloudformation, stack)}"
    )


def _advise_deletion(cloudformation: Any, stack: str) -> str:
    """Return how to delete a stack from the lessons; the last one works on a copy of the embedded AWS."""
    if stack == STACK and not find_embedded(cloudformation):
        return 'Delete it with the last lesson, delete = ["stack"] and sure = True, then run this again.'
    name = "" if stack == STACK else f', "{stack}"'
    return f'Delete it with account_setup.delete_stack(session.client("cloudformation"){name}), then run this again.'


def find_stack(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    """Return what DescribeStacks says of a stack; None if there is none."""
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def is_foreign(stack: dict[str, Any] | None) -> bool:
    """Return whether a stack, as DescribeStacks has it, lacks the project's tag.

    One under review has nothing in it, and may have no tags before its change set is executed.
    """
    return bool(stack) and stack["StackStatus"] != "REVIEW_IN_PROGRESS" and PROJECT_TAG not in stack.get("Tags", ())


def _has_bucket(session: boto3.Session, bucket: str) -> bool:
    account = session.client("sts").get_caller_identity()["Account"]
    try:
        found = session.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return False
        if code(error) in ("403", "AccessDenied"):
            raise SetUpError(
                f"Expected the bucket {bucket} to be free or yours, found that S3 refuses it. All accounts share the "
                "names of buckets, and somebody else has this one, or you may not look at it (s3:ListBucket). Choose "
                "another with bucket=."
            ) from error
        raise
    region = found.get("BucketRegion", session.region_name)
    if region != session.region_name:
        raise SetUpError(
            f"Expected the bucket {bucket} to be in {session.region_name}, found it in {region}. A training job reads "
            "from its own region alone: choose another with bucket=."
        )
    return True


def _has(look: Callable[..., Any], **names: Any) -> dict[str, Any] | None:
    """Return what a call says of a resource; None if there is none."""
    try:
        return look(**names)
    except ClientError as error:
        if code(error) in ABSENT:
            return None
        raise


def _is_ours(cloudformation: Any, resource: str, advice: str, stack: str) -> bool:
    """Return whether a resource is of this stack, and not of none. Raises `SetUpError` if it is of another."""
    try:
        found = cloudformation.describe_stack_resources(PhysicalResourceId=resource)["StackResources"]
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    owner = next((each["StackName"] for each in found if each["PhysicalResourceId"] == resource), "")
    if owner and owner != stack:
        raise SetUpError(
            f"Expected {resource} to belong to the stack {stack} or to none, found that the stack {owner} owns it. "
            f"{advice} delete the stack {owner} first if nobody uses it, or work in another region."
        )
    return bool(owner)


def wait_for_change_set(cloudformation: Any, name: str, poll_seconds: float = POLL_SECONDS) -> ChangeSet:
    """Wait until CloudFormation has worked out a change set, and return it.

    A change set that would change nothing is deleted, and comes back empty.

    Parameters
    ----------
    cloudformation
        boto3's client.
    name : str
        ARN of the change set.
    poll_seconds : float

    Raises
    ------
    SetUpError
        If CloudFormation refuses the template or the settings.
    """
    with explained(cloudformation):
        while (found := cloudformation.describe_change_set(ChangeSetName=name))["Status"] in (
            "CREATE_PENDING",
            "CREATE_IN_PROGRESS",
        ):
            time.sleep(poll_seconds)
        reason = found.get("StatusReason", "")
        if found["Status"] == "FAILED" and NOTHING.search(reason):
            cloudformation.delete_change_set(ChangeSetName=name)
            pages = []
        elif found["Status"] == "FAILED":
            raise SetUpError(
                f"Expected a change set, found that CloudFormation refuses it: {explain_reason(cloudformation, reason)}"
            )
        else:
            pages = list(cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=name))
    rows = [each["ResourceChange"] for page in pages for each in page["Changes"]]
    table = pd.DataFrame(
        {
            "action": [row["Action"] for row in rows],
            "resource": [row["LogicalResourceId"] for row in rows],
            "type": [row["ResourceType"] for row in rows],
            "replacement": [row.get("Replacement", "") for row in rows],
        }
    )
    return ChangeSet(name, found["StackName"], table)


def follow(cloudformation: Any, stack: str = STACK, poll_seconds: float = POLL_SECONDS) -> pd.DataFrame:
    """Follow a stack until it is at rest, with a bar that counts resources, and return them.

    There are none where its first change set has not been executed.

    Returns
    -------
    pandas.DataFrame
        ``resource``, ``type``, ``name`` and ``status`` of each.

    Raises
    ------
    SetUpError
        If it failed: why, in a sentence, and what is left.
    """
    with explained(cloudformation):
        with contextlib.closing(make_bar(desc=f"stack {stack}", unit="resource")) as bar:
            while (found := find_stack(cloudformation, stack)) and _is_moving(found["StackStatus"]):
                resources = _list_resources(cloudformation, stack)
                bar.total = len(resources)
                bar.update(int((resources["status"].str.endswith("_COMPLETE")).sum()) - bar.n)
                time.sleep(poll_seconds)
            resources = _list_resources(cloudformation, stack)
            bar.total = len(resources)
            bar.update(int((resources["status"].str.endswith("_COMPLETE")).sum()) - bar.n)
        if found is None:
            raise SetUpError(f"Expected the stack {stack}, found none.")
        status = found["StackStatus"]
        if status == "UPDATE_ROLLBACK_COMPLETE":
            raise SetUpError(
                f"Expected the stack {stack} to be changed, found it as it was before ({status}): "
                f"{_find_failure(cloudformation, found)} It works as before. Correct that, then run this again."
            )
        if "ROLLBACK" in status or "FAILED" in status:
            raise SetUpError(
                f"Expected the stack {stack} to be made, found it {status}: {_find_failure(cloudformation, found)} "
                f"{_tell_left(resources)} {_advise_deletion(cloudformation, stack)}"
            )
    return resources


def _is_moving(status: str) -> bool:
    """Return whether something is being done to a stack; one under review waits for its change set to be executed."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def delete_stack(cloudformation: Any, stack: str = STACK, poll_seconds: float = POLL_SECONDS) -> None:
    """Delete a stack and what is in it; done already where there is none.

    Raises
    ------
    SetUpError
        If a resource could not be deleted: why, and what is left. Running this again goes on.
    """
    with explained(cloudformation):
        if (found := find_stack(cloudformation, stack)) is None:
            return
        if not found["StackStatus"].endswith("DELETE_IN_PROGRESS"):
            cloudformation.delete_stack(StackName=stack)
        name = found["StackId"]
        while (found := find_stack(cloudformation, name)) and found["StackStatus"] not in (
            "DELETE_COMPLETE",
            "DELETE_FAILED",
        ):
            time.sleep(poll_seconds)
        if found and found["StackStatus"] == "DELETE_FAILED":
            raise SetUpError(
                f"Expected the stack {stack} to be deleted, found it DELETE_FAILED: "
                f"{_find_failure(cloudformation, found)} {_tell_left(_list_resources(cloudformation, stack))} "
                "Run this again once that is fixed: it goes on."
            )


def _list_resources(cloudformation: Any, stack: str) -> pd.DataFrame:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    rows = [each for page in pages for each in page["StackResourceSummaries"]]
    return pd.DataFrame(
        {
            "resource": [row["LogicalResourceId"] for row in rows],
            "type": [row["ResourceType"] for row in rows],
            "name": [row.get("PhysicalResourceId", "") for row in rows],
            "status": [row["ResourceStatus"] for row in rows],
        },
        dtype=object,
    )


def _find_failure(cloudformation: Any, stack: dict[str, Any]) -> str:
    """Return why the last operation on a stack failed, as the first event of a failure says."""
    why = stack.get("StackStatusReason", "")
    given = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", ())}
    role = given.get("RoleName", "")
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    for page in pages:
        for event in page["StackEvents"]:  # newest first
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                why = f"{event['LogicalResourceId']}: {explain_reason(cloudformation, reason, role)}"
            if (
                event.get("PhysicalResourceId") == stack["StackId"]
                and event.get("ResourceStatusReason") == "User Initiated"
            ):
                return why or "CloudFormation says no reason."
    return why or "CloudFormation says no reason."


def _tell_left(resources: pd.DataFrame) -> str:
    left = resources[~resources["status"].isin(["DELETE_COMPLETE", "CREATE_FAILED"]) & (resources["name"] != "")]
    if left.empty:
        return "Nothing that it made is left."
    names = ", ".join(left["type"] + " " + left["name"])
    return f"Of what it made is left: {names}."


def explain_reason(place: Any, reason: str, role: str = "", policy: str = "setup") -> str:
    """Return CloudFormation's reason in one sentence that says what to do. Takes what `explained` does."""
    short = " ".join(reason.split()).rstrip(".")
    if DENIED.search(reason):
        return f"{_explain_refusal(place, reason, role, policy)} ({short})."
    if "bucket" in reason.lower() and TAKEN.search(reason):
        return f"The bucket's name is taken, perhaps by somebody else: choose another with bucket= ({short})."
    if TAKEN.search(reason):
        return (
            "Something of that name is there already: delete it if nobody uses it; bucket= and role= (new_role in "
            f"lesson 0) choose other names ({short})."
        )
    if re.search(r"Email address|Invalid parameter: Endpoint|email", reason):
        return f"The address is invalid: correct mail= or budget_mail= ({short})."
    return f"{short}."


def _explain_refusal(place: Any, reason: str, role: str, policy: str) -> str:
    """Return which permission is missing, which of the project's policies has it, and what prints that policy."""
    found = DENIED.search(reason)
    action = found[1] if found else ""
    if "explicit deny" in reason:
        return f"A policy denies {action or 'this'} explicitly, which no permission overrides: ask its administrator"
    if action and action not in _list_actions(policy):
        policy = next((name for name in ("setup", "user") if action in _list_actions(name)), "")
    if not policy:
        return f"You lack the permission {action}"
    known = isinstance(place, Connection)
    who = WHO.search(reason)
    account = (known and place.account) or (who[1] if who else "ACCOUNT")
    region = place.region if known else place.meta.region_name
    role = role or (place.role.rpartition("/")[2] if known else "") or Settings.role
    command = f".venv/bin/python -m account_check.policies {policy} --account {account} --region {region} --role {role}"
    if known and place.bucket not in ("", default_bucket(region, account)):
        command += f" --bucket {place.bucket}"
    if who and policy == "user":
        command += f" --user {who[0]}"
    lacking = f"the permission {action}, which the policy `{policy}` has" if action else "a permission"
    return f"You lack {lacking}; `{command}` prints all that it takes"


@functools.cache
def _list_actions(policy: str) -> set[str]:
    """Return the actions that one of the project's policies allows."""
    statements = json.loads((policies.FOLDER / f"{policy}.json").read_text())["Statement"]
    return {action for statement in statements for action in policies.listed(statement["Action"])}


def explain(place: Any, error: Exception, role: str = "", policy: str = "setup") -> str:
    """Return what an error of botocore's means in one sentence. Takes what `explained` does."""
    client = place.session.client("sts") if isinstance(place, Connection) else place
    if why := explain_silence(client, error):
        return why
    text = str(error)
    if isinstance(error, ClientError) and (
        DENIED.search(text) or code(error) in ("AccessDenied", "AccessDeniedException")
    ):
        short = " ".join(text.split()).rstrip(".")
        wanted = f"Expected to be allowed to call {error.operation_name}, found that AWS refuses."
        return f"{wanted} {_explain_refusal(place, text, role, policy)} ({short})."
    return f"AWS refuses: {explain_reason(place, text, role, policy)}"


@contextlib.contextmanager
def explained(place: Any, role: str = "", policy: str = "setup") -> Iterator[None]:
    """Turn botocore's errors into a `SetUpError` of one sentence.

    Parameters
    ----------
    place : Connection or boto3 client
        What makes the calls; a connection knows more of the account.
    role : str
        Name of the role that jobs run as; empty for that of the connection, else the default.
    policy : str
        Of `account_check.policies`: the one that whoever makes these calls needs.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SetUpError(explain(place, error, role, policy)) from error
