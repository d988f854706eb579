"""What the embedded AWS accepts, refuses and lists."""

import json
import time

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from sagemaker_local import app, record, schema
from sagemaker_local.cloudwatch_logs import GROUP
from sagemaker_local.jobs import Jobs
from sagemaker_local.schema import AwsError, check
from tests.sagemaker_local.conftest import TRUST


def refusal(call, **request):
    """Return the code and message of a refused call."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_names_are_unique_and_unknown_names_are_not_found(aws):
    name = aws.create()
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"
    assert refusal(aws.sm.create_training_job, **aws.request(TrainingJobName=name)) == (
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name "
        f"already exists ({arn})",
    )
    for call in (aws.sm.describe_training_job, aws.sm.stop_training_job):
        assert refusal(call, TrainingJobName="nobody") == ("ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"TrainingJobName": "under_score"},
            "ValidationException",
            "1 validation error detected: Value 'under_score' at 'trainingJobName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            {"RoleArn": None},
            "ValidationException",
            "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
            "ValidationException",
            "1 validation error detected: Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 2_419_201}},
            "ValidationException",
            "Invalid MaxRuntimeInSeconds: 2419201. It must be less than or equal to 2419200 seconds (28 days).",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 2_419_201},
            },
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds: 2419201. It must be less than or equal to 2419200 seconds (28 days).",
        ),
        (
            {"RoleArn": "arn:aws:iam::123456789012:role/nobody"},
            "ValidationException",
            "Could not assume role arn:aws:iam::123456789012:role/nobody. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role.",
        ),
        (
            {"RoleArn": "arn:aws:iam::999999999999:role/training"},
            "ValidationException",
            "RoleArn: Cross-account pass role is not allowed.",
        ),
        (
            {"HyperParameters": {"env": 3}},
            "SerializationException",
            "hyperParameters.env.member must be a string, not int",
        ),
        (
            {"EnableManagedSpotTraining": True},
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 9},
            },
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2}},
            "ValidationException",
            "The embedded AWS can't run this job: ResourceConfig must name one InstanceType and InstanceCount 1.",
        ),
        (
            {"AlgorithmSpecification": None},
            "ValidationException",
            "The embedded AWS can't run this job: AlgorithmSpecification.TrainingImage must be given.",
        ),
        (
            {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/../elsewhere"}},
            "ValidationException",
            "The embedded AWS can't run this job: CheckpointConfig.LocalPath must be below /opt/ml, "
            "it is /opt/ml/../elsewhere.",
        ),
    ],
)
def test_requests_are_refused_as_aws_refuses_them(aws, changes, code, message):
    unchecked = aws.client("sagemaker", parameter_validation=False)
    request = aws.request(**changes)
    assert refusal(unchecked.create_training_job, **request) == (code, message)
    assert not aws.folder(request["TrainingJobName"]).exists()


def test_unknown_instance_types_are_refused(aws):
    config = {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    code, message = refusal(aws.sm.create_training_job, **aws.request(ResourceConfig=config))
    assert code == "ValidationException"
    assert "Value 'ml.huge' at 'resourceConfig.instanceType' failed to satisfy constraint" in message


def test_invalid_metric_regexes_are_refused(aws):
    request = aws.request(AlgorithmSpecification=aws.metrics(reward="("))
    code, message = refusal(aws.sm.create_training_job, **request)
    assert code == "ValidationException"
    assert message.startswith("Invalid regex of metric definition reward: (")


def test_unknown_members_are_dropped():
    assert check("StopTrainingJob", {"TrainingJobName": "a", "Colour": "red"}) == {"TrainingJobName": "a"}


def test_all_validation_errors_come_in_one_response():
    with pytest.raises(
        AwsError, match="^2 validation errors detected: Value null at 'roleArn' .*; Value '-' at"
    ) as refused:
        check("CreateTrainingJob", {"TrainingJobName": "-", "OutputDataConfig": {"S3OutputPath": "s3://b"}})
    assert refused.value.code == "ValidationException"


def test_tags(aws):
    name = aws.create(Tags=[{"Key": "project", "Value": "walking"}, {"Key": "Größe 1", "Value": ""}])
    arn = aws.describe(name)["TrainingJobArn"]
    aws.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "project", "Value": "running"}, {"Key": "b", "Value": "2"}])
    aws.sm.delete_tags(ResourceArn=arn, TagKeys=["Größe 1", "never"])
    assert aws.sm.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "project", "Value": "running"},
        {"Key": "b", "Value": "2"},
    ]
    assert refusal(aws.sm.list_tags, ResourceArn=arn + "x") == ("ValidationException", "Requested resource not found.")
    reserved = "aws: prefixed tag key names are not allowed for external use."
    for call, about in ((aws.sm.add_tags, {"ResourceArn": arn}), (aws.sm.create_training_job, aws.request())):
        assert refusal(call, **about, Tags=[{"Key": "aws:a", "Value": ""}]) == ("ValidationException", reserved)
    many = [{"Key": f"k{number}", "Value": ""} for number in range(49)]
    assert refusal(aws.sm.add_tags, ResourceArn=arn, Tags=many)[0] == "ValidationException"


def test_jobs_belong_to_their_region(aws):
    here, there = aws.client("sagemaker"), aws.client("sagemaker", region_name="eu-west-1")
    algorithm = aws.metrics(reward=r"Reward: ([0-9.]+)")
    for client, reward in ((there, 1), (here, 2)):  # the same name in both
        do = f"env AWS_REGION;say Reward: {reward}"
        request = aws.request(do, TrainingJobName="abroad", AlgorithmSpecification=algorithm)
        arn = client.create_training_job(**request)["TrainingJobArn"]
        region = client.meta.region_name
        assert arn == f"arn:aws:sagemaker:{region}:123456789012:training-job/abroad"
        with pytest.raises(ClientError, match="already exists"):
            client.create_training_job(**request)
        about = {"TrainingJobName": "abroad"}
        aws.wait_for(
            lambda ask=client.describe_training_job, about=about: ask(**about)["TrainingJobStatus"] == "Completed"
        )
        description = client.describe_training_job(**about)
        assert (description["TrainingJobArn"], description["FinalMetricDataList"][0]["Value"]) == (arn, reward)
        found = client.search(
            Resource="TrainingJob", SearchExpression={"Filters": [{"Name": "TrainingJobName", "Value": "abroad"}]}
        )
        assert [one["TrainingJob"]["TrainingJobArn"] for one in found["Results"]] == [arn]
        assert names(client.list_training_jobs(NameContains="abroad")) == ["abroad"]
        logs = aws.client("logs", region_name=region)
        events = logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix="abroad/")["events"]
        assert [event["message"] for event in events] == [f"AWS_REGION {region}", f"Reward: {reward}"]
    for call in (there.describe_training_job, there.stop_training_job, there.delete_training_job):
        only_here = aws.create()
        assert refusal(call, TrainingJobName=only_here) == ("ValidationException", "Requested resource not found.")
    about = {"ResourceArn": aws.describe(only_here)["TrainingJobArn"]}
    requests = ((there.add_tags, {"Tags": []}), (there.list_tags, {}), (there.delete_tags, {"TagKeys": ["a"]}))
    for call, more in requests:
        assert refusal(call, **about, **more) == ("ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    ("statement", "trusted"),
    [
        ({}, True),
        ({"Principal": {"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}}, True),
        ({"Action": ["sts:AssumeRole", "sts:TagSession"]}, True),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False),
        ({"Action": "STS:Assume*"}, True),
        ({"Action": "sts:TagSession"}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_the_role_of_a_job_must_trust_sagemaker(aws, request, statement, trusted):
    name = f"role-{abs(hash(request.node.name))}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [{**TRUST, **statement}]})
    made = aws.client("iam").create_role(Path="/service-role/", RoleName=name, AssumeRolePolicyDocument=document)
    job = aws.request(RoleArn=made["Role"]["Arn"])
    if trusted:
        assert aws.sm.create_training_job(**job)["TrainingJobArn"]
    else:
        code, message = refusal(aws.sm.create_training_job, **job)
        assert (code, message.partition(".")[0]) == ("ValidationException", f"Could not assume role {job['RoleArn']}")


def test_a_running_job_is_updated_and_an_ended_one_deleted(aws):
    name = aws.create("say kept;model weights;term;wait", Tags=[{"Key": "a", "Value": "b"}])
    aws.logged(name)
    arn = aws.sm.update_training_job(TrainingJobName=name, ProfilerConfig={"DisableProfiler": True})["TrainingJobArn"]
    aws.sm.update_training_job(TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 60})
    description = aws.describe(name)
    assert description["TrainingJobArn"] == arn
    assert description["ProfilerConfig"] == {"DisableProfiler": True}
    assert description["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 60
    assert description["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    code, message = refusal(aws.sm.delete_training_job, TrainingJobName=name)
    assert (code, message[:72]) == (
        "ResourceInUse",
        "The request was rejected because the training job is in status InProgres",
    )
    aws.sm.stop_training_job(TrainingJobName=name)
    aws.ended(name)
    code, message = refusal(aws.sm.update_training_job, TrainingJobName=name)
    assert message == "The request was rejected because the training job is in status Stopped."

    aws.deleted(name)
    missing = ("ValidationException", "Requested resource not found.")
    for call in (aws.sm.describe_training_job, aws.sm.delete_training_job):
        assert refusal(call, TrainingJobName=name) == missing
    assert refusal(aws.sm.list_tags, ResourceArn=arn) == missing
    assert name not in names(aws.sm.list_training_jobs(NameContains=name))
    assert not aws.folder(name).exists()
    logs = aws.client("logs")
    assert logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["events"] == []
    assert aws.archive(f"out/{name}/output/model.tar.gz")["model.nn"] == "weights"  # its objects in S3 stay
    assert aws.run("say again", TrainingJobName=name)["TrainingJobStatus"] == "Completed"
    assert aws.log(name) == "again\n"


def tail_stream(logs, prefix):
    [stream] = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)["logStreams"]
    return stream["logStreamName"]


def test_logs_can_be_filtered_by_prefix(aws):
    jobs = [aws.create(f"say line of {name}", TrainingJobName=name) for name in ("tail-1", "tail-10", "tail-2")]
    for name in jobs:
        aws.ended(name)
    logs = aws.client("logs")

    def tail(prefix, **more):
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP, logStreamNamePrefix=prefix, interleaved=True, **more
        )
        return [event["message"] for page in pages for event in page["events"]]

    assert tail("tail-1/") == ["line of tail-1"]
    assert sorted(tail("tail-1")) == ["line of tail-1", "line of tail-10"]
    assert sorted(tail("tail-", PaginationConfig={"PageSize": 2})) == [f"line of {name}" for name in jobs]
    assert tail("tail-", filterPattern='"10"') == ["line of tail-10"]
    assert tail("nobody") == []
    for group in (GROUP, f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}"):
        for stream in ({"logStreamNamePrefix": "tail-1/"}, {"logStreamNames": [tail_stream(logs, "tail-1/")]}):
            [event] = logs.filter_log_events(logGroupIdentifier=group, **stream)["events"]
            assert event["message"] == "line of tail-1"
    with pytest.raises(ClientError, match="InvalidParameterException"):  # as in the API reference
        tail("tail-1", logStreamNames=["tail-2"])


def test_policy_simulation_allows_everything(aws):
    iam = aws.client("iam")
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=aws.role, ActionNames=["s3:PutObject", "s3:GetObject"], ResourceArns=["arn:aws:s3:::a/*"]
    )
    [page] = pages
    assert [
        (result["EvalActionName"], result["EvalResourceName"], result["EvalDecision"])
        for result in page["EvaluationResults"]
    ] == [("s3:PutObject", "arn:aws:s3:::a/*", "allowed"), ("s3:GetObject", "arn:aws:s3:::a/*", "allowed")]


STRINGS = ("a", "arn:aws:sagemaker:us-east-1:123456789012:model/a", "s3://b/k", "us-east-1", "https://a.b", "1.2.3", "")


def smallest(shape):
    """Return the smallest value that is valid by botocore's model."""
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        return {name: smallest(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [smallest(shape.member)] * limits.get("min", 0)
    if kind == "string":
        short = [one.ljust(limits.get("min", 0), "a")[: limits.get("max")] for one in STRINGS]
        fitting = (one for one in short if schema._pattern(limits.get("pattern", ".*")).fullmatch(one))
        return (limits.get("enum") or [next(fitting, "a")])[0]
    return {"map": {}, "boolean": True, "timestamp": 1e9, "blob": b""}.get(kind, limits.get("min", 1))


@pytest.mark.long
def test_every_call_gets_an_immediate_response(own):
    aws = own.start()  # a separate one, because some calls change a service
    for service in ("sagemaker", "logs", "ecr", "cloudwatch", "iam", "sts"):
        client = aws.client(service, parameter_validation=False)
        model = client.meta.service_model
        here = [name for name in model.operation_names if not model.operation_model(name).endpoint]
        requests = [(name, {}) for name in here]
        shapes = {name: model.operation_model(name).input_shape for name in here}
        requests += [(name, request) for name in here if shapes[name] and (request := smallest(shapes[name]))]
        refused = [ask(client, name, request) for name, request in requests]
        assert sum(refused) >= 3
        assert len(model.operation_names) - len(here) <= 3


def ask(client, name, request):
    """Make a call; return whether it is unsupported."""
    try:
        response = getattr(client, xform_name(name))(**request)
    except ClientError as error:
        response = error.response
    about = response["ResponseMetadata"]
    assert about["HTTPStatusCode"] < 500 and about["RetryAttempts"] == 0, (name, response)
    error = response.get("Error", {"Message": ""})
    refused = "does not emulate" in error["Message"]
    assert not refused or (error["Code"] == "UnknownOperationException" and f":{name}" in error["Message"]), response
    return refused


def test_unsupported_calls_are_refused_by_name(aws):
    error = ("UnknownOperationException", "The embedded AWS does not emulate sagemaker:ListTrainingPlans.")
    assert refusal(aws.sm.list_training_plans) == error
    unchecked = aws.client("sagemaker", parameter_validation=False)
    for call in sorted(app.NOTHING_RUNS):
        error = (error[0], f"The embedded AWS does not emulate sagemaker:{call}.")
        assert refusal(getattr(unchecked, xform_name(call))) == error
    error = (error[0], "The embedded AWS does not emulate sts:GetDelegatedAccessToken.")
    assert refusal(aws.client("sts").get_delegated_access_token, TradeInToken="a") == error


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Write 2,000 records, three seconds apart, every tenth Failed."""
    tmp_path = tmp_path_factory.mktemp("many")
    for number in range(2000):
        name = f"job-{number:04d}"
        (tmp_path / name).mkdir()
        job = record.Record(
            request={
                "TrainingJobName": name,
                "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
                "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
            },
            arn=f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
            folder=tmp_path / name,
            created=1e9 + 3 * number,
            modified=1e9 + 3 * number + 1,
            status="Completed" if number % 10 else "Failed",
            secondary="Completed" if number % 10 else "Failed",
        )
        (job.folder / "job.json").write_text(
            json.dumps({key: value for key, value in vars(job).items() if key not in ("folder", "lock")})
        )
    (tmp_path / "job-torn").mkdir()
    (tmp_path / "job-torn" / "job.json").write_text('{"request": ')
    return tmp_path


@pytest.fixture
def many(records):
    return Jobs(records, client=None)


def names(response):
    return [summary["TrainingJobName"] for summary in response["TrainingJobSummaries"]]


def test_listing_two_thousand_jobs(many):
    began = time.process_time()
    many.load()
    assert len(many.records) == 2000  # the truncated one is ignored
    assert time.process_time() - began < 2

    began = time.process_time()
    newest = many.list({"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 3})
    assert time.process_time() - began < 0.2
    assert names(newest) == ["job-1999", "job-1998", "job-1997"]
    assert names(many.list({})) == [f"job-{number:04d}" for number in range(10)]
    assert names(many.list({"NameContains": "B-003"})) == [f"job-003{number}" for number in range(10)]
    between = {"CreationTimeAfter": 1e9 + 30, "CreationTimeBefore": 1e9 + 39}
    assert names(many.list(between)) == ["job-0011", "job-0012"]
    assert names(many.list({"LastModifiedTimeBefore": 1e9 + 4})) == ["job-0000"]

    seen, query = [], {"StatusEquals": "Failed", "SortBy": "Name", "SortOrder": "Descending", "MaxResults": 70}
    pages = 0
    while True:
        page = many.list(query)
        seen += names(page)
        pages += 1
        if "NextToken" not in page:
            break
        query["NextToken"] = page["NextToken"]
    assert pages == 3
    assert seen == [f"job-{number:04d}" for number in range(1990, -1, -10)]
    with pytest.raises(AwsError, match="Invalid NextToken"):
        many.list({**query, "StatusEquals": "Completed"})
    with pytest.raises(AwsError, match="Invalid NextToken"):
        many.list({"NextToken": "rubbish"})


@pytest.mark.parametrize("by", ["Name", "CreationTime", "Status"])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_contain_each_job_once_in_every_order(many, by, order):
    many.load()
    key = {"Name": "name", "CreationTime": "created", "Status": "status"}[by]
    expected = sorted(
        (job for job in many.records.values() if "00" in job.name), key=lambda job: (getattr(job, key), job.name)
    )
    seen, query = [], {"NameContains": "00", "SortBy": by, "SortOrder": order, "MaxResults": 7}
    while True:
        page = many.list(query)
        assert len(page["TrainingJobSummaries"]) <= 7
        seen += names(page)
        if "NextToken" not in page:
            break
        query["NextToken"] = page["NextToken"]
    assert len(expected) > 50
    assert seen == [job.name for job in (expected if order == "Ascending" else expected[::-1])]


def test_listing_through_boto3(aws):
    created = [aws.create(TrainingJobName=f"listed-{letter}") for letter in "cab"]
    pages = aws.sm.get_paginator("list_training_jobs").paginate(
        NameContains="listed-", SortBy="Name", PaginationConfig={"PageSize": 2}
    )
    assert [names(page) for page in pages] == [["listed-a", "listed-b"], ["listed-c"]]
    for name in created:
        aws.ended(name)
    summaries = aws.sm.list_training_jobs(NameContains="listed-", StatusEquals="Completed")["TrainingJobSummaries"]
    assert {summary["TrainingJobName"] for summary in summaries} == set(created)
    assert {"TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime"} <= set(summaries[0])
