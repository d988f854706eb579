"""Setting an account up on the embedded AWS, and what each failure says. What is left is always listed."""

import json
from dataclasses import replace

import boto3
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber

import sagemaker_local as embedded
from account_setup import (
    Settings,
    SetUpError,
    delete,
    delete_stack,
    explained,
    find,
    follow,
    make_request,
    stack,
    wait_for_change_set,
)
from common.aws_session import Connection
from helpers import aws

ACCOUNT = "123456789012"
BUCKET = f"mlagents-us-east-1-{ACCOUNT}"
EMPTY = {
    name: []
    for name in (
        *("buckets", "objects", "uploads", "roles", "policies", "repositories"),
        *("images", "jobs", "topics", "rules", "budgets", "stacks", "projects", "log groups"),
    )
}
WHOLE = Settings(keep_days=30, mail="me@example.com", budget_usd=20)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]}


BUILDING = ("BuildRole", "BuildLog", "BuildProject")


@pytest.fixture
def clean(session, cloudformation, list_account):
    """Delete what a test made."""
    yield
    delete_stack(cloudformation, poll_seconds=0.01)
    assert list_account(session) == EMPTY


def set_up(session, settings, name="mlagents"):
    cloudformation = session.client("cloudformation")
    made = cloudformation.create_change_set(**make_request(session, settings, name))
    changes = wait_for_change_set(cloudformation, made["Id"], 0.01)
    if not changes.empty:
        cloudformation.execute_change_set(ChangeSetName=changes.name)
        follow(cloudformation, name, 0.01)
    return changes


def test_a_stack_is_made_shown_changed_and_deleted(session, cloudformation, clean, list_account):
    changes = set_up(session, Settings())
    assert str(changes) == "mlagents: 7 to add"
    assert changes.table.to_dict("list") == {
        "action": ["Add"] * 7,
        "resource": ["Bucket", "Repository", "Role", *BUILDING, "UserPolicy"],
        "type": [
            *("AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::IAM::Role"),
            *("AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::CodeBuild::Project", "AWS::IAM::ManagedPolicy"),
        ],
        "replacement": [""] * 7,
    }
    again = set_up(session, Settings())
    assert again.empty
    assert str(again) == "Nothing to change: the stack mlagents is as the template and your settings want it."
    more = set_up(session, WHOLE)
    assert list(more.table["action"] + " " + more.table["resource"]) == [
        *(
            "Modify Bucket",
            "Add JobEnded",
            "Add JobEndedPolicy",
            "Add JobEndedRule",
            "Add TuningEndedRule",
            "Add Budget",
        ),
    ]
    rules = session.client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [(rule["ID"], rule["Filter"]["Prefix"], rule.get("Expiration", {}).get("Days")) for rule in rules] == [
        ("abort-unfinished-uploads", "", None),
        ("expire-builds", "unity-volume/", 30),
        ("expire-image-sources", "image-source/", 30),
        ("expire-checkpoints", "checkpoints/", 30),
        ("expire-results", "training/", 30),
    ]
    assert rules[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    less = set_up(session, Settings())
    assert list(less.table["action"]) == ["Modify", *["Remove"] * 5]
    assert list_account(session) == {
        **EMPTY,
        "buckets": [BUCKET],
        "roles": ["mlagents-image-build-us-east-1", "mlagents-training"],
        "projects": ["mlagents-image"],
        "log groups": ["/aws/codebuild/mlagents-image"],
        "policies": ["mlagents-notebooks"],
        "repositories": ["mlagents-0.11.0"],
        "stacks": ["mlagents"],
    }


def test_what_is_made_is_there_after_a_restart(session, clean, list_account):
    set_up(session, WHOLE)
    before = list_account(session)
    embedded.stop()
    embedded.start()
    assert list_account(session) == before
    assert set_up(session, WHOLE).empty


def test_it_works_beside_what_is_there_already(session, clean, list_account):
    connection = aws.connect("embedded")
    changes = set_up(session, Settings())
    assert list(changes.table["resource"]) == ["Repository", *BUILDING, "UserPolicy"]
    assert set_up(session, Settings()).empty
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings(keep_days=3))
    assert str(error.value) == (
        f"Expected the stack to make the bucket whose objects are deleted after keep_days, found {BUCKET} there already, "
        "which stays as it is. Set keep_days = 0, or choose another name with bucket=."
    )
    delete_stack(session.client("cloudformation"), poll_seconds=0.01)
    assert (list_account(session)["buckets"], list_account(session)["roles"]) == ([BUCKET], ["mlagents-training"])
    connection.client("s3").delete_bucket(Bucket=BUCKET)
    connection.client("iam").delete_role(RoleName="mlagents-training")


def test_a_change_set_that_is_not_executed_makes_nothing(session, cloudformation, clean):
    made = cloudformation.create_change_set(**make_request(session, Settings()))
    assert len(wait_for_change_set(cloudformation, made["Id"], 0.01).table) == 7
    assert follow(cloudformation, poll_seconds=0.01).empty
    assert cloudformation.describe_stacks(StackName="mlagents")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert make_request(session, Settings())["ChangeSetType"] == "CREATE"


def test_a_budget_where_there_are_none(monkeypatch):
    session = boto3.Session(region_name="us-gov-west-1")
    sts = session.client("sts")
    monkeypatch.setattr(session, "client", lambda service: sts)
    with Stubber(sts) as stub:
        stub.add_response("get_caller_identity", {"Account": ACCOUNT, "Arn": f"arn:aws-us-gov:iam::{ACCOUNT}:user/me"})
        with pytest.raises(SetUpError) as error:
            make_request(session, WHOLE)
    assert str(error.value) == (
        "Expected budget_usd = 0, for us-gov-west-1 has no AWS Budgets, found 20. Budgets of the standard account that "
        "pays for this one count it."
    )


def test_a_stack_that_fails_leaves_nothing_and_says_why(session, cloudformation, clean):
    made = cloudformation.create_change_set(**make_request(session, Settings()))
    iam = session.client("iam")
    iam.create_role(RoleName="mlagents-training", AssumeRolePolicyDocument=json.dumps(TRUST))
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    with pytest.raises(SetUpError) as error:
        follow(cloudformation, poll_seconds=0.01)
    assert str(error.value) == (
        "Expected the stack mlagents to be made, found it ROLLBACK_COMPLETE: Role: Something of that name is there "
        "already: delete it if nobody uses it; bucket= and role= (new_role in lesson 0) choose other names (An error occurred "
        "(EntityAlreadyExists) when calling the CreateRole operation: Role with name mlagents-training already exists). "
        'Nothing that it made is left. Delete it with account_setup.delete_stack(session.client("cloudformation")), then run '
        "this again."
    )
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings())
    assert str(error.value) == (
        "Expected the stack mlagents to be one that can be changed, found it ROLLBACK_COMPLETE: AWS changes no stack whose "
        "making failed. Nothing that it made is left. Delete it with "
        'account_setup.delete_stack(session.client("cloudformation")), then run this again.'
    )
    assert delete(session, find(session), ["stack"], sure=True, poll_seconds=0.01) == "Deleted 1 stack."
    iam.delete_role(RoleName="mlagents-training")


def test_a_stack_of_somebody_elses_is_not_changed(session, cloudformation, clean):
    request = make_request(session, Settings()) | {"Tags": []}
    cloudformation.execute_change_set(ChangeSetName=cloudformation.create_change_set(**request)["Id"])
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings())
    assert str(error.value) == (
        "Expected the stack mlagents to be this project's, found one without the tag project = mlagents: it is somebody "
        "else's. Work in another region, or have its owner delete it."
    )


def test_a_stack_whose_change_failed_works_as_before(session, cloudformation, clean):
    set_up(session, Settings())
    [found] = cloudformation.describe_stacks(StackName="mlagents")["Stacks"]
    event = {"StackId": found["StackId"], "StackName": "mlagents", "EventId": "1", "Timestamp": found["CreationTime"]}
    event |= {"LogicalResourceId": "Topic", "ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": "No"}
    with Stubber(boto3.client("cloudformation")) as stub:
        stub.add_response("describe_stacks", {"Stacks": [{**found, "StackStatus": "UPDATE_ROLLBACK_COMPLETE"}]})
        stub.add_response("list_stack_resources", {"StackResourceSummaries": []})
        stub.add_response("describe_stack_events", {"StackEvents": [event]})
        with pytest.raises(SetUpError) as error:
            follow(stub.client, poll_seconds=0.01)
    assert str(error.value) == (
        "Expected the stack mlagents to be changed, found it as it was before (UPDATE_ROLLBACK_COMPLETE): Topic: No. It "
        "works as before. Correct that, then run this again."
    )


def test_a_role_of_another_stack(session, cloudformation, clean):
    set_up(session, Settings(bucket="another-bucket", policy="another"), "another")
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings())
    assert str(error.value) == (
        "Expected mlagents-0.11.0 to belong to the stack mlagents or to none, found that the stack another owns it. Its "
        "name is fixed: delete the stack another first if nobody uses it, or work in another region."
    )
    delete_stack(cloudformation, "another", poll_seconds=0.01)


def test_a_policy_that_no_stack_owns(session, clean):
    iam = session.client("iam")
    policy = iam.create_policy(PolicyName="mlagents-notebooks", PolicyDocument=json.dumps(NOTHING))["Policy"]["Arn"]
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings())
    iam.delete_policy(PolicyArn=policy)
    assert str(error.value) == (
        "Expected no policy mlagents-notebooks, found one that no stack owns. Its name is fixed: delete it if nobody uses it, "
        "then run this again, or use another account."
    )


def test_a_stack_in_another_region(session, clean):
    elsewhere = aws.open_embedded(embedded.find(), "eu-west-1")
    set_up(elsewhere, Settings())
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings())
    delete_stack(elsewhere.client("cloudformation"), poll_seconds=0.01)
    assert str(error.value) == (
        "Expected no policy mlagents-notebooks, found that of this project's stack in another region. IAM's names count in "
        "all regions, so an account can be set up in one region at a time. Train in that region, or delete its stack first: "
        'run the last lesson with that region and delete = ["stack"].'
    )


def test_the_owners_region_is_named_where_its_role_says_it():
    tags = [{"Key": "project", "Value": "mlagents"}]
    tags.append(
        {"Key": "aws:cloudformation:stack-id", "Value": f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/mlagents/1"}
    )
    with pytest.raises(SetUpError, match=r"found that of this project's stack in another region \(eu-west-1\)\. IAM's"):
        stack._explain_policy({"PolicyName": "mlagents-notebooks"}, {"Tags": tags})


FIXED = {
    "BuildRole": ("role", "mlagents-image-build-us-east-1", "work in another region"),
    "BuildProject": ("CodeBuild project", "mlagents-image", "work in another region"),
    "BuildLog": ("log group", "/aws/codebuild/mlagents-image", "work in another region"),
    "JobEnded": ("topic", f"arn:aws:sns:us-east-1:{ACCOUNT}:mlagents-job-ended", 'set mail = ""'),
    "JobEndedRule": ("rule", "mlagents-job-ended", 'set mail = ""'),
    "TuningEndedRule": ("rule", "mlagents-tuning-ended", 'set mail = ""'),
    "Budget": ("budget", "mlagents", "set budget_usd = 0"),
}


def test_each_fixed_name_that_is_taken_is_said_beforehand(session, cloudformation, clean, monkeypatch):
    """What a stack has made counts as nobody's where its owner is not found."""
    set_up(session, WHOLE)
    monkeypatch.setattr(
        stack, "_is_ours", lambda cloudformation, resource, advice, stack: "image-build" not in resource
    )
    names = stack.policies.Names(ACCOUNT, "us-east-1", BUCKET, "mlagents-training")
    assert {name: found for name, *found in stack._list_fixed(session, names, WHOLE)} == {
        name: list(found) for name, found in FIXED.items()
    }
    assert make_request(session, WHOLE)["ChangeSetType"] == "UPDATE"  # they are its own
    monkeypatch.setattr(stack, "_choose_type", lambda cloudformation, stack: "CREATE")
    with pytest.raises(SetUpError) as error:
        make_request(session, WHOLE)
    assert str(error.value) == (
        "Expected no role mlagents-image-build-us-east-1, found one that no stack owns. Its name is fixed: delete it if "
        "nobody uses it, then run this again, or work in another region."
    )


def test_a_bucket_that_is_not_empty_stays_and_the_deletion_goes_on(session, cloudformation, clean):
    set_up(session, Settings())
    s3 = session.client("s3")
    s3.put_object(Bucket=BUCKET, Key="mine", Body=b"x")
    with pytest.raises(SetUpError) as error:
        delete_stack(cloudformation, poll_seconds=0.01)
    assert str(error.value) == (
        "Expected the stack mlagents to be deleted, found it DELETE_FAILED: Bucket: An error occurred (BucketNotEmpty) when "
        "calling the DeleteBucket operation: The bucket you tried to delete is not empty. Of what it made is left: "
        f"AWS::S3::Bucket {BUCKET}. Run this again once that is fixed: it goes on."
    )
    s3.delete_object(Bucket=BUCKET, Key="mine")


@pytest.fixture
def answering(session):
    """Return a function that has one call answered with an error of AWS's."""
    events, registered = session.events, []

    def answer(call, code, message, status):
        response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
        events.register(
            f"before-call.{call}", lambda **_: (AWSResponse("", status, {}, None), response), unique_id=call
        )
        registered.append(call)

    yield answer
    for call in registered:
        events.unregister(f"before-call.{call}", unique_id=call)


def test_a_bucket_of_somebody_else(session, answering):
    answering("s3.HeadBucket", "403", "Forbidden", 403)
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings(bucket="taken"))
    assert str(error.value) == (
        "Expected the bucket taken to be free or yours, found that S3 refuses it. All accounts share the names of buckets, "
        "and somebody else has this one, or you may not look at it (s3:ListBucket). Choose another with bucket=."
    )


CALLS = {
    "cloudformation.DescribeStacks": "cloudformation:DescribeStacks",
    "ecr.DescribeRepositories": "ecr:DescribeRepositories",
    "iam.GetRole": "iam:GetRole",
    "iam.GetPolicy": "iam:GetPolicy",
}


PRINTED = f".venv/bin/python -m account_check.policies setup --account {ACCOUNT} --region us-east-1 --role"


@pytest.mark.parametrize("call", CALLS)
def test_without_the_right_for_a_call(session, answering, call):
    message = f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: {CALLS[call]} on resource: x"
    answering(call, "AccessDenied", message, 403)
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings(role="mine"))
    name = call.partition(".")[2]
    assert str(error.value) == (
        f"Expected to be allowed to call {name}, found that AWS refuses. You lack the permission {CALLS[call]}, which the "
        f"policy `setup` has; `{PRINTED} mine` prints all that it takes (An error occurred (AccessDenied) when calling the "
        f"{name} operation: {message})."
    )


HAS = f"which the policy `setup` has; `{PRINTED} mine --bucket b-1` prints all that it takes"
USER_HAS = HAS.replace("setup", "user").replace("b-1`", f"b-1 --user arn:aws:iam::{ACCOUNT}:user/me`")


@pytest.mark.parametrize(
    ("call", "action", "because", "advice"),
    [
        (
            "cloudformation.CreateChangeSet",
            "cloudformation:CreateChangeSet",
            "",
            f"You lack the permission {{}}, {HAS}",
        ),
        (
            "cloudformation.ExecuteChangeSet",
            "cloudformation:ExecuteChangeSet",
            "",
            f"You lack the permission {{}}, {HAS}",
        ),
        (
            "s3.GetBucketLifecycleConfiguration",
            "s3:GetLifecycleConfiguration",
            "",
            f"You lack the permission {{}}, {HAS}",
        ),
        ("sagemaker.Search", "sagemaker:Search", "", f"You lack the permission {{}}, {USER_HAS}"),
        ("sagemaker.Search", "kms:Decrypt", "", f"You lack the permission {{}}, {USER_HAS}"),
        ("sagemaker.Search", "glue:GetTable", "", "You lack the permission {}"),
        (
            "cloudformation.CreateChangeSet",
            "cloudformation:CreateChangeSet",
            " with an explicit deny in a service control policy",
            "A policy denies {} explicitly, which no permission overrides: ask its administrator",
        ),
    ],
)
def test_a_refused_call_of_a_notebook_is_one_sentence(session, answering, call, action, because, advice):
    service, _, name = call.partition(".")
    message = f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: {action} on resource: x{because}"
    answering(call, "AccessDenied", message, 403)
    connection = Connection("aws", session, ACCOUNT, "us-east-1", "b-1", "")
    arguments = {
        "CreateChangeSet": {"StackName": "mlagents", "ChangeSetName": "c"},
        "ExecuteChangeSet": {"ChangeSetName": f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:changeSet/c/1"},
        "GetBucketLifecycleConfiguration": {"Bucket": "b-1"},
        "Search": {"Resource": "TrainingJob"},
    }[name]
    client = session.client(service)
    with pytest.raises(SetUpError) as error, explained(connection, "mine"):
        getattr(client, xform_name(name))(**arguments)
    assert str(error.value) == (
        f"Expected to be allowed to call {name}, found that AWS refuses. {advice.format(action)} (An error occurred (AccessDenied) when "
        f"calling the {name} operation: {message})."
    )


REASONS = {
    f"API: iam:CreateRole User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: iam:CreateRole on "
    "resource: x": (
        f"You lack the permission iam:CreateRole, which the policy `setup` has; `{PRINTED} of-jobs` prints all that it "
        "takes"
    ),
    "mine already exists (Service: S3, Status Code: 409, BucketAlreadyExists)": (
        "The bucket's name is taken, perhaps by somebody else: choose another with bucket="
    ),
    "Invalid parameter: Email address (Service: Sns, Status Code: 400)": (
        "The address is invalid: correct mail= or budget_mail="
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_aws_says_of_a_failure_comes_as_a_sentence_with_what_is_left(reason):
    cloudformation = boto3.client("cloudformation", endpoint_url="https://192.0.2.1")  # not this machine
    name = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/mlagents/1"
    when = {"Timestamp": "2026-01-01T00:00:00Z", "EventId": "1", "StackId": name, "StackName": "mlagents"}
    failed = {**when, "LogicalResourceId": "It", "PhysicalResourceId": "", "ResourceStatus": "CREATE_FAILED"}
    begun = {
        **when,
        "LogicalResourceId": "mlagents",
        "PhysicalResourceId": name,
        "ResourceStatus": "CREATE_IN_PROGRESS",
    }
    cancelled = {**failed, "LogicalResourceId": "Other", "ResourceStatusReason": "Resource creation cancelled"}
    left = {
        "LastUpdatedTimestamp": "2026-01-01T00:00:00Z",
        "ResourceType": "AWS::S3::Bucket",
        "PhysicalResourceId": "mine",
    }
    found = {"StackId": name, "StackName": "mlagents", "CreationTime": "2026-01-01T00:00:00Z"}
    found["Parameters"] = [{"ParameterKey": "RoleName", "ParameterValue": "of-jobs"}]
    with Stubber(cloudformation) as stub:
        stub.add_response("describe_stacks", {"Stacks": [{**found, "StackStatus": "ROLLBACK_FAILED"}]})
        stub.add_response(
            "list_stack_resources",
            {"StackResourceSummaries": [{**left, "LogicalResourceId": "Bucket", "ResourceStatus": "DELETE_FAILED"}]},
        )
        events = [
            cancelled,
            {**failed, "ResourceStatusReason": reason},
            {**begun, "ResourceStatusReason": "User Initiated"},
        ]
        stub.add_response("describe_stack_events", {"StackEvents": events})
        with pytest.raises(SetUpError) as error:
            follow(cloudformation, poll_seconds=0.01)
    assert str(error.value) == (
        f"Expected the stack mlagents to be made, found it ROLLBACK_FAILED: It: {REASONS[reason]} ({reason}). Of what it "
        'made is left: AWS::S3::Bucket mine. Delete it with the last lesson, delete = ["stack"] and sure = True, then run this again.'
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"mail": "me"}, "mail to be an address such as me@example.com, found 'me'"),
        ({"mail": "me@host"}, "mail to be an address such as me@example.com, found 'me@host'"),
        ({"mail": "a..b@example.com"}, "mail to be an address such as me@example.com, found 'a..b@example.com'"),
        ({"budget_mail": "a b@x.org"}, "budget_mail to be an address such as me@example.com, found 'a b@x.org'"),
        ({"budget_usd": 5}, "an address for the budget's mail, found ''"),
        ({"budget_usd": -5, "mail": "a@b.org"}, "budget_usd to be a sum in USD, or 0 for no budget, found -5"),
        ({"keep_days": 1.5}, "keep_days to be whole days, or 0 to keep, found 1.5"),
        ({"keep_days": -1}, "keep_days to be whole days, or 0 to keep, found -1"),
        ({"policy": "a b"}, "policy to be a policy's name, found 'a b'"),
        ({"role": "a/b"}, "role to be a name without a path, found 'a/b'"),
    ],
)
def test_settings_that_cannot_be_used(change, found):
    with pytest.raises(SetUpError) as error:
        replace(Settings(), **change)
    assert str(error.value) == f"Expected {found}."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket": "Mine"}, "Expected a bucket's name: 3 to 63 of a-z, 0-9, dots, dashes, found 'Mine'."),
        ({"user": "me"}, "Expected the ARN of a user, a role, or a role's session, of this account, found 'me'."),
        (
            {"user": f"arn:aws:iam::{ACCOUNT}:root"},
            "Expected the ARN of a user or a role that is to use the notebooks, found "
            f"arn:aws:iam::{ACCOUNT}:root, the root user of the account. AWS advises to use it for nothing but its own "
            "settings: name another with user=.",
        ),
    ],
)
def test_names_that_cannot_be_used(session, change, message):
    with pytest.raises(SetUpError) as error:
        make_request(session, Settings(**change))
    assert str(error.value) == message


def test_every_call_is_one_of_botocores(session):
    request = make_request(session, WHOLE)
    cloudformation = boto3.client("cloudformation")
    with Stubber(cloudformation) as stub:  # which holds the arguments to the service's model
        stub.add_response("create_change_set", {"Id": "x", "StackId": "y"})
        cloudformation.create_change_set(**request)
    assert len(request["TemplateBody"]) < 51_200  # what CreateChangeSet takes
    assert request["Tags"] == [{"Key": "project", "Value": "mlagents"}]
