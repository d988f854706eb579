"""Everything of the project is found and deleted, and nothing else, whatever it is called."""

from datetime import datetime, timedelta, timezone

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import training_image as image
from account_setup import (
    LeftoversError,
    Settings,
    delete,
    find,
    follow,
    leftovers,
    make_request,
    wait_for_change_set,
)
from account_setup.leftovers import KINDS, Item, Leftovers
from common.aws_session import Connection
from training_jobs import LOG_GROUP

BUCKET = "mlagents-us-east-1-123456789012"
WHO = "arn:aws:iam::123456789012:user/me"
OBJECTS = {
    "unity-volume/0123456789abcdef/3DBall.x86_64": "builds",
    "unity-volume/0123456789abcdef/SHA256SUMS": "builds",
    "checkpoints/20260101-120000-abcd/models/checkpoint": "checkpoints",
    "training/mlagents-1/output/output.tar.gz": "results",
}
WHOLE = Settings(keep_days=30, mail="me@example.com", budget_usd=20)


@pytest.fixture
def account(session):
    """Set the account up, and delete everything at the end."""
    cloudformation = session.client("cloudformation")
    made = cloudformation.create_change_set(**make_request(session, WHOLE))
    cloudformation.execute_change_set(ChangeSetName=wait_for_change_set(cloudformation, made["Id"], 0.01).name)
    follow(cloudformation, poll_seconds=0.01)
    yield session
    found = find(session)
    delete(session, found, KINDS, sure=True, poll_seconds=0.05)


OURS = {"project": "mlagents"}


def train(session, name, do="model trained", tags=OURS, bucket=BUCKET, keep_alive=0):
    """Have a job run as a notebook would."""
    session.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn="arn:aws:iam::123456789012:role/mlagents-training",
        AlgorithmSpecification={"TrainingImage": "trainer:test", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/training"},
        ResourceConfig={
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 6 if keep_alive else 5,
            "KeepAlivePeriodInSeconds": keep_alive,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"do": do},
        Tags=[{"Key": key, "Value": value} for key, value in dict(tags).items()],
    )


def upload(session):
    s3 = session.client("s3")
    for key in OBJECTS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 1000)
    part = {"Bucket": BUCKET, "Key": "unity-volume/0123456789abcdef/large"}
    part["UploadId"] = s3.create_multipart_upload(**part)["UploadId"]
    s3.upload_part(**part, PartNumber=1, Body=b"x" * 700)


def test_set_up_train_and_delete_leaves_the_account_as_it_was(session, list_account):
    before = list_account(session)
    cloudformation = session.client("cloudformation")
    made = cloudformation.create_change_set(**make_request(session, WHOLE))
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    follow(cloudformation, poll_seconds=0.01)
    upload(session)
    s3 = session.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="checkpoints/again", Body=b"first")
    s3.put_object(Bucket=BUCKET, Key="checkpoints/again", Body=b"second")
    s3.delete_object(Bucket=BUCKET, Key="checkpoints/again")
    connection = Connection("embedded", session, "123456789012", "us-east-1", BUCKET, "")
    assert image.build_in_codebuild(connection, image.read(connection), poll_seconds=0.1).digest == ""  # recorded only
    train(session, "mlagents-1", keep_alive=3600)
    train(session, "mlagents-2", do="term;model trained;wait")
    session.client("sagemaker").get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="mlagents-1", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    found = find(session)
    assert found.kept == ()
    assert {kind: len(found[kind]) for kind in KINDS if found[kind]} == {
        "running": 2,  # a job, and the machine that another has left
        "builds": 2,
        "checkpoints": 4,  # one, two versions of another, and the mark that it was deleted
        "results": 2,  # the job's model beside the archive above
        "sources": 1,
        "uploads": 1,
        "logs": len(found["logs"]),
        "stack": 1,
    }
    assert {item.name.partition("/")[0] for item in found["logs"] if item.place == LOG_GROUP} <= {
        *("mlagents-1", "mlagents-2"),
    }
    assert [item.size > 0 for item in found["logs"] if item.place == leftovers.BUILD_LOG] == [True]
    assert [item.size for item in found["uploads"]] == [700]
    table = found.table
    assert list(table.index) == [kind for kind in KINDS if found[kind]]
    assert table.loc["builds"].to_dict() == {
        "count": 2,
        "MB": 0.002,
        "days": 0,
        "USD a month": "under 0.01",
        "where": BUCKET,
    }
    assert table.loc["running", "USD a month"] == "0.23 an hour"  # two of ml.m5.large
    message = delete(session, found, KINDS, poll_seconds=0.05)
    assert message.startswith(
        "Would stop 2 running jobs or builds and delete 2 objects of builds, 4 objects of checkpoints, 2 objects of results, "
        "1 object of sources, 1 unfinished upload, "
    )
    assert message.endswith(" 1 stack. Nothing was deleted: set sure = True.")
    assert [item.name for item in find(session).items] == [item.name for item in found.items]
    message = delete(session, found, KINDS, sure=True, poll_seconds=0.05)
    assert message.startswith("Stopped 2 running jobs or builds and deleted 2 objects of builds, 4 objects ")
    assert message.endswith(" 2 records of jobs, 1 stack.")
    assert str(find(session)) == ("Nothing of this project is left in us-east-1. Other regions were not looked at.")
    assert delete(session, find(session), KINDS) == "Nothing was deleted: there is nothing of these kinds."
    assert list_account(session) == before


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (
            ["stack"],
            "Expected the bucket to be empty by then, found builds, checkpoints, results, uploads in it. Add them.",
        ),
        ("stack", "Expected a list of kinds, found the text 'stack'. Write ['stack']."),
        (["all"], f"Expected kinds of {', '.join(KINDS)}, found 'all'."),
    ],
)
def test_what_cannot_be_deleted_so_is_refused_before_anything_is(account, kinds, message):
    upload(account)
    found = find(account)
    with pytest.raises(LeftoversError) as error:
        delete(account, found, kinds, sure=True)
    assert str(error.value) == message
    assert find(account).items == found.items


def test_objects_of_a_running_job_are_kept_until_it_is_stopped():
    running = Item("running", "TrainingJob", "mlagents-1")
    found = Leftovers((running, Item("results", BUCKET, "training/x")))
    with pytest.raises(LeftoversError) as error:
        delete(None, found, ["results"], sure=True)
    assert str(error.value) == (
        'Expected no job to run that writes what is to be deleted, found mlagents-1. Add "running".'
    )


def test_the_stack_demands_what_is_in_its_bucket_and_its_repository_alone():
    """Its log group is deleted with what is in it."""
    items = (
        Item("stack", "CloudFormation", "mlagents"),
        Item("builds", BUCKET, "unity-volume/x"),
        Item("images", "mlagents-0.11.0", "sha256:1"),
        Item("logs", leftovers.BUILD_LOG, "s"),
    )
    found = Leftovers(items, stack_owns=(BUCKET, "mlagents-0.11.0", leftovers.BUILD_LOG))
    with pytest.raises(LeftoversError) as error:
        delete(None, found, ["stack"], sure=True)
    assert str(error.value) == (
        "Expected the bucket and the repository to be empty by then, found builds, images in them. Add them."
    )
    assert delete(None, found, ["builds", "images", "stack"]) == (
        "Would delete 1 object of builds, 1 image, 1 stack. Nothing was deleted: set sure = True."
    )
    assert delete(None, found, []) == (
        'Nothing was deleted: no kinds are named. Name them in delete, such as ["running", "checkpoints"].'
    )


def test_what_runs_has_its_price_an_hour_where_it_is_known():
    known = Item("running", "TrainingJob", "mlagents-1", usd_per_hour=0.204)
    tuning = Item("running", "HyperParameterTuningJob", "mlagents-2")  # the jobs that it starts are billed
    build = Item("running", "CodeBuild", "mlagents-image:1")
    costs = [Leftovers(items).table.loc["running", "USD a month"] for items in ((known, tuning), (known, build))]
    assert costs == ["0.20 an hour", "by the second"]


def test_foreign_objects_keep_the_bucket(account):
    upload(account)
    account.client("s3").put_object(Bucket=BUCKET, Key="unity-volumes/mine", Body=b"x")
    found = find(account)
    assert found.kept == (f"s3://{BUCKET}/unity-volumes/",)
    with pytest.raises(LeftoversError) as error:
        delete(account, found, KINDS, sure=True)
    assert str(error.value) == (
        f"Expected the bucket to hold nothing but this project's, found s3://{BUCKET}/unity-volumes/, which stays "
        'untouched, and so does the bucket. Move it elsewhere first, or leave out "stack" and "bucket".'
    )
    assert delete(account, found, ["builds", "checkpoints"], sure=True) == (
        "Deleted 2 objects of builds, 1 object of checkpoints."
    )
    account.client("s3").delete_object(Bucket=BUCKET, Key="unity-volumes/mine")


def test_a_deletion_that_stops_half_way_goes_on(account):
    upload(account)
    found = find(account)
    message = f"User: {WHO} is not authorized to perform: s3:AbortMultipartUpload on resource: x"
    refused = {"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    account.events.register(
        "before-call.s3.AbortMultipartUpload", lambda **_: (AWSResponse("", 403, {}, None), refused), unique_id="refuse"
    )
    kinds = ["builds", "results", "uploads"]
    with pytest.raises(LeftoversError) as error:
        delete(account, found, kinds, sure=True)
    account.events.unregister("before-call.s3.AbortMultipartUpload", unique_id="refuse")
    assert str(error.value) == (
        "Expected to be allowed to call AbortMultipartUpload, found that AWS refuses. You lack the permission "
        f"s3:AbortMultipartUpload, which the policy `user` has; `.venv/bin/python -m account_check.policies user --account "
        f"123456789012 --region us-east-1 --role mlagents-training --user {WHO}` prints all that it takes (An error occurred "
        f"(AccessDenied) when calling the AbortMultipartUpload operation: {message}). Until then: deleted 2 objects of "
        "builds, 1 object of results. What is deleted stays deleted; running this again goes on."
    )
    assert delete(account, found, kinds, sure=True) == (  # some were gone
        "Deleted 2 objects of builds, 1 object of results, 1 unfinished upload."
    )
    assert [item.kind for item in find(account).items] == ["checkpoints", "stack"]


NEAR = st.sampled_from(["unity-volume", "checkpoints", "training", "mlagents-1", "mlagents", "project"])
AROUND = st.text("abAB-_./1 ", max_size=4)
NAMES = st.builds(lambda *parts: "".join(parts), AROUND, NEAR, AROUND)


def is_key(name):
    return not (
        {"", ".", ".."} & set(name.split("/")[:-1]) or name.split("/")[-1] in (".", "..") or name.startswith("/")
    )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(keys=st.lists(NAMES.filter(is_key), min_size=1, max_size=4, unique=True))
def test_no_foreign_object_is_touched(account, keys):
    """Those below our places are ours, whoever put them there."""
    s3 = account.client("s3")
    ours = {*OBJECTS, *(key for key in keys if key.startswith(("unity-volume/", "checkpoints/", "training/")))}
    foreign = set(keys) - ours
    for key in {*ours, *foreign}:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    uploads = {key: s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"] for key in foreign}
    found = find(account)
    kinds = ["builds", "checkpoints", "results", "uploads"]
    assert {item.name for item in found.items if item.kind in kinds} == ours
    delete(account, found, kinds, sure=True)
    left = {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}
    open_still = {each["Key"] for each in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])}
    assert (left, open_still) == (foreign, foreign)
    for key in foreign:
        s3.delete_object(Bucket=BUCKET, Key=key)
        s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=uploads[key])


@given(name=NAMES | st.builds("mlagents-{}".format, AROUND), project=st.none() | NAMES | st.just("mlagents"))
def test_a_job_is_ours_by_name_and_tag(name, project):
    tags = {} if project is None else {"project": project}
    assert leftovers.is_ours(name, tags) == (name[:9] == "mlagents-" and project == "mlagents")


def wait(session, *names):
    for name in names:
        session.client("sagemaker").get_waiter("training_job_completed_or_stopped").wait(
            TrainingJobName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
        )


def test_a_stack_of_the_same_name_without_the_tag_stays(session):
    cloudformation = session.client("cloudformation")
    request = make_request(session, Settings(bucket="somebody-elses-data")) | {"Tags": []}
    made = cloudformation.create_change_set(**request)
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    follow(cloudformation, poll_seconds=0.01)
    found = find(session)
    assert "stack mlagents" in found.kept and not found["stack"]
    assert "somebody-elses-data" not in str(found.items)
    cloudformation.delete_stack(StackName="mlagents")
    assert find(session).kept == ()


def test_jobs_and_logs_of_others_stay(account):
    train(account, "mlagents-ours")
    train(account, "mlagents-other", tags={"project": "another"})
    train(account, "mlagents-untagged", tags={})
    train(account, "my-mlagents-1")
    wait(account, "mlagents-ours", "mlagents-other", "mlagents-untagged", "my-mlagents-1")
    logs = account.client("logs")
    for stream in ("mlagents-ours/more", "mlagents/algo", "Mlagents-1/algo", "mlagents-other/more", "mlagents-gone/x"):
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    found = find(account)
    assert {item.name.partition("/")[0] for item in found["logs"]} == {"mlagents-ours"}
    assert "mlagents-ours/more" in [item.name for item in found["logs"]]
    assert [item.name for item in found["records"]] == ["mlagents-ours"]
    assert found.kept == ("mlagents-gone", "mlagents-other", "mlagents-untagged")
    with pytest.raises(LeftoversError) as error:
        delete(account, found, ["logs", "records"])
    assert str(error.value).startswith("Expected records to be deleted together with results: without a job's record ")
    delete(account, found, ["logs", "results", "records"], sure=True)
    names = {each["logStreamName"] for each in logs.describe_log_streams(logGroupName=LOG_GROUP)["logStreams"]}
    assert "mlagents-ours/more" not in names
    assert names >= {"mlagents/algo", "Mlagents-1/algo", "mlagents-other/more", "mlagents-gone/x"}
    for name in ("mlagents-other", "mlagents-untagged", "my-mlagents-1"):
        account.client("sagemaker").delete_training_job(TrainingJobName=name)
    logs.delete_log_group(logGroupName=LOG_GROUP)


def test_in_a_bucket_of_the_readers_own_only_what_we_wrote_is_deleted(session, account):
    """Prefixes such as training/ are common words: others may write below them, too."""
    s3 = session.client("s3")
    s3.create_bucket(Bucket="readers-own")
    theirs = ["checkpoints/theirs/weights", "training/mlagents-theirs/output/model.tar.gz", "unity-volume/notes.txt"]
    sources = "image-source/0123456789abcdef.zip"
    theirs.append("image-source/notes.zip")
    for key in (*theirs, sources, "unity-volume/0123456789abcdef/3DBall.x86_64", "training/mlagents-9/output/more"):
        s3.put_object(Bucket="readers-own", Key=key, Body=b"x")
    train(session, "mlagents-9", bucket="readers-own")
    wait(session, "mlagents-9")
    found = find(session, "readers-own")
    kept = ["checkpoints/theirs", "image-source/notes.zip", "training/mlagents-theirs", "unity-volume/notes.txt"]
    assert [item.name for item in found["sources"]] == [sources]
    assert found.kept == (*(f"s3://readers-own/{key}" for key in kept), "s3://readers-own")
    assert [item.name for item in found["builds"]] == ["unity-volume/0123456789abcdef/3DBall.x86_64"]
    assert [item.name for item in found["results"]] == [
        "training/mlagents-9/output/model.tar.gz",
        "training/mlagents-9/output/more",
    ]
    assert found["checkpoints"] == found["bucket"] == ()
    delete(session, found, ["builds", "results", "sources", "checkpoints", "records", "logs"], sure=True)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="readers-own")["Contents"]] == sorted(theirs)
    for key in theirs:
        s3.delete_object(Bucket="readers-own", Key=key)
    s3.delete_bucket(Bucket="readers-own")


@pytest.mark.parametrize("repository", ["mlagents-0.11.0", "mlagents-1.1.0"])
def test_images_are_deleted_by_their_digests(repository):
    """ECR's own words, since pushing takes an engine."""
    ecr = boto3.client("ecr")
    session = type("Session", (), {"client": lambda self, service: ecr})()
    now = datetime.now(timezone.utc)
    digests = [f"sha256:{number:064x}" for number in range(101)]
    details = [
        {"imageDigest": digest, "imageTags": tags, "imageSizeInBytes": 10**9, "imagePushedAt": now}
        for digest, tags in zip(
            [*digests, "sha256:theirs"], [[], *[[f"{n:016x}"] for n in range(100)], ["latest"]], strict=True
        )
    ]
    with Stubber(ecr) as stub:
        named = {"repositoryName": repository}
        stub.add_response("describe_images", {"imageDetails": details}, named)
        images, foreign = leftovers._list_images(session, repository)
        found = Leftovers((*images, Item("repository", "ECR", repository)), tuple(foreign))
        assert found.kept == (f"image {repository}:latest",)
        with pytest.raises(LeftoversError, match=rf"found image {repository}:latest\. Leave out \"repository\""):
            delete(session, found, ["images", "repository"])
        for start, end in ((0, 100), (100, 101)):
            ids = [{"imageDigest": digest} for digest in digests[start:end]]
            stub.add_response("batch_delete_image", {}, {**named, "imageIds": ids})
        assert sum(leftovers._delete_images(session, found["images"], 0)) == 101
        failure = {"imageId": ids[0], "failureCode": "ImageReferencedByManifestList", "failureReason": "referenced"}
        stub.add_response("batch_delete_image", {"failures": [failure]})
        with pytest.raises(LeftoversError, match=r"^ECR keeps an image: referenced\. Run this again\.$"):
            list(leftovers._delete_images(session, found["images"][:1], 0))
    assert found.table.loc["images", "USD a month"] == "10.10"


def test_a_bucket_of_somebody_else_is_said_and_the_rest_listed(session):
    refused = {"Error": {"Code": "403", "Message": "Forbidden"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    event = "before-call.s3.HeadBucket"
    session.events.register(event, lambda **_: (AWSResponse("", 403, {}, None), refused), unique_id="refuse")
    found = find(session)
    session.events.unregister(event, unique_id="refuse")
    assert found.kept == (f"s3://{BUCKET}, which S3 refuses to show: somebody else's, or you lack s3:ListBucket",)


@pytest.mark.parametrize(
    ("call", "message", "gone"),
    [("delete_training_job", "Requested resource not found.", True), ("delete_training_job", "It is in use", False)],
)
def test_a_refused_deletion_is_not_counted(call, message, gone):
    sagemaker = boto3.client("sagemaker")
    session = type("Session", (), {"client": lambda self, service: sagemaker})()
    with Stubber(sagemaker) as stub:
        stub.add_client_error(call, "ValidationException", message)
        counts = leftovers._delete_records(session, (Item("records", "TrainingJob", "mlagents-1"),), 0)
        if gone:
            assert list(counts) == [1]
        else:
            with pytest.raises(ClientError, match=message):
                list(counts)


def test_the_age_of_what_has_no_date_is_left_out():
    made = datetime.now(timezone.utc) - timedelta(days=3, hours=1)
    table = Leftovers((Item("bucket", "S3", "b"), Item("logs", "g", "s", made=made))).table
    assert table["days"].to_dict() == {"logs": 3, "bucket": ""}


def test_what_aws_does_not_let_be_listed_is_said(session):
    refused = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    session.events.register(
        "before-call.sagemaker.Search", lambda **_: (AWSResponse("", 403, {}, None), refused), unique_id="refuse"
    )
    with pytest.raises(LeftoversError) as error:
        find(session)
    session.events.unregister("before-call.sagemaker.Search", unique_id="refuse")
    assert str(error.value) == (
        "Expected to be allowed to call Search, found that AWS refuses. You lack a permission; `.venv/bin/python -m "
        "account_check.policies user --account ACCOUNT --region us-east-1 --role mlagents-training` prints all that it takes "
        "(An error occurred (AccessDenied) when calling the Search operation: no)."
    )
    with pytest.raises(ClientError):
        session.client("s3").head_bucket(Bucket=BUCKET)
