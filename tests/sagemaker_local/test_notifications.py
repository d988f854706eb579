"""The event of a job that ended becomes an email if a rule matches, and nothing else does."""

import email
import json

import pytest
from botocore.exceptions import ClientError

from sagemaker_local import notifications

PATTERN = {"source": ["aws.sagemaker"], "detail": {"TrainingJobName": [{"prefix": "mlagents-"}]}}


class Job:
    name, status, failure, region = "mlagents-1", "Failed", "no reward", "us-east-1"
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/mlagents-1"


@pytest.fixture
def topic(connection):
    sns, events = connection.client("sns"), connection.client("events")
    topic = sns.create_topic(Name="ended")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.com")
    target = {"Id": "mail", "Arn": topic}
    paths = {"job": "$.detail.TrainingJobName", "status": "$.detail.TrainingJobStatus"}
    target["InputTransformer"] = {"InputPathsMap": paths, "InputTemplate": '"<job>: <status>"'}
    events.put_rule(Name="ended", EventPattern=json.dumps(PATTERN))
    events.put_targets(Rule="ended", Targets=[target])
    yield topic
    events.remove_targets(Rule="ended", Ids=["mail"])
    events.delete_rule(Name="ended")
    sns.delete_topic(TopicArn=topic)


@pytest.mark.parametrize(("name", "mails"), [("mlagents-1", 1), ("other-1", 0)])
def test_a_mail_is_written_for_the_jobs_of_the_rule(connection, topic, tmp_path, name, mails):
    job = type("OtherJob", (Job,), {"name": name})
    rules = connection.home / "events.jsonl"
    notifications.Notifier(tmp_path / "mail", rules, lambda service, _: connection.client(service)).notify(job)
    found = [email.message_from_bytes(file.read_bytes()) for file in (tmp_path / "mail").glob("*.eml")]
    assert [(mail["To"], mail.get_payload().strip()) for mail in found] == [
        ("me@example.com", '"mlagents-1: Failed"')
    ] * mails


@pytest.mark.parametrize(
    ("arn", "kind", "detail_type"),
    [
        ("training-job/a", "TrainingJob", "SageMaker Training Job State Change"),
        ("hyper-parameter-tuning-job/a", "HyperParameterTuningJob", "SageMaker HyperParameter Tuning Job State Change"),
    ],
)
def test_the_event_of_a_job_and_of_a_tuning_job(arn, kind, detail_type):
    job = type("OtherJob", (Job,), {"arn": f"arn:aws:sagemaker:us-east-1:123456789012:{arn}"})
    event = notifications.make_event(job)
    about = {
        f"{kind}Name": "mlagents-1",
        f"{kind}Arn": job.arn,
        f"{kind}Status": "Failed",
        "FailureReason": "no reward",
    }
    assert (event["detail-type"], event["detail"]) == (detail_type, about)


def test_without_rules_no_call_is_made(tmp_path):
    notifications.Notifier(tmp_path / "mail", tmp_path / "events.jsonl", None).notify(Job())
    assert not (tmp_path / "mail").exists()


def test_only_email_addresses_can_be_subscribed(connection, topic):
    with pytest.raises(ClientError, match="Protocol: the embedded AWS supports only email"):
        connection.client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:1/")
