"""The rights that the road needs, and no more: for the reader's user and for the role that a job runs as.

`user.json` and `execution-role.json` hold placeholders. `fill` puts names in their place, and so does the command::

    python -m helpers.policies user --account 123456789012 --region us-east-1 --role mlagents-training

What it prints can be pasted into the IAM console, or made a policy with ``aws iam create-policy`` and attached (the
user's is too long for an inline policy of a user, which may have 2,048 characters). A test holds the user's policy to
the calls that the helpers really make. The role's follows AWS's list of what CreateTrainingJob takes, without the parts
for VPCs and KMS keys, which these jobs do not have
(https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createtrainingjob-perms).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

FOLDER = Path(__file__).parent
NAMES = ("user", "execution-role")


@dataclass(frozen=True)
class Names:
    """What is put in the placeholders' place.

    Attributes
    ----------
    account : str
        The account's 12 digits.
    region : str
    bucket : str
    role : str
        Name of the execution role, with its path if it has one.
    user : str
        ARN of who uses the notebooks, who may then have their own rights looked at.
    """

    account: str
    region: str
    bucket: str
    role: str
    user: str


def partition(region: str) -> str:
    """Return what a region's ARNs begin with: ``"aws"``, or that of China or of the US government."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def fill(name: Literal["user", "execution-role"], names: Names) -> dict[str, Any]:
    """Return a policy with its placeholders filled.

    Raises
    ------
    KeyError
        If the file holds a placeholder that has no name.
    """
    values = {
        "PARTITION": partition(names.region),
        "ACCOUNT": names.account,
        "REGION": names.region,
        "BUCKET": names.bucket,
        "ROLE": names.role,
        "USER": names.user,
    }
    return json.loads(Template((FOLDER / f"{name}.json").read_text()).substitute(values))


def listed(value: str | list[str]) -> list[str]:
    """Return what a policy writes as one string or as a list as a list."""
    return [value] if isinstance(value, str) else value


def listed_statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a policy's statements as a list; IAM also takes a single one without one."""
    statements = policy.get("Statement", [])
    return [statements] if isinstance(statements, dict) else statements
