"""Checks of the execution role, and of its and the reader's permissions with IAM's policy simulator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from account_check import policies
from account_check.checked_account import POLICY, CheckedAccount, code, unanswered
from common.findings import Finding

SAGEMAKER = "sagemaker.amazonaws.com"

AREAS = {
    "your rights, S3": ("Bucket", "MakeBucket", "KeyOfBucket", "Objects", "Results"),
    "your rights, key": ("Key",),
    "your rights, ECR": ("RegistryLogin", "Registry"),
    "your rights, CodeBuild": ("ImageBuilds", "ImageBuildLog"),
    "your rights, SageMaker": ("TrainingJobs", "TrainingJobList", "ExecutionRole"),
    "your rights, tuning": ("TuningJobs", "TuningJobList"),
    "your rights, log": ("Log",),
    "your rights, deleting": (
        *("DeleteObjects", "DeleteBucket", "DeleteRepository", "DeleteJobs", "DeleteLog", "LookAtStack"),
    ),
    "your rights, looking": ("LookAtRole", "LookAtOwnRole", "LookAtOwnRights", "LookAtQuotasAndPrices"),
}
# Rights that training does not need, and why they are checked.
NOT_FOR_TRAINING = {
    "your rights, deleting": "The last lesson needs them, training does not.",
    "your rights, CodeBuild": "Building the image without Docker needs them, training does not.",
    "your rights, tuning": "Tuning jobs need them, training does not.",
    "your rights, looking": "This table and the prices need them, training does not.",
}

# Needed only to create resources, which may already exist.
ONCE = {
    "ecr:BatchDeleteImage",
    "s3:CreateBucket",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutEncryptionConfiguration",
    "ecr:CreateRepository",
    "ecr:DescribeRepositories",
    "ecr:GetLifecyclePolicy",
    "ecr:PutLifecyclePolicy",
    "ecr:TagResource",
}


def find_role(place: CheckedAccount) -> tuple[str, list[Finding]]:
    """Check that the role exists, trusts SageMaker, and has the permissions of a job.

    Returns
    -------
    arn : str
        The role's; its configured name if IAM does not respond.
    findings : list of Finding
    """
    name = "role"
    if not place.role:
        todo = (
            "Lesson 0 (notebooks/00_set_up_your_account.ipynb) makes one with the permissions that jobs need. Pass its "
            "name as role=."
        )
        return "", [Finding("error", "None was given. A job runs as a role that you name.", todo, name)]
    iam = place.client("iam")
    try:
        role = iam.get_role(RoleName=place.role_name)["Role"]
    except (BotoCoreError, ClientError) as error:
        return place.role, [_unseen(place, error)]
    try:
        statements = _names(place, role["Arn"]).fill("execution-role")["Statement"]
    except policies.PolicyError as error:
        return role["Arn"], [_trust(role), Finding("error", str(error), "Correct the name.", "role's rights")]
    file = "packages/account_check/execution-role.json"
    return role["Arn"], [_trust(role), _rights(place, iam, role["Arn"], statements, "role's rights", file)]


def _unseen(place: CheckedAccount, error: BotoCoreError | ClientError) -> Finding:
    if isinstance(error, ClientError) and code(error) == "NoSuchEntity":
        todo = "Is the name right, and the account? Lesson 0 (notebooks/00_set_up_your_account.ipynb) makes a role."
        return Finding("error", f"There is no role {place.role_name} in account {place.account}.", todo, "role")
    return unanswered(place, "role", error)


def _trust(role: dict[str, Any]) -> Finding:
    document = role.get("AssumeRolePolicyDocument") or {}
    if isinstance(document, str):
        document = json.loads(unquote(document))
    for statement in policies.listed_statements(document):
        services = statement.get("Principal", {})
        services = services.get("Service", []) if isinstance(services, dict) else []
        actions = policies.listed(statement.get("Action", []))
        assumes = any(fnmatchcase("sts:assumerole", action.lower()) for action in actions)
        if statement.get("Effect") == "Allow" and assumes and SAGEMAKER in policies.listed(services):
            return Finding("ok", f"{role['Arn']} trusts SageMaker.", "", "role")
    todo = (
        f"IAM console, the role, Trust relationships: add {SAGEMAKER} as a trusted service. Without it no job can "
        "run as this role."
    )
    return Finding("error", f"{role['Arn']} does not trust SageMaker.", todo, "role")


def check_user(place: CheckedAccount) -> Iterator[Finding]:
    """Check that the reader has the permissions that the notebooks need."""
    iam = place.client("iam")
    if place.user.endswith(":root"):
        yield Finding("note", "The root user may do everything.", "Work as somebody else.", "your rights")
        return
    todo = f"Compare them with {POLICY} yourself."
    try:
        principal = _principal(place, iam)
    except ClientError as error:
        text = f"Not simulated: the path of your session's role is not known, for IAM refuses GetRole ({code(error)})."
        yield Finding("note", text, todo, "your rights")
        return
    if not principal:
        yield Finding("note", f"IAM can't simulate the rights of {place.user}.", todo, "your rights")
        return
    role = place.role if place.role.startswith("arn:") else f"role/{place.role or 'mlagents-training'}"
    statements = {s["Sid"]: s for s in _names(place, role, principal).fill("user")["Statement"]}
    for area, sids in AREAS.items():
        if needed := [statements[sid] for sid in sids if sid in statements]:
            yield _rights(place, iam, principal, needed, area, POLICY)


def _names(place: CheckedAccount, role: str, user: str = "") -> policies.Names:
    user = user.replace(":sts:", ":iam:")  # the embedded AWS returns an ARN of STS
    own = (place.account, place.region, place.bucket, role.partition("role/")[2], user)
    return policies.Names(*own, key=place.kms_key, vpc=place.vpc)


def _principal(place: CheckedAccount, iam: Any) -> str:
    """Return the ARN that IAM can simulate: that of a user, or of a session's role."""
    if place.target == "embedded" or ":user/" in place.user:
        return place.user
    if ":assumed-role/" in place.user:
        # A role's path is not in its session's ARN.
        return iam.get_role(RoleName=place.user.split("/")[1])["Role"]["Arn"]
    return ""


def _rights(
    place: CheckedAccount, iam: Any, principal: str, statements: Iterable[dict[str, Any]], name: str, file: str
) -> Finding:
    try:
        denied = [action for statement in statements for action in find_denied(iam, principal, statement)]
    except (BotoCoreError, ClientError) as error:
        return unanswered(place, name, error)
    if not denied:
        allowed = "The embedded AWS allows everything." if place.target == "embedded" else "All that is needed."
        return Finding("ok", allowed, "", name)
    listing = ", ".join(sorted(denied))
    text = f"Missing: {listing}."
    todo = (
        f"Attach what {file} holds (`python -m account_check.policies` fills your names in), or ask an administrator."
    )
    if name in NOT_FOR_TRAINING:
        return Finding("warning", text, f"{NOT_FOR_TRAINING[name]} {todo}", name)
    if set(denied) <= ONCE:
        todo = f"Needed only while bucket or repository is not there yet, or has no rules. {todo}"
        return Finding("warning", text, todo, name)
    return Finding("error", text, todo, name)


def find_denied(iam: Any, principal: str, statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement that the simulator denies a principal on every resource.

    Raises
    ------
    botocore.exceptions.ClientError
        If the simulator refuses.
    """
    actions = policies.listed(statement["Action"])
    allowed: set[str] = set()
    context = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": policies.listed(value)}
        for pairs in statement.get("Condition", {}).values()
        for key, value in pairs.items()
    ]
    for resource in policies.listed(statement["Resource"]):
        pages = iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=principal, ActionNames=actions, ResourceArns=[resource], ContextEntries=context
        )
        for page in pages:
            allowed |= {r["EvalActionName"] for r in page["EvaluationResults"] if r["EvalDecision"] == "allowed"}
    return [action for action in actions if action not in allowed]
