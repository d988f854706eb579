"""The preflight: what a whole account looks like, and each thing that can be missing."""

import re
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

import training_image as image
from account_check import machine, preflight
from account_check.quota import check_quota
from common import aws_session
from helpers import preflight as of_a_target

ROLE = "arn:aws:iam::123456789012:role/mlagents-training"


def check(account, **options):
    return preflight.check("aws", session=account, **{"role": "mlagents-training", **options})


def row(report, name):
    (finding,) = [finding for finding in report.findings if finding.path == name]
    return finding


def levels(report):
    return {finding.path: finding.level for finding in report.findings if finding.level != "ok"}


def test_a_complete_account(account):
    report = check(account.whole())
    assert report.verdict == "The account is ready to train."
    assert [(f.path, f.level, f.todo) for f in report.findings] == [
        (name, "ok", "")
        for name in (
            "credentials",
            "clock",
            "region",
            "bucket",
            "bucket, privacy",
            "bucket, encryption",
            "role",
            "role's rights",
            "your rights, S3",
            "your rights, ECR",
            "your rights, CodeBuild",
            "your rights, SageMaker",
            "your rights, tuning",
            "your rights, log",
            "your rights, deleting",
            "your rights, looking",
            "quota",
            "quota, spot",
            "registry",
            "Docker",
            "disk",
        )
    ]
    assert (report.account, report.region) == ("123456789012", "us-east-1")
    assert row(report, "credentials").what == "arn:aws:iam::123456789012:user/reader"
    assert row(report, "bucket").what == "mlagents-us-east-1-123456789012 is there, in us-east-1."
    assert row(report, "quota").what == "2 x ml.c5.xlarge for training job usage."
    for stub in account.stubs.values():
        stub.assert_no_pending_responses()


def test_the_report_is_one_table(account):
    report = check(account.whole())
    assert report._repr_html_().count("✔ ok") == 22  # each row, and the verdict
    assert "  ok       quota, spot: 1 x ml.c5.xlarge for spot training job usage.\n" in str(report)
    assert "more like these" not in str(report)


def test_all_checks_run_before_an_error_is_raised(account, monkeypatch):
    account.identity()
    account.refuse("s3", "head_bucket", "404", 404)
    account.refuse("iam", "get_role", "NoSuchEntity", 404)
    account.quotas(training=0.0, spot=0.0)
    account.denied = {"s3:PutObject", "ecr:PutImage"}
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 5e8}))
    report = check(account)
    assert levels(report) == {
        "role": "error",
        "your rights, S3": "error",
        "your rights, ECR": "error",
        "quota": "error",
        "disk": "error",
        "quota, spot": "note",
        "bucket": "note",
    }
    with pytest.raises(preflight.PreflightError) as error:
        report.raise_for_errors()
    assert str(error.value).count("\n- ") == 5


def test_on_the_embedded_aws(connection):
    report = of_a_target.check("embedded")
    assert report.ok
    assert report.subject == "Preflight of the embedded AWS"
    assert row(report, "quota").level == "note"
    assert row(report, "quota").what == "The embedded AWS does not have ListServiceQuotas."
    assert row(report, "role").what == f"{ROLE} trusts SageMaker."
    assert row(report, "your rights, S3").what == "The embedded AWS allows everything."
    assert row(report, "bucket, privacy").level == "ok"


def test_with_a_connection(connection):
    report = preflight.check(connection)
    assert row(report, "bucket").what == f"{connection.bucket} is there, in us-east-1."


def test_an_unknown_target():
    with pytest.raises(aws_session.ConnectError, match='to be "embedded" or "aws", found \'azure\''):
        preflight.check("azure")


def test_no_credentials(account):
    account.credentials = None
    report = check(account)
    assert levels(report) == {"credentials": "error", "AWS": "note"}
    assert row(report, "credentials").todo.startswith("Run `aws configure`")
    assert row(report, "Docker").level == row(report, "disk").level == row(report, "region").level == "ok"


@pytest.mark.parametrize(
    "code, what",
    [("ExpiredToken", "They have expired."), ("InvalidClientTokenId", "AWS does not accept them: ")],
)
def test_credentials_that_are_refused(account, code, what):
    account.refuse("sts", "get_caller_identity", code, 403)
    report = check(account)
    assert row(report, "credentials").what.startswith(what)
    assert levels(report) == {"credentials": "error", "AWS": "note"}


def test_no_network(account):
    client = account.client("sts")

    def fail(**_):
        raise EndpointConnectionError(endpoint_url="https://sts.amazonaws.com/")

    account.stubs["sts"].deactivate()
    client.meta.events.register("before-call.sts", fail)
    report = check(account)
    client.meta.events.unregister("before-call.sts", fail)
    assert row(report, "credentials").what.startswith("AWS could not be reached to identify them: Could not connect")
    assert levels(report) == {"credentials": "error", "AWS": "note"}


def test_the_root_user(account):
    account.identity("arn:aws:iam::123456789012:root")
    account.bucket()
    account.role()
    account.quotas(training=1.0, spot=1.0)
    assert levels(check(account)) == {"credentials": "warning", "your rights": "note"}


@pytest.mark.parametrize(
    "skew, level, what",
    [
        (90, "warning", r"9\d s ahead of"),
        (-90, "warning", r"(8\d|90) s behind"),
        (400, "error", r"40\d s ahead of"),
        (20, "ok", "Agrees"),
    ],
)
def test_the_clock(account, skew, level, what):
    account.identity(skew=skew)
    account.bucket()
    account.role()
    account.quotas(training=1.0, spot=1.0)
    finding = row(check(account), "clock")
    assert finding.level == level
    assert re.search(what, finding.what)  # AWS's header has whole seconds


def test_no_region(account):
    account.region_name = None
    account.identity()
    report = check(account)
    assert levels(report) == {"region": "error", "AWS": "note"}


def test_a_region_without_sagemaker(account):
    account.identity()
    account.answer("s3", "head_bucket", {"BucketRegion": "xx-nowhere-1"})
    account.refuse("s3", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration", 404)
    account.refuse("s3", "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", 404)
    account.role()
    account.quotas(training=1.0, spot=1.0)
    account.get_partition_for_region = lambda region: "aws"
    account.region_name = "xx-nowhere-1"
    report = check(account)
    assert row(report, "region").what == "xx-nowhere-1 is not among the regions known to have SageMaker."
    assert row(report, "bucket, privacy").level == "warning"
    assert row(report, "bucket, encryption").level == "ok"


def bucket_of(account, look):
    account.identity()
    look(account)
    account.role()
    account.quotas(training=1.0, spot=1.0)
    return check(account)


def test_a_bucket_in_another_region(account):
    report = bucket_of(account, lambda account: account.bucket("eu-west-1"))
    assert levels(report) == {"bucket": "error"}
    assert "is in eu-west-1, the job would run in us-east-1" in row(report, "bucket").what


def test_a_bucket_in_another_region_that_redirects(account):
    headers = {"x-amz-bucket-region": "eu-west-1"}
    report = bucket_of(account, lambda a: a.refuse("s3", "head_bucket", "301", 301, headers=headers))
    assert "is in eu-west-1" in row(report, "bucket").what


def test_a_bucket_of_somebody_else(account):
    report = bucket_of(account, lambda account: account.refuse("s3", "head_bucket", "403", 403))
    assert row(report, "bucket").what == "You may not use mlagents-us-east-1-123456789012."
    assert levels(report) == {"bucket": "error"}


def test_a_bucket_open_to_the_public(account):
    report = bucket_of(account, lambda account: account.bucket(block=False))
    assert levels(report) == {"bucket, privacy": "warning"}


def test_a_bucket_with_a_kms_key(account):
    report = bucket_of(account, lambda account: account.bucket(algorithm="aws:kms"))
    assert levels(report) == {"bucket, encryption": "warning"}
    assert "kms:GenerateDataKey" in row(report, "bucket, encryption").todo


def test_a_bucket_without_the_right_to_look_at_it(account):
    def look(account):
        account.answer("s3", "head_bucket", {"BucketRegion": "us-east-1"})
        account.refuse("s3", "get_public_access_block", "AccessDenied", 403)
        account.refuse("s3", "get_bucket_encryption", "AccessDenied", 403)

    report = bucket_of(account, look)
    assert levels(report) == {"bucket, privacy": "warning", "bucket, encryption": "warning"}
    assert row(report, "bucket, privacy").what == "Not known: your credentials may not call GetPublicAccessBlock."


def test_no_role(account):
    account.identity()
    account.bucket()
    account.quotas(training=1.0, spot=1.0)
    report = check(account, role="")
    assert levels(report) == {"role": "error"}
    assert "Lesson 0 (notebooks/00_set_up_your_account.ipynb) makes one" in row(report, "role").todo


OTHERS = [
    {"Version": "2012-10-17", "Statement": []},
    {"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
    {"Statement": {"Effect": "Deny", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}},
    {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}},
    {"Statement": {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:TagSession"}},
]


def test_a_trust_policy_may_have_wildcards_and_any_case(account):
    account.identity()
    account.bucket()
    principal = {"Service": "sagemaker.amazonaws.com"}
    account.role({"Statement": {"Effect": "Allow", "Principal": principal, "Action": "STS:Assume*"}})
    account.quotas(training=1.0, spot=1.0)
    assert row(check(account), "role").what == f"{ROLE} trusts SageMaker."


@pytest.mark.parametrize("trust", OTHERS)
def test_a_role_that_does_not_trust_sagemaker(account, trust):
    account.identity()
    account.bucket()
    account.role(trust)
    account.quotas(training=1.0, spot=1.0)
    report = check(account)
    assert levels(report) == {"role": "error"}
    assert row(report, "role").what == f"{ROLE} does not trust SageMaker."


def test_a_role_without_rights(account):
    account.denied = {"logs:PutLogEvents", "ecr:BatchGetImage"}
    report = check(account.whole())
    assert row(report, "role's rights").what == "Missing: ecr:BatchGetImage, logs:PutLogEvents."
    assert "packages/account_check/execution-role.json" in row(report, "role's rights").todo


def test_a_role_without_the_right_to_look_at_it(account):
    account.identity()
    account.bucket()
    account.refuse("iam", "get_role", "AccessDenied", 403)
    account.quotas(training=1.0, spot=1.0)
    report = check(account, role=ROLE)
    assert levels(report) == {"role": "warning"}
    assert row(report, "role").what == "Not known: your credentials may not call GetRole."


def test_a_role_with_a_path(account):
    account.identity()
    account.bucket()
    account.role(arn="arn:aws:iam::123456789012:role/service-role/mlagents-training")
    account.quotas(training=1.0, spot=1.0)
    assert check(account).ok
    passed = [request["ResourceArns"] for request in account.simulated if request["ActionNames"] == ["iam:PassRole"]]
    assert passed == [["arn:aws:iam::123456789012:role/service-role/mlagents-training"]]


def test_requests_to_the_simulator(account):
    check(account.whole())
    requests = {
        (q["PolicySourceArn"], action, *q["ResourceArns"]): q for q in account.simulated for action in q["ActionNames"]
    }
    bucket = "arn:aws:s3:::mlagents-us-east-1-123456789012"
    user = "arn:aws:iam::123456789012:user/reader"
    assert (ROLE, "s3:GetObject", f"{bucket}/unity-volume/*") in requests
    assert (user, "s3:PutObject", f"{bucket}/unity-volume/*") in requests
    assert (user, "iam:SimulatePrincipalPolicy", user) in requests
    (context,) = requests[user, "iam:PassRole", ROLE]["ContextEntries"]
    assert context == {
        "ContextKeyName": "iam:PassedToService",
        "ContextKeyType": "string",
        "ContextKeyValues": ["sagemaker.amazonaws.com"],
    }


def test_a_session_has_the_rights_of_its_role(account):
    account.identity("arn:aws:sts::123456789012:assumed-role/Reader/me")
    account.bucket()
    account.role()
    account.role(arn="arn:aws:iam::123456789012:role/aws-reserved/Reader")
    account.quotas(training=1.0, spot=1.0)
    assert check(account).ok
    assert "arn:aws:iam::123456789012:role/aws-reserved/Reader" in {
        request["PolicySourceArn"] for request in account.simulated
    }


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchEntity"])
def test_a_session_without_the_right_to_look_at_its_role(account, code):
    account.identity("arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Trainer_01/me")
    account.bucket()
    account.role()
    account.refuse("iam", "get_role", code, 403)
    account.quotas(training=1.0, spot=1.0)
    report = check(account)
    assert levels(report) == {"your rights": "note"}
    assert row(report, "your rights").what == (
        f"Not simulated: the path of your session's role is not known, for IAM refuses GetRole ({code})."
    )


KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_vpc_and_key_need_more_rights(account):
    account.identity()
    account.bucket(algorithm="aws:kms", KMSMasterKeyID=KEY)
    account.role()
    account.quotas(training=1.0, spot=1.0)
    report = check(account, subnets=["subnet-1"], security_groups=["sg-1"], kms_key=KEY)
    assert report.ok and row(report, "bucket, encryption").what == f"Encrypted with {KEY}."
    requests = {
        (q["PolicySourceArn"] == ROLE, a, *q["ResourceArns"]) for q in account.simulated for a in q["ActionNames"]
    }
    assert {(True, "ec2:CreateNetworkInterface", "*"), (True, "kms:CreateGrant", KEY)} <= requests
    assert (False, "kms:GenerateDataKey", KEY) in requests
    assert row(report, "your rights, key").level == "ok"


def test_a_bucket_that_has_another_key(account):
    account.identity()
    account.bucket()
    account.role()
    account.quotas(training=1.0, spot=1.0)
    assert levels(check(account, kms_key=KEY)) == {"bucket, encryption": "note"}


@pytest.mark.parametrize("options, areas", [({"bucket": "my*"}, {"role's rights", "your rights"})])
def test_names_that_are_invalid_in_a_policy(account, options, areas):
    account.identity()
    account.role()
    account.quotas(training=1.0, spot=1.0)
    report = check(account, **options)
    assert {area for area, level in levels(report).items() if level == "error"} >= areas


def test_a_federated_user_is_not_simulated(account):
    account.identity("arn:aws:sts::123456789012:federated-user/me")
    account.bucket()
    account.role()
    account.quotas(training=1.0, spot=1.0)
    assert levels(check(account)) == {"your rights": "note"}


@pytest.mark.parametrize(
    "denied, area, level",
    [
        ("s3:CreateBucket", "your rights, S3", "warning"),
        ("ecr:CreateRepository", "your rights, ECR", "warning"),
        ("ecr:PutImage", "your rights, ECR", "error"),
        ("codebuild:StartBuild", "your rights, CodeBuild", "warning"),
        ("iam:PassRole", "your rights, SageMaker", "error"),
        ("sagemaker:CreateHyperParameterTuningJob", "your rights, tuning", "warning"),
        ("logs:FilterLogEvents", "your rights, log", "error"),
        ("pricing:GetProducts", "your rights, looking", "warning"),
    ],
)
def test_a_right_that_the_reader_lacks(account, denied, area, level):
    account.denied = {denied}
    report = check(account.whole())
    assert levels(report) == {area: level}
    assert row(report, area).what == f"Missing: {denied}."


@pytest.mark.parametrize(
    "values, spot, expected",
    [
        ({"training": 1.0, "spot": 0.0}, False, {"quota, spot": "note"}),
        ({"training": 1.0, "spot": 0.0}, True, {"quota, spot": "error"}),
        ({"training": 0.0, "spot": 4.0}, True, {"quota": "note"}),
        ({"training": 0.0, "spot": 4.0}, False, {"quota": "error"}),
        ({"training": 1.0, "spot": 1.0, "pool": 0.0}, False, {"quota, warm pool": "note"}),
    ],
)
def test_quotas(account, values, spot, expected):
    account.identity()
    account.bucket()
    account.role()
    account.quotas(**values)
    report = check(account, spot=spot, keep_alive="pool" in values)
    assert levels(report) == expected
    (name,) = expected
    code = {"quota": "L-training", "quota, spot": "L-spot", "quota, warm pool": "L-pool"}[name]
    assert f"--quota-code {code} --desired-value 1 --region us-east-1" in row(report, name).todo
    assert f"https://us-east-1.console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas/{code}." in (
        row(report, name).todo
    )


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_no_console_of_another_partition_is_named(region):
    name, code = "ml.c5.xlarge for training job usage", "L-training"
    client = SimpleNamespace(
        get_paginator=lambda _: SimpleNamespace(
            paginate=lambda **_: [{"Quotas": [{"QuotaName": name, "QuotaCode": code, "Value": 0.0}]}]
        )
    )
    finding = next(check_quota(SimpleNamespace(region=region, client=lambda _: client), "ml.c5.xlarge", False))
    assert finding.todo == (
        "Ask for 1: `aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code "
        f"{code} --desired-value 1 --region {region}`. It takes hours to days."
    )


def test_a_quota_that_only_has_a_default(account):
    account.identity()
    account.bucket()
    account.role()
    account.quotas(spot=1.0)
    account.quotas("list_aws_default_service_quotas", training=0.0, spot=0.0)
    report = check(account)
    assert row(report, "quota").what == "0 x ml.c5.xlarge for training job usage."
    assert row(report, "quota, spot").what == "1 x ml.c5.xlarge for spot training job usage."


def test_a_type_that_does_not_exist(account):
    account.identity()
    account.bucket()
    account.role()
    account.quotas(training=1.0)
    account.quotas("list_aws_default_service_quotas", training=1.0)
    report = check(account, instance_type="ml.c5.xlrage")
    assert levels(report) == {"quota": "error", "quota, spot": "note"}
    assert row(report, "quota").what == "SageMaker has no quota 'ml.c5.xlrage for training job usage'."


def test_quotas_without_the_right_to_look_at_them(account):
    account.identity()
    account.bucket()
    account.role()
    account.refuse("service-quotas", "list_service_quotas", "AccessDeniedException", 403)
    report = check(account)
    assert levels(report) == {"quota": "warning"}
    assert row(report, "quota").what == "Not known: your credentials may not call ListServiceQuotas."


def test_no_engine(account, monkeypatch):
    def fail():
        raise image.UnavailableError("Expected a Docker engine, none answers. Install Docker.")

    monkeypatch.setattr(machine.engine, "connect", fail)
    finding = row(check(account.whole()), "Docker")
    assert (finding.level, finding.what) == (
        "ok",
        "Expected a Docker engine, none answers. None is needed: the image is pushed.",
    )
    absent = image.Image("registry.example", "0123456789abcdef")
    monkeypatch.setattr(machine.image, "read", lambda connection, folder: absent)
    report = check(account.whole())
    assert levels(report) == {"Docker": "error", "registry": "note"}
    assert row(report, "Docker").todo == "Expected a Docker engine, none answers. Install Docker."


@pytest.mark.parametrize(
    "first", ["Expected a Docker engine, none answers.", "A Docker engine is there, but not yours."]
)
def test_no_engine_on_the_embedded_aws(connection, monkeypatch, first):
    def fail():
        raise image.UnavailableError(f"{first} Do this. Do that.")

    monkeypatch.setattr(machine.engine, "connect", fail)
    absent = image.Image("registry.example", "0123456789abcdef")
    monkeypatch.setattr(machine.image, "read", lambda connection, folder: absent)
    finding = row(of_a_target.check("embedded"), "Docker")
    assert (finding.level, finding.what) == ("note", first)


def test_a_registry_that_refuses(account, monkeypatch):
    def fail(connection, folder):
        raise image.ImageError("ECR says no")

    monkeypatch.setattr(machine.image, "read", fail)
    report = check(account.whole())
    assert levels(report) == {"registry": "warning"}
    assert row(report, "registry").todo == "ECR says no"


@pytest.mark.parametrize("free, level", [(5e9, "ok"), (4.9e9, "warning"), (0.9e9, "error")])
def test_disk_space(account, monkeypatch, free, level):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free}))
    assert row(check(account.whole()), "disk").level == level
