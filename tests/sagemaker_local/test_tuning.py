"""Running tuning jobs behave as on SageMaker, seen through boto3 and the SDK."""

import json
import os
import re
import shutil
import signal
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

import sagemaker_local as embedded
from sagemaker_local.tuning import sampler, stopping

ENDED = ("Completed", "Failed", "Stopped")
DIGITS = {"CategoricalParameterRanges": [{"Name": "digit", "Values": ["3", "1", "2"]}]}
MIXED = {
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.00001", "MaxValue": "0.01", "ScalingType": "Logarithmic"},
        {"Name": "gamma", "MinValue": "0.9", "MaxValue": "0.9999", "ScalingType": "ReverseLogarithmic"},
    ],
    "IntegerParameterRanges": [{"Name": "size", "MinValue": "32", "MaxValue": "64"}],
    "CategoricalParameterRanges": [{"Name": "normalize", "Values": ["true", "false"]}],
}


class Tuner:
    """Shortcuts for tuning jobs of one embedded AWS."""

    count = 0

    def __init__(self, aws):
        self.aws, self.sm = aws, aws.sm

    def request(self, do="tell digit", ranges=DIGITS, strategy="Grid", jobs=None, parallel=1, definition=(), **config):
        Tuner.count += 1
        job = self.aws.request(do)
        limits = {"MaxParallelTrainingJobs": parallel, **({"MaxNumberOfTrainingJobs": jobs} if jobs else {})}
        static = job.pop("HyperParameters")
        del job["TrainingJobName"]
        return {
            "HyperParameterTuningJobName": f"tuning-{Tuner.count}",
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "reward"},
                "ResourceLimits": limits,
                "ParameterRanges": ranges,
                "RandomSeed": 1,
                **config,
            },
            "TrainingJobDefinition": {
                **job,
                "AlgorithmSpecification": self.aws.metrics(reward="Reward: ([-0-9.e]+)"),
                "StaticHyperParameters": static,
                **dict(definition),
            },
        }

    def create(self, *given, **more):
        request = self.request(*given, **more)
        self.sm.create_hyper_parameter_tuning_job(**request)
        return request["HyperParameterTuningJobName"]

    def describe(self, name):
        description = self.sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        del description["ResponseMetadata"]
        return description

    def ended(self, name):
        return self.aws.wait_for(
            lambda: (description := self.describe(name))["HyperParameterTuningJobStatus"] in ENDED and description
        )

    def run(self, *given, **more):
        return self.ended(self.create(*given, **more))

    def trainings(self, description, **query):
        name = description if isinstance(description, str) else description["HyperParameterTuningJobName"]
        pages = self.sm.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        found = pages.paginate(HyperParameterTuningJobName=name, **query)
        return [summary for page in found for summary in page["TrainingJobSummaries"]]

    def refusal(self, request):
        unchecked = self.aws.client("sagemaker", parameter_validation=False)
        with pytest.raises(ClientError) as caught:
            unchecked.create_hyper_parameter_tuning_job(**request)
        with pytest.raises(ClientError, match="ResourceNotFound"):
            self.describe(request["HyperParameterTuningJobName"])
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


@pytest.fixture
def tuner(aws):
    return Tuner(aws)


def values(trainings, name):
    return [training["TunedHyperParameters"][name] for training in trainings]


def objectives(trainings):
    metrics = [training.get("FinalHyperParameterTuningJobObjectiveMetric", {}) for training in trainings]
    return [metric.get("Value") for metric in metrics]


def test_a_tuning_job_from_end_to_end(tuner, aws):
    request = tuner.request(
        "cat input/config/hyperparameters.json;say Reward: 0.5;tell digit;model weights",
        definition={"Environment": {"A": "b"}, "EnableNetworkIsolation": True},
    )
    request["Tags"] = [{"Key": "project", "Value": "walking"}]
    name = request["HyperParameterTuningJobName"]
    arn = tuner.sm.create_hyper_parameter_tuning_job(**request)["HyperParameterTuningJobArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/{name}"
    assert tuner.sm.list_tags(ResourceArn=arn)["Tags"] == request["Tags"]
    description = tuner.ended(name)

    assert description["HyperParameterTuningJobStatus"] == "Completed"
    assert "FailureReason" not in description
    config = request["HyperParameterTuningJobConfig"]
    limits = {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 3}
    assert description["HyperParameterTuningJobConfig"] == {
        **config,
        "ResourceLimits": limits,
        "TrainingJobEarlyStoppingType": "Off",
    }
    given = request["TrainingJobDefinition"]
    assert description["TrainingJobDefinition"] == {
        **given,
        "StaticHyperParameters": {**given["StaticHyperParameters"], "_tuning_objective_metric": "reward"},
        "OutputDataConfig": {**given["OutputDataConfig"], "KmsKeyId": ""},
    }
    assert description["TrainingJobStatusCounters"] == {
        "Completed": 3,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    assert description["CreationTime"] < description["HyperParameterTuningEndTime"] == description["LastModifiedTime"]

    trainings = tuner.trainings(description)
    assert [
        bool(re.fullmatch(rf"{name}-00{n}-[0-9a-f]{{8}}", t["TrainingJobName"])) for n, t in enumerate(trainings, 1)
    ]
    assert sorted(values(trainings, "digit")) == ["1", "2", "3"]
    assert objectives(trainings) == [float(digit) for digit in values(trainings, "digit")]
    best = description["BestTrainingJob"]
    assert best == max(trainings, key=lambda t: t["TunedHyperParameters"]["digit"])
    assert best["ObjectiveStatus"] == "Succeeded"
    assert best["TuningJobName"] == name
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize",
        "MetricName": "reward",
        "Value": 3.0,
    }

    job = aws.describe(best["TrainingJobName"])
    assert job["TuningJobArn"] == arn
    static = request["TrainingJobDefinition"]["StaticHyperParameters"]
    handed = {**static, "digit": "3", "_tuning_objective_metric": "reward"}
    assert job["HyperParameters"] == handed
    assert json.loads(aws.log(best["TrainingJobName"]).partition("\nReward: 0.5")[0]) == handed
    assert (job["Environment"], job["EnableNetworkIsolation"]) == ({"A": "b"}, True)
    assert aws.sm.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == request["Tags"]
    assert (best["TrainingStartTime"], best["TrainingEndTime"]) == (job["TrainingStartTime"], job["TrainingEndTime"])
    assert aws.archive(f"out/{best['TrainingJobName']}/output/model.tar.gz") == {"model.nn": "weights"}


def test_tags_search_and_deletion(tuner, aws):
    request = tuner.request("tell digit;if digit 2;term;wait", parallel=2, RandomSeed=3)
    request["Tags"] = [{"Key": "project", "Value": "walking"}]
    arn = tuner.sm.create_hyper_parameter_tuning_job(**request)["HyperParameterTuningJobArn"]
    name = request["HyperParameterTuningJobName"]
    tags = [{"Key": "project", "Value": "running"}, {"Key": "tuned", "Value": name}]
    assert tuner.sm.add_tags(ResourceArn=arn, Tags=tags)["Tags"] == tags
    tuner.sm.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert tuner.sm.list_tags(ResourceArn=arn)["Tags"] == tags[1:]
    with pytest.raises(ClientError, match="is in status InProgress"):
        tuner.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    aws.wait_for(lambda: len(done := tuner.trainings(name, StatusEquals="Completed")) == 2 and done)
    first = tuner.trainings(name, StatusEquals="Completed")[0]
    aws.deleted(first["TrainingJobName"])
    assert len(tuner.trainings(name)) == 2  # it is not created again
    tuner.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    tuner.ended(name)
    assert len(tuner.trainings(name)) == 2

    def search(*filters):
        expression = {"Filters": [dict(zip(("Name", "Operator", "Value"), one, strict=True)) for one in filters]}
        found = tuner.sm.search(Resource="HyperParameterTuningJob", SearchExpression=expression)["Results"]
        return [one["HyperParameterTuningJob"]["HyperParameterTuningJobName"] for one in found]

    mine = ("Tags.tuned", "Equals", name)
    assert search(mine, ("HyperParameterTuningJobConfig.Strategy", "Equals", "Grid")) == [name]
    assert search(mine, ("TrainingJobStatusCounters.Completed", "Equals", "1")) == [name]
    assert search(mine, ("HyperParameterTuningJobStatus", "Equals", "Completed")) == []
    aws.wait_for(lambda: tuning_deleted(tuner, name))
    with pytest.raises(ClientError, match="ResourceNotFound"):
        tuner.describe(name)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        tuner.sm.list_tags(ResourceArn=arn)
    assert aws.describe(first_left(aws, name))["TuningJobArn"] == arn  # its training jobs stay
    elsewhere = aws.client("sagemaker", region_name="eu-west-1")
    assert elsewhere.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


def first_left(aws, name):
    return aws.sm.list_training_jobs(NameContains=f"{name}-0")["TrainingJobSummaries"][0]["TrainingJobName"]


def tuning_deleted(tuner, name):
    try:
        return tuner.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        assert "is in status" in error.response["Error"]["Message"]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_values_are_within_their_ranges_and_follow_the_seed(tuner, strategy):
    trainings = tuner.trainings(tuner.run("tell rate", ranges=MIXED, strategy=strategy, jobs=5))
    tuned = [training["TunedHyperParameters"] for training in trainings]
    tried = [sampler.Tried(one, float(one["rate"])) for one in tuned]
    for number, one in enumerate(tuned):
        given = (strategy, sampler.read_ranges(MIXED), tried[:number])
        assert one == sampler.choose(*given, seed=1, maximise=True) != sampler.choose(*given, seed=2, maximise=True)
    assert len({json.dumps(one) for one in tuned}) == 5
    assert all(set(one) == {"rate", "gamma", "size", "normalize"} for one in tuned)
    assert all(1e-5 <= float(one["rate"]) <= 1e-2 and 0.9 <= float(one["gamma"]) <= 0.9999 for one in tuned)
    assert all(32 <= int(one["size"]) <= 64 and one["normalize"] in ("true", "false") for one in tuned)
    assert objectives(trainings) == [float(one["rate"]) for one in tuned]


def test_parallel_trainings_are_limited(tuner, aws):
    name = tuner.create("term;tell digit;wait", parallel=2)
    running = aws.wait_for(lambda: len(found := tuner.trainings(name)) == 2 and found)
    for training in running:
        aws.logged(training["TrainingJobName"])
    description = tuner.describe(name)
    assert description["TrainingJobStatusCounters"]["InProgress"] == 2
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 2, "Failed": 0}
    assert "BestTrainingJob" not in description
    assert len(tuner.trainings(name)) == 2  # the third has not begun
    aws.sm.stop_training_job(TrainingJobName=running[0]["TrainingJobName"])  # frees a slot for the next
    aws.wait_for(lambda: len(tuner.trainings(name)) == 3)
    tuner.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    tuner.ended(name)


def test_stopped_in_the_middle(tuner, aws):
    name = tuner.create("tell digit;model weights;if digit 2;term;wait", ranges=DIGITS, parallel=1, RandomSeed=3)
    waiting = aws.wait_for(
        lambda: next((t for t in tuner.trainings(name) if t["TunedHyperParameters"]["digit"] == "2"), None)
    )
    aws.logged(waiting["TrainingJobName"])
    before = tuner.trainings(name)
    tuner.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError, match="The request was rejected because the tuning job is in status Stop"):
        tuner.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    description = tuner.ended(name)
    assert description["HyperParameterTuningJobStatus"] == "Stopped"
    after = tuner.trainings(name)
    assert [t["TrainingJobName"] for t in after] == [t["TrainingJobName"] for t in before]  # none was launched
    finished = [t for t in after if t["TunedHyperParameters"]["digit"] != "2"]
    assert [t["TrainingJobStatus"] for t in finished] == ["Completed"] * (len(after) - 1)
    assert description["TrainingJobStatusCounters"]["Completed"] == len(after) - 1
    assert description["TrainingJobStatusCounters"]["Stopped"] == 1
    for training in after:  # models of what had ended and of what was stopped
        assert f"out/{training['TrainingJobName']}/output/model.tar.gz" in aws.keys("out/")


NO_METRIC = (
    "No objective metrics found after running 3 training jobs. Please ensure that the custom algorithm is emitting the "
    "objective metric as defined by the regular expression provided."
)
ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."
MINIMIZE = {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "reward"}}


@pytest.mark.parametrize(
    ("do", "config", "reason", "completed", "succeeded", "best"),
    [
        ("tell digit", MINIMIZE, None, 3, 3, "1"),
        ("tell digit;if digit 3;exit 1", {}, None, 2, 2, "2"),
        ("say no number here;model weights", {}, NO_METRIC, 3, 0, None),
        ("say Reward: 9;failure no player;exit 1", {"parallel": 3}, ALL_FAILED, 0, 0, None),
    ],
)
def test_how_a_tuning_job_ends(tuner, do, config, reason, completed, succeeded, best):
    description = tuner.run(do, **config)
    assert (description["HyperParameterTuningJobStatus"], description.get("FailureReason")) == (
        "Failed" if reason else "Completed",
        reason,
    )
    counters = description["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["NonRetryableError"]) == (completed, 3 - completed)
    assert description["ObjectiveStatusCounters"] == {"Succeeded": succeeded, "Pending": 0, "Failed": 3 - succeeded}
    found = description.get("BestTrainingJob")
    assert (found and found["TunedHyperParameters"]) == (best and {"digit": best})
    assert len(tuner.trainings(description, SortBy="FinalObjectiveMetricValue")) == succeeded
    statuses = [training["ObjectiveStatus"] for training in tuner.trainings(description)]
    assert sorted(statuses) == ["Failed"] * (3 - succeeded) + ["Succeeded"] * succeeded


def test_early_stopping(tuner):
    # With this seed 2, 3 and 4 complete; then 1 lags behind and would never end, and 5 does well.
    description = tuner.run(
        "term;tell digit;if digit 1;wait", ranges=digits(5), RandomSeed=16, TrainingJobEarlyStoppingType="Auto"
    )
    assert description["HyperParameterTuningJobStatus"] == "Completed"
    trainings = tuner.trainings(description)
    statuses = {t["TunedHyperParameters"]["digit"]: t["TrainingJobStatus"] for t in trainings}
    assert list(statuses.items()) == [
        ("2", "Completed"),
        ("3", "Completed"),
        ("4", "Completed"),
        ("1", "Stopped"),
        ("5", "Completed"),
    ]
    assert objectives(trainings) == [2, 3, 4, 1, 5]
    assert description["TrainingJobStatusCounters"]["Stopped"] == 1
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 5, "Pending": 0, "Failed": 0}


@pytest.mark.parametrize(
    ("values", "earlier", "maximise", "behind"),
    [
        ([5.0], [[4.0], [5.0], [6.0]], True, False),  # equal to the median
        ([4.9], [[4.0], [5.0], [6.0]], True, True),
        ([4.9], [[4.0], [5.0], [6.0]], False, False),
        ([5.1], [[4.0], [5.0], [6.0]], False, True),
        ([9.0, 5.1], [[4.0, 6.0, 99.0], [5.0, 5.0], [1.0, 9.0]], True, False),  # averages up to that step: 5, 5, 5
        ([9.0, 4.9], [[4.0, 6.0, 99.0], [5.0, 5.0], [1.0, 9.0]], True, True),
        ([0.0], [[4.0], [5.0]], True, False),  # too few to compare
        ([0.0, 0.0], [[4.0], [5.0], [6.0]], True, False),  # no other has as many values
    ],
)
def test_the_median_rule(values, earlier, maximise, behind):
    assert stopping.is_lagging(values, earlier, maximise) is behind


@pytest.mark.parametrize(
    ("objectives", "maximise", "count"),
    [([], True, 0), ([1.0, 1.0, 1.0], True, 2), ([1.0, 1.005, 1.02], True, 0), ([-10.0, -9.0, -9.0], False, 2)],
)
def test_trainings_that_do_not_improve(objectives, maximise, count):
    assert stopping.not_improving(objectives, maximise) == count


def test_completion_criteria(tuner):
    description = tuner.run(
        "say Reward: 1;if digit 2;say Reward: 5",
        ranges=digits(9),
        TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 5.0},
    )
    assert description["HyperParameterTuningJobStatus"] == "Completed"
    trainings = tuner.trainings(description)
    assert values(trainings, "digit")[-1] == "2" and len(trainings) < 9
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    description = tuner.run("say Reward: 1", ranges=digits(9), TuningJobCompletionCriteria=criteria)
    assert description["TrainingJobStatusCounters"]["Completed"] == 4


def digits(count):
    return {"CategoricalParameterRanges": [{"Name": "digit", "Values": [str(n) for n in range(1, count + 1)]}]}


def test_listing(tuner, aws):
    names = [tuner.create(strategy="Random", jobs=1, RandomSeed=n) for n in range(3)]
    description = {name: tuner.ended(name) for name in names}
    pages = tuner.sm.get_paginator("list_hyper_parameter_tuning_jobs").paginate(
        NameContains="TUNING-", SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": 2}
    )
    found = [summary for page in pages for summary in page["HyperParameterTuningJobSummaries"]]
    assert [summary["HyperParameterTuningJobName"] for summary in found[:3]] == names[::-1]
    assert found[0]["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 0}
    assert found[0]["ResourceLimits"] == {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 1}
    shared = {"HyperParameterTuningJobStatus", "CreationTime", "HyperParameterTuningEndTime", "LastModifiedTime"}
    assert {key: found[0][key] for key in shared} == {key: description[names[2]][key] for key in shared}
    before = description[names[0]]["CreationTime"] - timedelta(seconds=2)  # the protocol cuts times to whole seconds
    listed = tuner.sm.list_hyper_parameter_tuning_jobs(CreationTimeAfter=before, MaxResults=100)
    assert set(names) <= {one["HyperParameterTuningJobName"] for one in listed["HyperParameterTuningJobSummaries"]}
    listed = tuner.sm.list_hyper_parameter_tuning_jobs(CreationTimeBefore=before, MaxResults=100)
    assert not set(names) & {one["HyperParameterTuningJobName"] for one in listed["HyperParameterTuningJobSummaries"]}

    grid = tuner.run(RandomSeed=11)
    query = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending", "PaginationConfig": {"PageSize": 2}}
    assert objectives(tuner.trainings(grid, **query)) == [3.0, 2.0, 1.0]
    assert len(tuner.trainings(grid, StatusEquals="Completed")) == 3
    assert tuner.trainings(grid, StatusEquals="Failed") == []


def continuous(low, high, scale="Linear"):
    return {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": low, "MaxValue": high, "ScalingType": scale}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ranges": continuous("0.1", "0.01")},
            "The minimum value of parameter range rate, 0.1, must be less than its maximum value, 0.01",
        ),
        (
            {"ranges": continuous("0.1", "0.1")},
            "The minimum value of parameter range rate, 0.1, must be less than its maximum value, 0.1",
        ),
        (
            {"ranges": continuous("fast", "1")},
            "The minimum and maximum of a parameter range must be numbers: could not convert string to float: 'fast'",
        ),
        (
            {"ranges": continuous("0", "1", "Logarithmic")},
            "Logarithmic scaling of rate works only for values greater than 0, it begins at 0.0",
        ),
        (
            {"ranges": continuous("0.5", "1", "ReverseLogarithmic")},
            "ReverseLogarithmic scaling of rate works only for ranges within 0 <= x < 1.0, this one is 0.5 to 1.0",
        ),
        ({"ranges": {}}, "A hyperparameter tuning job must have 1 to 30 parameter ranges, this one has 0"),
        (
            {"ranges": {"CategoricalParameterRanges": [{"Name": "do", "Values": ["a"]}]}},
            "Hyperparameter do can't be both in StaticHyperParameters and in ParameterRanges",
        ),
        (
            {"ranges": DIGITS, "jobs": 10},
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            "combinations for the provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, "
            "[10]. Provide additional ranges.",
        ),
        (
            {"ranges": continuous("0.1", "0.2"), "strategy": "Grid"},
            "Grid search takes CategoricalParameterRanges only. List the values that are to be tried.",
        ),
        (
            {"ranges": DIGITS, "strategy": "Grid", "jobs": 2},
            "MaxNumberOfTrainingJobs of a grid search must be equal to the number of distinct categorical "
            "combinations, 3, or left out. It is 2.",
        ),
        (
            {
                "definition": {
                    "HyperParameterTuningResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                }
            },
            "You can provide either ResourceConfig or HyperParameterTuningResourceConfig, not both.",
        ),
        (
            {"definition": {"RoleArn": "arn:aws:iam::123456789012:role/nobody"}},
            "Could not assume role arn:aws:iam::123456789012:role/nobody. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role.",
        ),
        (
            {"strategy": "Hyperband"},
            "The embedded AWS can't run this tuning job: Strategy Hyperband is not supported, only Bayesian, Random "
            "and Grid are; set TrainingJobEarlyStoppingType to Auto to have weak trainings stopped.",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "loss"}},
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            "definitions. The objective is loss, the metric definitions have: reward.",
        ),
        (
            {"definition": {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2}}},
            "The embedded AWS can't run this job: ResourceConfig must name one InstanceType and InstanceCount 1.",
        ),
    ],
)
def test_requests_are_refused(tuner, changes, message):
    request = tuner.request(**{"strategy": "Random", **changes})
    assert tuner.refusal(request) == ("ValidationException", message)


def test_names_are_unique(tuner):
    name = tuner.create()
    request = {**tuner.request(), "HyperParameterTuningJobName": name.upper()}
    with pytest.raises(ClientError, match="ResourceInUse.*a tuning job with this name already exists"):
        tuner.sm.create_hyper_parameter_tuning_job(**request)
    tuner.ended(name)
    assert len(tuner.trainings(name)) == 3


@pytest.mark.parametrize("third", ["waited", "was only saved"])
def test_killed_and_started_again(own, third):
    aws = own.start(EMBEDDED_MAX_JOBS="1")
    tuner = Tuner(aws)
    done = tuner.run(RandomSeed=4)
    # The first training has ended, the second runs, the third waits for its turn on the machine.
    _, second, _ = values(tuner.trainings(done), "digit")
    name = tuner.create(f"tell digit;if digit {second};deaf;wait", RandomSeed=4, parallel=2)
    running = aws.wait_for(
        lambda: next((t for t in tuner.trainings(name) if t["TunedHyperParameters"]["digit"] == second), None)
    )
    aws.logged(running["TrainingJobName"])
    aws.wait_for(lambda: len(tuner.trainings(name)) == 3)
    before = tuner.trainings(name)
    os.kill(aws.server.pid, signal.SIGKILL)
    own.wait_for(lambda: embedded.find() is None)
    if third == "was only saved":  # as if the server had been killed before creating it
        shutil.rmtree(aws.folder(before[2]["TrainingJobName"]))

    aws = own.start()
    tuner = Tuner(aws)
    description = tuner.ended(name)
    assert description["HyperParameterTuningJobStatus"] == "Completed"
    after = tuner.trainings(name)
    assert [t["TrainingJobName"] for t in after] == [t["TrainingJobName"] for t in before]  # none was created twice
    assert [t["TunedHyperParameters"] for t in after] == [t["TunedHyperParameters"] for t in before]
    assert [t["TrainingJobStatus"] for t in after] == ["Completed", "Failed", "Completed"]
    assert after[1]["FailureReason"].startswith("InternalServerError: the embedded AWS ended without stopping this job")
    assert description["TrainingJobStatusCounters"] == {
        "Completed": 2,
        "InProgress": 0,
        "RetryableError": 1,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 1}
    again = tuner.describe(done["HyperParameterTuningJobName"])
    assert again == done
    assert len(aws.sm.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]) == 6


def test_account_limits_are_retried(own):
    aws = own.start(EMBEDDED_JOBS_QUOTA="1")
    tuner = Tuner(aws)
    blocking = aws.create("term;wait")
    aws.logged(blocking)
    name = tuner.create(parallel=2)
    aws.wait_for(lambda: (aws.server.home / "tuning" / name / "tuning.json").read_text().count('"name"'))
    assert tuner.describe(name)["HyperParameterTuningJobStatus"] == "InProgress"
    assert tuner.trainings(name) == []
    aws.sm.stop_training_job(TrainingJobName=blocking)
    description = tuner.ended(name)
    assert description["HyperParameterTuningJobStatus"] == "Completed"
    assert description["TrainingJobStatusCounters"]["Completed"] == 3


def test_stopped_with_its_server(own):
    aws = own.start(EMBEDDED_MAX_JOBS="1")
    tuner = Tuner(aws)
    name = tuner.create("tell digit;term;wait")
    [training] = aws.wait_for(lambda: tuner.trainings(name))
    aws.logged(training["TrainingJobName"])
    embedded.stop()
    tuner = Tuner(own.start())
    description = tuner.describe(name)
    assert description["HyperParameterTuningJobStatus"] == "Stopped"
    assert [t["TrainingJobStatus"] for t in tuner.trainings(name)] == ["Stopped"]


def test_bayesian_search_uses_rewards_after_the_first_few_trainings():
    ranges = [
        sampler.Range("rate", "Continuous", 1e-4, 1e-2, "Logarithmic"),
        sampler.Range("size", "Categorical", values=("64", "128", "256")),
    ]

    def choose(rewards):
        """Choose the next after trainings with these rewards, whose own choices were made without rewards."""
        tried = []
        for _ in rewards:
            chosen = sampler.choose("Bayesian", ranges, tried, seed=1, maximise=True)
            tried.append(sampler.Tried(chosen, 0.0))
        tried = [sampler.Tried(one.hyperparameters, reward) for one, reward in zip(tried, rewards, strict=True)]
        return sampler.choose("Bayesian", ranges, tried, seed=1, maximise=True)

    assert sampler.FIRST_AT_RANDOM == 3
    assert choose([1.0, 2.0]) == choose([2.0, 1.0])
    assert choose([1.0, 2.0, 3.0]) != choose([3.0, 2.0, 1.0])
