"""The template: cfn-lint finds nothing in it, and its policies are those that `account_check.policies` prints."""

import doctest
import json
from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint, lint_file

import account_setup
from account_check import policies
from account_setup.template import TEMPLATE, insert_policies, read
from sagemaker_local.cloudformation import Template
from training_image import REPOSITORY
from training_image.pushing import LIFECYCLE

NAMES = {
    "aws": policies.Names("123456789012", "eu-west-1", "a-bucket", "a-role", "arn:aws:iam::123456789012:user/me"),
    "aws-cn": policies.Names(
        "123456789012",
        "cn-north-1",
        "a-bucket",
        "a-role",
        "arn:aws-cn:sts::123456789012:assumed-role/AWSReservedSSO_Trainer_0123456789abcdef/me",
        key="arn:aws-cn:kms:cn-north-1:123456789012:key/1234abcd",
    ),
    "aws-us-gov": policies.Names(
        "123456789012", "us-gov-west-1", "a-bucket", "a-role", "arn:aws-us-gov:iam::123456789012:role/me", vpc=True
    ),
}


def resolve(names):
    """Return the resources of the template for an account, with what CloudFormation would put in."""
    given = {
        "BucketName": names.bucket,
        "RoleName": names.role,
        "UserArn": names.principal,
        "UserIsRole": "yes" if ":role/" in names.principal else "no",
        "KeyArn": names.key,
        "Vpc": "yes" if names.vpc else "no",
        "KeepDays": "30",
        "Mail": "me@example.com",
        "BudgetUsd": "20",
        "BudgetMail": "me@example.com",
    }
    template = Template(TEMPLATE.read_text(), given, names.region)
    template.values |= {"AWS::Partition": policies.partition(names.region), "AWS::AccountId": names.account}
    return {name: template.resolve(each["Properties"]) for name, each in template.active_resources().items()}


def test_cfn_lint_finds_nothing():
    assert lint_file(TEMPLATE) == []


@pytest.mark.parametrize("region", ["cn-north-1", "eu-west-1", "us-gov-west-1"])
def test_cloudformation_knows_its_resources_in_each_partition(region):
    text = read(policies.partition(region))
    config = ManualArgs(regions=[region])
    assert [found for found in lint(text, config=config) if found.rule.severity == "error"] == []
    assert ("AWS::Budgets::Budget" in text) == (region != "us-gov-west-1")


def test_the_file_holds_the_policies_as_they_are():
    assert insert_policies(TEMPLATE.read_text()) == TEMPLATE.read_text(), "Run: .venv/bin/python -m account_setup"


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_the_policies_are_those_that_account_check_prints(names):
    found = resolve(names)
    assert found["UserPolicy"]["PolicyDocument"] == names.fill("user")
    assert found["Role"]["Policies"][0]["PolicyDocument"] == names.fill("execution-role")
    assert found["BuildRole"]["Policies"][0]["PolicyDocument"] == names.fill("build-role")


def test_it_makes_the_repository_that_a_push_would_make():
    repository = resolve(NAMES["aws"])["Repository"]
    assert json.loads(repository.pop("LifecyclePolicy")["LifecyclePolicyText"]) == LIFECYCLE
    assert repository == {
        "RepositoryName": REPOSITORY,
        "ImageTagMutability": "IMMUTABLE",
        "ImageScanningConfiguration": {"ScanOnPush": True},
        "Tags": [{"Key": "project", "Value": "mlagents"}],
    }


def test_everything_that_can_have_tags_is_tagged():
    untaggable = {"UserPolicy", "JobEndedPolicy"}
    for name, each in resolve(NAMES["aws"]).items():
        tags = each.get("Tags", each.get("ResourceTags"))
        assert tags == (None if name in untaggable else [{"Key": "project", "Value": "mlagents"}]), name


def test_the_readmes_example_runs():
    readme = Path(account_setup.__file__).with_name("README.md")
    assert doctest.testfile(str(readme), module_relative=False) == (0, 4)
