"""Search for training jobs and tuning jobs, and AWS's optional limits."""

from datetime import timedelta

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
    created = []
    for number, group in enumerate(["one", "one", "two"]):
        tags = [{"Key": "search", "Value": group}, {"Key": "number", "Value": str(number)}]
        algorithm = shared.metrics(reward=r"reward=(-?[0-9.]+)")
        for name in ("left", "right"):
            shared.s3.put_object(Bucket=shared.bucket, Key=f"{name}-{number}/a", Body=b"a")
        created.append(
            shared.create(
                TrainingJobName=f"searched-{number}",
                Tags=tags,
                AlgorithmSpecification=algorithm,
                Environment={"PLACE": group},
                InputDataConfig=[shared.channel(name, f"{name}-{number}") for name in ("left", "right")][: number + 1],
                HyperParameters={
                    "do": f"say reward={number}.5" + ";exit 3" * (number == 2),
                    "rate": f"{number}.50",
                    "net.kind": "ball" if number else "wall",
                },
            )
        )
        shared.ended(created[-1])
    return created


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
        ([("Tags.search", "Exists"), ("CreationTime", "Equals", "2001-01-01T00:00:00")], []),
        ([("InputDataConfig.DataSource.S3DataSource.S3Uri", "Equals", "s3://embedded-tests/right-1")], [1]),
        ([("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "tests/left-")], [0, 1, 2]),
        ([("Tags.search", "Exists"), ("InputDataConfig.ChannelName", "NotEquals", "right")], [0]),
        ([("Tags.search", "Exists"), ("Environment.PLACE", "Equals", "one")], [0, 1]),
        ([("Tags.search", "Exists"), ("HyperParameters.net.kind", "Equals", "ball")], [1, 2]),
        ([("Tags.search", "Exists"), ("HyperParameters.net.kind", "In", "wall,hall")], [0]),
        ([("Tags.search", "Exists"), ("HyperParameters.rate", "Equals", "1.5")], [1]),
        ([("Tags.search", "Exists"), ("HyperParameters.rate", "NotEquals", "1.5")], [0, 2]),
        ([("Tags.search", "Exists"), ("HyperParameters.rate", "LessThanOrEqualTo", "1")], [0, 1]),  # 1.50 as an integer
        ([("Tags.search", "Exists"), ("HyperParameters.rate", "LessThanOrEqualTo", "1.0")], [0]),
        ([("Tags.search", "Exists"), ("HyperParameters.do", "GreaterThan", "1")], []),
        ([("Metrics.reward", "Equals", "1.5"), ("Tags.search", "Exists")], [1]),
        ([("Tags.search", "Exists"), ("FinalMetricDataList.Value", "LessThan", "1")], [0]),
        ([("Tags.search", "Exists"), ("ResourceConfig.VolumeSizeInGB", "GreaterThanOrEqualTo", "6")], []),
        ([("Tags.search", "Exists"), ("ResourceConfig.InstanceCount", "Equals", "1")], [0, 1, 2]),
        ([("Tags.search", "Exists"), ("EnableManagedSpotTraining", "Equals", "false")], [0, 1, 2]),
        ([("Tags.search", "Exists"), ("SecondaryStatusTransitions.Status", "Equals", "Failed")], [2]),
        ([("Tags.search", "Exists"), ("CheckpointConfig", "Exists")], []),
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
    description = record["TrainingJob"]
    assert description.pop("Tags") == [{"Key": "search", "Value": "two"}, {"Key": "number", "Value": "2"}]
    described = aws.describe(jobs[2])
    assert description == {key: value for key, value in described.items() if key in description}
    assert {*described} - {*description} <= {"RemoteDebugConfig", "InfraCheckConfig", "MlflowConfig"}


def test_times_are_compared_by_the_second(aws, jobs):
    created = aws.describe(jobs[1])["CreationTime"]
    for second, found in ((created, [jobs[1]]), (created - timedelta(days=1), [])):
        expected = second.astimezone().isoformat(timespec="seconds")
        assert names(search(aws, ("TrainingJobName", "Equals", jobs[1]), ("CreationTime", "Equals", expected))) == found


def test_and_or_and_in(aws, jobs):
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
    assert names(first) + names(second) == jobs[::-1]  # by default, the last modified first
    assert "NextToken" not in second
    for token in (first["NextToken"], "no token"):
        with pytest.raises(ClientError, match="Invalid NextToken"):
            search(aws, ("Tags.search", "Equals", "one"), NextToken=token)


@pytest.mark.parametrize(
    "one, message",
    [
        (("Colour", "Equals", "1"), "Unknown property name: Colour"),
        (("InputDataConfig.Colour", "Exists"), "Unknown property name: InputDataConfig.Colour"),
        (("TrainingJobName.x", "Exists"), "Unknown property name: TrainingJobName.x"),
        (("InputDataConfig", "Equals", "1"), "not supported for the object property InputDataConfig"),
        (("Metrics.reward", "Contains", "1"), "not supported for the number property Metrics.reward"),
        (("Metrics.reward", "GreaterThan", "high"), "Invalid Value of Metrics.reward: high"),
        (("EnableManagedSpotTraining", "Equals", "maybe"), "Invalid Value of EnableManagedSpotTraining: maybe"),
        (("Tags.number", "GreaterThan", "1"), "not supported for the text property Tags.number"),
        (("CreationTime", "GreaterThan", "yesterday"), "Invalid Value of CreationTime: yesterday"),
        (("CreationTime", "Contains", "2001"), "not supported for the timestamp property CreationTime"),
        (("Tags.x", "Like", "1"), "Member must satisfy enum value set"),
    ],
)
def test_unknown_properties_and_operators_are_refused(aws, one, message):
    with pytest.raises(ClientError, match=message):
        search(aws, one)


def test_an_empty_expression_is_refused(aws):
    with pytest.raises(ClientError, match="must have at least one"):
        aws.sm.search(Resource="TrainingJob", SearchExpression={})
    with pytest.raises(ClientError, match="Invalid SortBy: Color"):
        search(aws, ("Tags.x", "Exists"), SortBy="Color")

    with pytest.raises(ClientError, match="Invalid SortBy: InputDataConfig"):
        search(aws, ("Tags.x", "Exists"), SortBy="InputDataConfig")


@pytest.mark.parametrize(
    "by, order",
    [
        ("HyperParameters.rate", [0, 1, 2]),
        ("Metrics.reward", [0, 1, 2]),
        ("Tags.number", [0, 1, 2]),
        ("TrainingJobStatus", [0, 1, 2]),
        ("HyperParameters.net.kind", [1, 2, 0]),
        ("FailureReason", [0, 1, 2]),  # those without one come first
        ("InputDataConfig.DataSource.S3DataSource.S3Uri", [0, 1, 2]),
    ],
)
def test_sorting_by_any_property(aws, jobs, by, order):
    expected = [jobs[number] for number in order]
    assert names(search(aws, ("Tags.search", "Exists"), SortBy=by, SortOrder="Ascending")) == expected
    assert names(search(aws, ("Tags.search", "Exists"), SortBy=by)) == expected[::-1]


def nested(*filters):
    conditions = [dict(zip(("Name", "Operator", "Value"), one, strict=True)) for one in filters]
    return {"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": conditions}]}


def test_nested_filters_apply_to_one_object(aws, jobs):
    right = ("InputDataConfig.ChannelName", "Equals", "right")
    uri = "InputDataConfig.DataSource.S3DataSource.S3Uri"
    found = aws.sm.search(Resource="TrainingJob", SearchExpression=nested(right, (uri, "Contains", "right-1")))
    assert names(found) == [jobs[1]]
    assert (
        aws.sm.search(Resource="TrainingJob", SearchExpression=nested(right, (uri, "Contains", "left-1")))["Results"]
        == []
    )
    with pytest.raises(
        ClientError, match=r"Unknown property name: ChannelName. It must be a property of InputDataConfig"
    ):
        aws.sm.search(Resource="TrainingJob", SearchExpression=nested(("ChannelName", "Equals", "right")))
    other = {"NestedFilters": [{"NestedPropertyName": "RoleArn", "Filters": [{"Name": "RoleArn.x"}]}]}
    with pytest.raises(ClientError, match="Invalid NestedPropertyName: RoleArn"):
        aws.sm.search(Resource="TrainingJob", SearchExpression=other)


def test_limits_of_aws_and_ours(aws, jobs):
    with pytest.raises(ClientError, match=r"'CONTAINS' operator usage limit of 1 exceeded\."):
        search(aws, ("TrainingJobName", "Contains", "a"), ("FailureReason", "Contains", "b"))
    part = {"Filters": [{"Name": "Tags.x", "Operator": "Exists"}] * 16}
    with pytest.raises(ClientError, match="50 SubExpressions, NestedFilters and Filters at most, this one has 51"):
        aws.sm.search(Resource="TrainingJob", SearchExpression={"SubExpressions": [part] * 3})
    with pytest.raises(ClientError, match="The embedded AWS has one account: .* CrossAccount is not emulated"):
        aws.sm.search(Resource="TrainingJob", CrossAccountFilterOption="CrossAccount")


def test_visibility_conditions(aws, jobs):
    shown = [{"Key": "Tags.search", "Value": "one"}]
    found = names(search(aws, ("TrainingJobName", "Contains", "searched-"), VisibilityConditions=shown))
    assert found == [jobs[1], jobs[0]]
    absent = [{"Key": "Tags.colour", "Value": "one"}]
    assert len(names(search(aws, ("Tags.search", "Exists"), VisibilityConditions=absent))) == 3


def test_suggestions(aws, jobs):
    def suggest(hint):
        query = {"PropertyNameQuery": {"PropertyNameHint": hint}}
        response = aws.sm.get_search_suggestions(Resource="TrainingJob", SuggestionQuery=query)
        return [one["PropertyName"] for one in response["PropertyNameSuggestions"]]

    assert suggest("hyperparameters.ne") == ["HyperParameters.net.kind"]
    assert suggest("Metrics.rew") == ["Metrics.reward"]
    assert suggest("Tags.sea") == ["Tags.search"]
    assert suggest("TrainingJob") == ["TrainingJobArn", "TrainingJobName", "TrainingJobStatus"]
    assert suggest("Nothing") == []


def test_searches_for_other_resources_go_to_moto(aws):
    assert aws.sm.search(Resource="Pipeline")["Results"] == []
    with pytest.raises(
        ClientError, match="supports SortBy only in a search for TrainingJob or HyperParameterTuningJob; for"
    ):
        aws.sm.search(Resource="Pipeline", SortBy="CreationTime")


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
    assert "hello" in own.wait_for(lambda: aws.log(name))  # the limit does not apply to the server's own calls


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
