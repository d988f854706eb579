"""The CloudFormation template, `stack.yaml`, and the policies in it, which are those of `account_check.policies`."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from account_check import policies

TEMPLATE = Path(__file__).with_name("stack.yaml")
NO_BUDGETS = ("aws-us-gov",)
"""Partitions that know no budgets: CloudFormation refuses the whole template there for the name alone."""
PLACEHOLDERS = {
    "PARTITION": "AWS::Partition",
    "ACCOUNT": "AWS::AccountId",
    "REGION": "AWS::Region",
    "BUCKET": "BucketName",
    "ROLE": "RoleName",
    "USER": "UserArn",
    "KEY": "KeyArn",
}
"""Placeholder of a policy -> what CloudFormation puts in its place: a pseudo parameter, or one of the template's."""
CONDITIONS = {"Key": "HasKey", "KeyOfBucket": "HasKey", "Network": "HasVpc", "LookAtOwnRole": "IsRole"}
"""Statement -> condition of the template under which the policy has it."""


class _Sub(str):
    """Text in which CloudFormation replaces placeholders."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Sub, lambda dumper, text: dumper.represent_scalar("!Sub", str(text), style='"'))


def read(partition: str = "aws") -> str:
    """Return the template as CloudFormation takes it in a partition."""
    text = TEMPLATE.read_text()
    if partition in NO_BUDGETS:
        text = re.sub(r"^  # budget\n.*?^  # end of budget\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return text


def make_policy(name: str) -> dict[str, Any]:
    """Return a policy of `account_check.policies` as CloudFormation takes it."""
    document = _replace(json.loads((policies.FOLDER / f"{name}.json").read_text()))
    document["Statement"] = [
        {"Fn::If": [CONDITIONS[each["Sid"]], each, {"Ref": "AWS::NoValue"}]} if each["Sid"] in CONDITIONS else each
        for each in document["Statement"]
    ]
    return document


def _replace(value: Any) -> Any:
    """Replace the placeholders in the strings of a policy."""
    if isinstance(value, dict):
        return {key: _replace(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_replace(each) for each in value]
    if isinstance(value, str) and "${" in value:
        return _Sub(re.sub(r"\$\{(\w+)\}", lambda found: f"${{{PLACEHOLDERS[found[1]]}}}", value))
    return value


def insert_policies(text: str) -> str:
    """Return a template with the policies between its marks, ``# <name of the policy>`` and ``# end``."""

    def write(found: re.Match[str]) -> str:
        indent, name = found[1], found[2]
        document = yaml.dump(make_policy(name), Dumper=_Dumper, sort_keys=False, width=110)
        return f"{indent}# {name}\n{textwrap.indent(document, indent)}{indent}# end\n"

    marks = "|".join(policies.NAMES)
    return re.sub(rf"^( *)# ({marks})\n(?:.*\n)*?\1# end\n", write, text, flags=re.MULTILINE)
