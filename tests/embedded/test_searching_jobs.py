"""Search over training jobs, and limits that are there when asked for."""

import pytest
from botocore.exceptions import ClientError


def names(page):
    return [record["TrainingJob"]["TrainingJobName"] for record in page["Results"]]


def search(aws, *filters, **more):
    expression = {"Filters": [dict(zip(("Name", "Operator", "Value"), one, strict=False)) for one in filters]}
    return aws.sm.search(Resource="TrainingJob", SearchExpression=expression, **more)


@pytest.fixture(scope="module")
def jobs(shared, monkeypatch_module):
    monkeypatch_module.setenv("EMBEDDED_HOME", str(shared.server.home))
    made = []
    for number, group in enumerate(["one", "one", "two"]):
        tags = [{"Key": "search", "Value": group}, {"Key": "number", "Value": str(number)}]
        algorithm = shared.metrics(reward=r"reward=(-?[0-9.]+)")
        made.append(
            shared.create(
                f"say reward={number}.5" + ";exit 3" * (number == 2),
                TrainingJobName=f"searched-{number}",
                Tags=tags,
                AlgorithmSpecification=algorithm,
            )
        )
        shared.ended(made[-1])
    return made


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize(
    "filters, found",
    [
        ([("Tags.search", "Equals", "one")], [0, 1]),
        ([("Tags.search", "NotEquals", "one")], [2]),
        ([("Tags.search", "Exists")], [0, 1, 2]),
        ([("Tags.search", "In", "two,three")], [2]),
        ([("Tags.search",)], None),
        ([("Tags.search", "Equals", "one"), ("Tags.number", "Equals", "1")], [1]),
        ([("TrainingJobName", "Contains", "searched-")], [0, 1, 2]),
        ([("TrainingJobName", "Contains", "searched-"), ("TrainingJobStatus", "Equals", "Failed")], [2]),
        ([("TrainingJobName", "Contains", "searched-"), ("FailureReason", "NotExists")], [0, 1]),
        ([("TrainingJobName", "Contains", "searched-"), ("Metrics.reward", "GreaterThan", "0.5")], [1, 2]),
        ([("Tags.search", "Exists"), ("HyperParameters.do", "Contains", "exit")], [2]),
        ([("Tags.search", "Exists"), ("CreationTime", "GreaterThan", "2001-01-01T00:00:00")], [0, 1, 2]),
        ([("Tags.search", "Exists"), ("CreationTime", "LessThan", "2001-01-01T00:00:00Z")], []),
    ],
)
def test_filters(aws, jobs, filters, found):
    if found is None:
        with pytest.raises(ClientError, match="The operator Equals of Tags.search needs a Value"):
            search(aws, *filters)
        return
    page = search(aws, *filters, SortBy="CreationTime", SortOrder="Ascending")
    assert names(page) == [jobs[number] for number in found]
    assert page["TotalHits"] == {"Value": len(found), "Relation": "EqualTo"}


def test_a_record_is_the_description_with_the_tags(aws, jobs):
    (record,) = search(aws, ("Tags.number", "Equals", "2"))["Results"]
    told = record["TrainingJob"]
    assert told.pop("Tags") == [{"Key": "search", "Value": "two"}, {"Key": "number", "Value": "2"}]
    described = aws.describe(jobs[2])
    assert told == {key: value for key, value in described.items() if key in told}
    assert {*described} - {*told} <= {"RemoteDebugConfig", "InfraCheckConfig", "MlflowConfig"}


def test_and_or_and_within(aws, jobs):
    two = {"Filters": [{"Name": "Tags.search", "Operator": "Equals", "Value": "two"}]}
    zero = {"Filters": [{"Name": "Tags.number", "Operator": "Equals", "Value": "0"}]}
    either = {"Operator": "Or", "SubExpressions": [two, zero]}
    found = aws.sm.search(Resource="TrainingJob", SearchExpression=either)
    assert sorted(names(found)) == [jobs[0], jobs[2]]
    both = {"SubExpressions": [either], "Filters": zero["Filters"]}
    assert names(aws.sm.search(Resource="TrainingJob", SearchExpression=both)) == [jobs[0]]


def test_pages(aws, jobs):
    everything = [("Tags.search", "Exists")]
    first = search(aws, *everything, MaxResults=2)
    second = search(aws, *everything, MaxResults=2, NextToken=first["NextToken"])
    assert names(first) + names(second) == jobs[::-1]  # the last changed first, where nothing else is asked for
    assert "NextToken" not in second
    for token in (first["NextToken"], "no token"):
        with pytest.raises(ClientError, match="Invalid NextToken"):
            search(aws, ("Tags.search", "Equals", "one"), NextToken=token)


@pytest.mark.parametrize(
    "one, told",
    [
        (("Environment.x", "Equals", "1"), "Unknown property name: Environment.x"),
        (("Tags.number", "GreaterThan", "1"), "not supported for the text property Tags.number"),
        (("CreationTime", "GreaterThan", "yesterday"), "Invalid Value of CreationTime: yesterday"),
        (("CreationTime", "Equals", "2001-01-01T00:00:00"), "not supported for the timestamp CreationTime"),
        (("Tags.x", "Like", "1"), "Member must satisfy enum value set"),
    ],
)
def test_what_it_does_not_know(aws, one, told):
    with pytest.raises(ClientError, match=told):
        search(aws, one)


def test_an_expression_of_nothing(aws):
    with pytest.raises(ClientError, match="must have at least one"):
        aws.sm.search(Resource="TrainingJob", SearchExpression={})
    with pytest.raises(ClientError, match="Invalid SortBy: Color"):
        search(aws, ("Tags.x", "Exists"), SortBy="Color")


def test_other_resources_are_motos(aws):
    assert aws.sm.search(Resource="Pipeline")["Results"] == []


def test_calls_beyond_the_limit_are_refused(own):
    aws = own.start(EMBEDDED_CALLS_A_SECOND="3")
    for service, ask in (
        (aws.client("sagemaker"), lambda client: client.list_training_jobs()),
        (aws.client("logs"), lambda client: client.describe_log_groups()),
    ):
        with pytest.raises(ClientError) as caught:
            for _ in range(100):
                ask(service)
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert len([aws.s3.list_buckets() for _ in range(20)]) == 20
    name = own.wait_for(lambda: _try(aws.create, "say hello"))
    assert "hello" in own.wait_for(lambda: aws.log(name))  # the server's own calls are not held to it


def _try(call, *arguments):
    try:
        return call(*arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ThrottlingException"


def test_jobs_beyond_the_quota_are_refused(own):
    aws = own.start(EMBEDDED_JOBS_QUOTA="1")
    name = aws.create("term;wait")
    with pytest.raises(
        ClientError, match="service limit 'ml.m5.large for training job usage' is 1 Instances"
    ) as caught:
        aws.create("say more")
    assert caught.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    aws.logged(name)
    aws.sm.stop_training_job(TrainingJobName=name)
    aws.ended(name)
    assert own.wait_for(lambda: _create_in_room(aws))


def _create_in_room(aws):
    try:
        return aws.create("say more")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ResourceLimitExceeded"
