"""Least-privilege policies: for the reader of the notebooks, for two roles, and for the set-up.

`user.json`, `execution-role.json`, `build-role.json` and `setup.json` contain placeholders. A job runs as the execution
role, and CodeBuild builds the image as the build role. `setup` is for whoever makes and deletes the stack of
`account_setup`: the right to make roles and policies is equivalent to full access, so the reader's policy does not
include it. `fill` replaces the placeholders, and so does the command::

    python -m account_check.policies user --account 123456789012 --region us-east-1 --role mlagents-training

Its output can be pasted into the IAM console, or made a policy with ``aws iam create-policy`` and attached (the user's
is too long for an inline policy of a user, which may have 2,048 characters). A test compares the user's policy with
the calls that the helpers really make. The role's follows AWS's list of what CreateTrainingJob needs; its parts for
VPCs and KMS keys are printed with ``--vpc`` and ``--kms-key``
(https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createtrainingjob-perms).

ARNs of buckets name no account, so what is allowed there is bound to the account by ``aws:ResourceAccount``. All other
ARNs name it.
"""

import argparse
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

import botocore.session
from botocore.exceptions import BotoCoreError

from common.aws_session import KEY_ARN, default_bucket

FOLDER = Path(__file__).parent
NAMES = ("user", "execution-role", "build-role", "setup")
# What IAM and S3 take for a name. None of it means anything in a policy or in JSON, as *, ?, $ and quotes would.
_NAME = r"[\w+=,.@-]{1,64}"
_PATH = rf"(?:[\w+=,.@-]+/)*{_NAME}"
ROLE = re.compile(_PATH, re.ASCII)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
SESSION = re.compile(rf"arn:[a-z-]+:sts::(\d{{12}}):assumed-role/({_NAME})/{_NAME}", re.ASCII)
PRINCIPAL = re.compile(rf"arn:[a-z-]+:iam::(\d{{12}}):(?:user|role)/{_PATH}", re.ASCII)
SSO = "AWSReservedSSO_"  # how the names of roles of IAM Identity Center begin


class PolicyError(ValueError):
    """A name that is not valid in a policy."""


@dataclass(frozen=True)
class Names:
    """The values of the placeholders.

    Attributes
    ----------
    account : str
        The account's 12 digits.
    region : str
    bucket : str
    role : str
        Name of the execution role, with its path if it has one.
    user : str
        ARN of who uses the notebooks, and may then look at their own permissions: a user, a role, or a role's session.
        Not needed for the execution role's policy.
    key : str
        ARN of the KMS key to encrypt with; empty for none.
    vpc : bool
        Whether jobs run in a VPC.

    Raises
    ------
    PolicyError
        If a name is invalid, with all that is wrong.
    """

    account: str
    region: str
    bucket: str
    role: str
    user: str = ""
    key: str = ""
    vpc: bool = False

    def __post_init__(self):
        user = SESSION.fullmatch(self.user) or PRINCIPAL.fullmatch(self.user)
        checks = (
            (re.fullmatch(r"[0-9]{12}", self.account), "the account to be 12 digits", self.account),
            (partition(self.region), "a region such as us-east-1", self.region),
            (
                BUCKET.fullmatch(self.bucket),
                "a bucket's name: 3 to 63 of a-z, 0-9, dots, dashes",
                self.bucket,
            ),
            (ROLE.fullmatch(self.role), "a role's name, without what its ARN has before it", self.role),
            (
                not self.user or (user and user[1] == self.account),
                "the ARN of a user, a role, or a role's session, of this account",
                self.user,
            ),
            (not self.key or KEY_ARN.fullmatch(self.key), "the ARN of a KMS key (of the key, not its alias)", self.key),
        )
        if problems := [f"Expected {expected}, found {found!r}." for valid, expected, found in checks if not valid]:
            raise PolicyError("\n".join(problems))

    @property
    def principal(self) -> str:
        """The user's ARN in IAM: of a session, its role's."""
        if not (session := SESSION.fullmatch(self.user)):
            return self.user
        # A session's ARN does not say its role's path. That of IAM Identity Center's roles differs by region alone.
        path = "aws-reserved/sso.amazonaws.com/*" if session[2].startswith(SSO) else ""
        return f"arn:{partition(self.region)}:iam::{self.account}:role/{path}{session[2]}"

    def fill(self, name: Literal["user", "execution-role", "build-role", "setup"]) -> dict[str, Any]:
        """Return a policy with its placeholders replaced, without the statements that these names do not need.

        Raises
        ------
        KeyError
            If the file contains an unknown placeholder.
        """
        values = {
            "PARTITION": partition(self.region),
            "ACCOUNT": self.account,
            "REGION": self.region,
            "BUCKET": self.bucket,
            "ROLE": self.role,
            "USER": self.principal,
            "KEY": self.key,
        }
        policy = json.loads(Template((FOLDER / f"{name}.json").read_text()).substitute(values))
        optional = {
            "Key": self.key,
            "KeyOfBucket": self.key,
            "Network": self.vpc,
            "LookAtOwnRole": ":role/" in self.principal,
        }
        policy["Statement"] = [each for each in policy["Statement"] if optional.get(each["Sid"], True)]
        return policy


@functools.cache  # botocore reads its list of regions anew for each session
def partition(region: str) -> str:
    """Return the partition of a region, such as ``"aws-cn"``; empty if the region is invalid."""
    try:
        return botocore.session.get_session().get_partition_for_region(region)
    except BotoCoreError:
        return ""


def listed(value: str | list[str]) -> list[str]:
    """Return a policy's value as a list; it may be a single string."""
    return [value] if isinstance(value, str) else value


def listed_statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a policy's statements as a list; IAM also accepts a single statement."""
    statements = policy.get("Statement", [])
    return [statements] if isinstance(statements, dict) else statements


def main(argv: list[str] | None = None) -> None:
    """Print one of the policies for an account."""
    parser = argparse.ArgumentParser(prog="python -m account_check.policies", description=main.__doc__)
    parser.add_argument("policy", choices=NAMES)
    parser.add_argument("--account", required=True, help="the account's 12 digits")
    parser.add_argument("--region", required=True, help="such as us-east-1")
    parser.add_argument("--role", required=True, help="name of the execution role")
    parser.add_argument("--bucket", default="", help="default: mlagents-<region>-<account>")
    parser.add_argument("--user", default="", help="ARN of who uses the notebooks; default: user/mlagents")
    parser.add_argument("--kms-key", default="", help="ARN of the KMS key that is encrypted with")
    parser.add_argument("--vpc", action="store_true", help="jobs run in a VPC")
    arguments = parser.parse_args(argv)
    try:
        names = Names(
            account=arguments.account,
            region=arguments.region,
            bucket=arguments.bucket or default_bucket(arguments.region, arguments.account),
            role=arguments.role,
            user=arguments.user or f"arn:{partition(arguments.region) or 'aws'}:iam::{arguments.account}:user/mlagents",
            key=arguments.kms_key,
            vpc=arguments.vpc,
        )
    except PolicyError as error:
        parser.error(str(error))
    print(json.dumps(names.fill(arguments.policy), indent=2))


if __name__ == "__main__":
    main()
