"""What the project made in an account, found by tags, names and places; selected kinds of it are deleted."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from account_setup.settings import SetUpError
from account_setup.stack import BUILD_LOG, POLL_SECONDS, STACK, delete_stack, explain, find_stack, is_foreign
from common.aws_session import PROJECT_TAG, Connection, code, default_bucket
from common.bar import make as make_bar
from common.contract import CHANNEL
from training_image.name import PROJECT, REPOSITORIES, SOURCES
from training_jobs import JOB_PREFIX, LOG_GROUP, cost

TAG, VALUE = PROJECT_TAG["Key"], PROJECT_TAG["Value"]
OURS = f"{JOB_PREFIX}-"
HASH = "[0-9a-f]{16}"
"""A content hash, as in the name of an upload or the tag of an image."""
PLACES = {"builds": f"{CHANNEL}/", "checkpoints": "checkpoints/", "results": "training/", "sources": SOURCES}
"""Kind of objects -> where they lie in the bucket."""
UPLOADED = re.compile(rf"{CHANNEL}/{HASH}/|{SOURCES}{HASH}\.zip$")
"""Keys of uploads, and of the image's sources: both are named by their content."""
KINDS = {
    "running": "jobs, warm pools and builds of the image, which cost by the second; jobs save their model first",
    **{kind: f"objects below {place}, with all their versions" for kind, place in PLACES.items()},
    "uploads": "uploads that were never finished, invisible in the console's list of objects",
    "images": f"images in the ECR repositories {' and '.join(REPOSITORIES.values())}",
    "logs": f"log streams in {LOG_GROUP} and of builds of the image",
    "records": "SageMaker's records of jobs that have ended, which cost nothing",
    "bucket": "the bucket, where no stack owns it; must be empty",
    "repository": "the ECR repository, where no stack owns it; must be empty",
    "stack": "the stack with all that it made; its bucket and its repository must be empty",
}
"""Kinds of resources, in the order of their deletion."""
NOUNS = {
    "running": ("running job or build", "running jobs or builds"),
    **{kind: (f"object of {kind}", f"objects of {kind}") for kind in PLACES},
    "uploads": ("unfinished upload", "unfinished uploads"),
    "images": ("image", "images"),
    "logs": ("log stream", "log streams"),
    "records": ("record of a job", "records of jobs"),
    "bucket": ("bucket", "buckets"),
    "repository": ("repository", "repositories"),
    "stack": ("stack", "stacks"),
}
"""Kind -> what one of it is called, and several."""
USD_A_MONTH = {"builds": 0.023, "checkpoints": 0.023, "results": 0.023, "uploads": 0.023, "images": 0.10, "logs": 0.03}
USD_A_MONTH["sources"] = USD_A_MONTH["builds"]
"""Price of a gigabyte a month in us-east-1, USD; not verified against AWS's pages, which docs/costs.md links."""
RUNNING = ("InProgress", "Stopping")
TUNING = "HyperParameterTuningJob"
USD_AN_HOUR = {price.instance_type: price.usd_per_hour for price in cost.TABLE}
BY_RECORDS = ("checkpoints", "results", "uploads", "logs")
"""Kinds that `find` can tell by the records of the jobs that wrote them."""
NOT_FOUND = re.compile(r"not found|does not exist|could not find", re.IGNORECASE)
"""How SageMaker's ValidationException says that a job is gone."""
AT_ONCE = {"objects": 1_000, "images": 100}
"""How many DeleteObjects and BatchDeleteImage take."""


class LeftoversError(RuntimeError):
    """Something cannot be deleted as asked; the message says what has been, and what to do."""


@dataclass(frozen=True)
class Item:
    """One thing that the project made.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    place : str
        The bucket, the repository, the log group, or the kind of a job: where it is.
    name : str
        Its key, digest, stream or name.
    version : str
        Version of an object, or ID of an upload.
    size : int
        Bytes; 0 for what has none.
    made : datetime or None
        None where AWS does not say it.
    usd_per_hour : float
        Price of what runs, on demand in us-east-1, USD; 0 where it is unknown.
    """

    kind: str
    place: str
    name: str
    version: str = ""
    size: int = 0
    made: datetime | None = field(default=None, compare=False)
    usd_per_hour: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Leftovers:
    """What was found at one moment.

    Attributes
    ----------
    items : tuple of Item
    kept : tuple of str
        What lies beside it and is not the project's.
    bucket, stack, region : str
        Where `find` looked.
    stack_owns : tuple of str
        Names of what is deleted with the stack.
    """

    items: tuple[Item, ...]
    kept: tuple[str, ...] = ()
    bucket: str = ""
    stack: str = STACK
    stack_owns: tuple[str, ...] = ()
    region: str = ""

    def __getitem__(self, kind: str) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.kind == kind)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each kind that there is: how many, megabytes, days since the oldest, cost in USD, where."""
        now, rows = datetime.now(timezone.utc), {}
        for kind in KINDS:
            if found := self[kind]:
                size = sum(item.size for item in found)
                made = [item.made for item in found if item.made]
                rows[kind] = {
                    "count": len(found),
                    "MB": round(size / 1e6, 3),
                    "days": max(0, (now - min(made)).days) if made else "",
                    "USD a month": _show_usd(size / 1e9 * USD_A_MONTH.get(kind, 0.0)),
                    "where": ", ".join(sorted({item.place for item in found})),
                }
        if running := [item.usd_per_hour for item in self["running"] if item.place != TUNING]:  # whose jobs are billed
            rows["running"]["USD a month"] = f"{_show_usd(sum(running))} an hour" if all(running) else "by the second"
        return pd.DataFrame.from_dict(rows, orient="index", columns=["count", "MB", "days", "USD a month", "where"])

    def __str__(self) -> str:
        if not self.items:
            return f"Nothing of this project is left in {self.region}. Other regions were not looked at."
        return _count({kind: len(self[kind]) for kind in KINDS})


def _show_usd(usd: float) -> str:
    return f"{usd:.2f}" if usd >= 0.005 else "under 0.01" if usd else "0"


def _count(counts: Mapping[str, int]) -> str:
    """Return how many there are of each kind, in words, such as "2 images, 1 stack"."""
    return ", ".join(f"{count} {NOUNS[kind][count > 1]}" for kind, count in counts.items() if count)


def _tell(counts: Mapping[str, int], stop: str, delete: str) -> str:
    """Return what is stopped and deleted, with these two verbs."""
    stopped = _count({kind: count for kind, count in counts.items() if kind == "running"})
    deleted = _count({kind: count for kind, count in counts.items() if kind != "running"})
    return " and ".join(f"{verb} {what}" for verb, what in ((stop, stopped), (delete, deleted)) if what)


def is_ours(name: str, tags: Mapping[str, str]) -> bool:
    """Return whether a job is the project's: by the beginning of its name and the tag that every launch puts on."""
    return name.startswith(OURS) and tags.get(TAG) == VALUE


def find(session: boto3.Session, bucket: str = "", stack: str = STACK) -> Leftovers:
    """List what the project made in an account and a region.

    Parameters
    ----------
    session : boto3.Session
    bucket : str
        Default: ``mlagents-<region>-<account>``. A bucket that the stack owns is looked at, too.
    stack : str

    Raises
    ------
    LeftoversError
        If AWS does not let it be listed.
    """
    with explained(session, bucket):
        found = find_stack(session.client("cloudformation"), stack)
        if foreign := is_foreign(found):
            found = None
        owned = _list_owned(session, stack) if found else {}
        account = session.client("sts").get_caller_identity()["Account"]
        default = default_bucket(session.region_name, account)
        names = dict.fromkeys([bucket or default, *owned.get("AWS::S3::Bucket", ())])
        items, places, others = [], set(), set()
        kept = [f"stack {stack}"] if foreign else []
        for item, job in _list_jobs(session):
            if is_ours(item.name, {tag["Key"]: tag["Value"] for tag in job.get("Tags", ())}):
                items.append(item)
                places |= _find_places(item.name, job)
            else:
                others.add(item.name)
        jobs = {item.name for item in items}
        for name in names:
            if (there := _has_bucket(session, name, account)) is None:
                kept.append(f"s3://{name}, which S3 refuses to show: somebody else's, or you lack s3:ListBucket")
            if not there:
                continue
            of_stack = name in owned.get("AWS::S3::Bucket", ())
            ours = of_stack or name == default or _bucket_tags(session, name, account).get(TAG) == VALUE
            more, beside = _list_bucket(session, name, account)
            written = [item for item in more if ours or _is_written(item, places)]
            stays = {"/".join(item.name.split("/")[:2]) for item in set(more) - set(written)}
            items += written
            kept += [f"s3://{name}/{key}" for key in sorted({*beside, *stays})]
            if not ours:
                kept.append(f"s3://{name}")
            elif not of_stack:
                items.append(Item("bucket", "S3", name))
        items += _list_builds(session)
        for repository in REPOSITORIES.values():
            images, foreign_images = _list_images(session, repository)
            items += images
            kept += foreign_images
            if (images or not foreign_images) and repository not in owned.get("AWS::ECR::Repository", ()):
                items += _list_repository(session, repository)
        items += _list_streams(session, BUILD_LOG, "")
        for item in _list_streams(session, LOG_GROUP, OURS):
            job = item.name.partition("/")[0]
            items += [item] if job in jobs else []
            others |= set() if job in jobs else {job}
    if found:
        items.append(Item("stack", "CloudFormation", stack, made=found["CreationTime"]))
    owns = tuple(name for named in owned.values() for name in named)
    return Leftovers(tuple(items), tuple(kept + sorted(others)), bucket, stack, owns, session.region_name)


def _list_owned(session: boto3.Session, stack: str) -> dict[str, list[str]]:
    """Return the names of a stack's resources by their type."""
    owned: dict[str, list[str]] = {}
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceStatus"] not in ("DELETE_COMPLETE", "CREATE_FAILED"):
                owned.setdefault(each["ResourceType"], []).append(each.get("PhysicalResourceId", ""))
    return owned


def _find_places(name: str, job: Mapping[str, Any]) -> set[str]:
    """Return the S3 URIs that a training job writes to. What it reads may be somebody else's."""
    output = job.get("OutputDataConfig", {}).get("S3OutputPath", "")
    places = (job.get("CheckpointConfig", {}).get("S3Uri", ""), output and f"{output.rstrip('/')}/{name}")
    return {f"{place.rstrip('/')}/" for place in places if place}


def _is_written(item: Item, places: set[str]) -> bool:
    """Return whether an object in a bucket of somebody's is an upload of ours, or lies where a job of ours wrote."""
    at = f"s3://{item.place}/{item.name}"
    return bool(UPLOADED.match(item.name)) or at.startswith(tuple(places))


def _list_jobs(session: boto3.Session) -> Iterator[tuple[Item, Mapping[str, Any]]]:
    """Yield training jobs and tuning jobs of our prefix, each with its description."""
    for kind in (TUNING, "TrainingJob"):
        named = [{"Name": f"{kind}Name", "Operator": "Contains", "Value": OURS}]
        pages = session.client("sagemaker").get_paginator("search")
        for page in pages.paginate(Resource=kind, SearchExpression={"Filters": named}):
            for each in page["Results"]:
                job = each[kind]
                state = "running" if job[f"{kind}Status"] in RUNNING or _keeps_machine(job) else "records"
                machine = job.get("ResourceConfig", {})
                usd = USD_AN_HOUR.get(machine.get("InstanceType"), 0.0) * machine.get("InstanceCount", 1)
                item = Item(state, kind, job[f"{kind}Name"], made=job["CreationTime"], usd_per_hour=usd)
                if item.name.startswith(OURS):
                    yield item, job


def _list_builds(session: boto3.Session) -> Iterator[Item]:
    """Yield builds of the image that run. They are among the newest."""
    codebuild = session.client("codebuild")
    with _gone("ResourceNotFoundException"):  # there is no project
        ids = codebuild.list_builds_for_project(projectName=PROJECT, sortOrder="DESCENDING")["ids"]
        for build in codebuild.batch_get_builds(ids=ids[:100])["builds"] if ids else ():
            if build["buildStatus"] == "IN_PROGRESS":
                yield Item("running", "CodeBuild", build["id"], made=build["startTime"])


def _keeps_machine(job: Mapping[str, Any]) -> bool:
    """Return whether a job's machine waits in a warm pool for another job."""
    return job.get("WarmPoolStatus", {}).get("Status") == "Available"


def _has_bucket(session: boto3.Session, bucket: str, account: str) -> bool | None:
    """Return whether a bucket is there; None if S3 refuses to say."""
    try:
        session.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return False
        if code(error) in ("403", "AccessDenied"):
            return None
        raise
    return True


def _bucket_tags(session: boto3.Session, bucket: str, account: str) -> dict[str, str]:
    try:
        response = session.client("s3").get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if code(error) != "NoSuchTagSet":
            raise
        return {}
    return {tag["Key"]: tag["Value"] for tag in response["TagSet"]}


def _list_bucket(session: boto3.Session, bucket: str, account: str) -> tuple[list[Item], list[str]]:
    """Return a bucket's objects, all their versions, and unfinished uploads; and what lies beside our places."""
    s3 = session.client("s3")
    owner = {"Bucket": bucket, "ExpectedBucketOwner": account}
    items: list[Item] = []
    try:
        for kind, place in PLACES.items():
            for page in s3.get_paginator("list_object_versions").paginate(Prefix=place, **owner):
                for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
                    about = (each["Key"], each["VersionId"], each.get("Size", 0), each["LastModified"])
                    items.append(Item(kind, bucket, *about))
            for page in s3.get_paginator("list_multipart_uploads").paginate(Prefix=place, **owner):
                for each in page.get("Uploads", ()):
                    about = {"Key": each["Key"], "UploadId": each["UploadId"]}
                    size = 0
                    with _gone("NoSuchUpload"):  # finished or aborted just now
                        for parts in s3.get_paginator("list_parts").paginate(**about, **owner):
                            size += sum(part["Size"] for part in parts.get("Parts", ()))
                    items.append(Item("uploads", bucket, *about.values(), size, each["Initiated"]))
        beside = set()
        for page in s3.get_paginator("list_object_versions").paginate(Delimiter="/", **owner):
            beside |= {each["Prefix"] for each in page.get("CommonPrefixes", ())}
            beside |= {each["Key"] for each in page.get("Versions", []) + page.get("DeleteMarkers", [])}
    except ClientError as error:
        if code(error) != "NoSuchBucket":
            raise
        return [], []
    return items, sorted(beside - set(PLACES.values()))


def _list_images(session: boto3.Session, repository: str) -> tuple[list[Item], list[str]]:
    """Return our images, and the names of others: each tag of ours is a content hash; a replaced image has none."""
    items: list[Item] = []
    foreign: list[str] = []
    with _gone("RepositoryNotFoundException"):
        for page in session.client("ecr").get_paginator("describe_images").paginate(repositoryName=repository):
            for each in page["imageDetails"]:
                size, made = each.get("imageSizeInBytes", 0), each["imagePushedAt"]
                if others := [tag for tag in each.get("imageTags", ()) if not re.fullmatch(HASH, tag)]:
                    foreign.append(f"image {repository}:{others[0]}")
                else:
                    items.append(Item("images", repository, each["imageDigest"], "", size, made))
    return items, foreign


def _list_repository(session: boto3.Session, repository: str) -> Iterator[Item]:
    with _gone("RepositoryNotFoundException"):
        found = session.client("ecr").describe_repositories(repositoryNames=[repository])["repositories"][0]
        yield Item("repository", "ECR", repository, made=found["createdAt"])


def _list_streams(session: boto3.Session, group: str, prefix: str) -> Iterator[Item]:
    pages = session.client("logs").get_paginator("describe_log_streams")
    try:
        for page in pages.paginate(logGroupName=group, **({"logStreamNamePrefix": prefix} if prefix else {})):
            for each in page["logStreams"]:
                made = datetime.fromtimestamp(each["creationTime"] / 1000, timezone.utc)
                yield Item("logs", group, each["logStreamName"], "", each.get("storedBytes", 0), made)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise


def delete(
    session: boto3.Session,
    found: Leftovers,
    kinds: Iterable[str],
    *,
    sure: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> str:
    """Delete what was found, of the kinds that are named, and nothing else.

    What is gone already counts as deleted, so a deletion that stopped half-way goes on when it is run again.

    Parameters
    ----------
    session : boto3.Session
    found : Leftovers
        As `find` returned it, and as the reader saw it.
    kinds : iterable of str
        Of `KINDS`, in any order.
    sure : bool
        Without it nothing is deleted.
    poll_seconds : float
        Between two looks at jobs that are stopping and at the stack.

    Returns
    -------
    str
        What was deleted, or would be.

    Raises
    ------
    LeftoversError
        If a kind is unknown, what is named holds something that is not, or AWS refuses.
    """
    if isinstance(kinds, str):
        raise LeftoversError(f"Expected a list of kinds, found the text {kinds!r}. Write [{kinds!r}].")
    kinds = list(kinds)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise LeftoversError(f"Expected kinds of {', '.join(KINDS)}, found {', '.join(map(repr, unknown))}.")
    if found.items and not kinds:
        return 'Nothing was deleted: no kinds are named. Name them in delete, such as ["running", "checkpoints"].'
    picked = {kind: found[kind] for kind in KINDS if kind in kinds and (found[kind] or found["running"])}
    counts = {kind: len(items) for kind, items in picked.items()}
    _require_possible(found, picked)
    if not any(counts.values()):
        return "Nothing was deleted: there is nothing of these kinds."
    if not sure:
        return f"Would {_tell(counts, 'stop', 'delete')}. Nothing was deleted: set sure = True."
    done: dict[str, int] = {}
    stopped: Leftovers | None = None
    with explained(session, found.bucket, done):
        for kind in picked:
            if kind != "running" and "running" in picked and not stopped:  # what they wrote at their end is listed now
                stopped = find(session, found.bucket, found.stack)
            items = stopped[kind] if stopped else picked[kind]
            if not items:
                continue
            with contextlib.closing(make_bar(desc=kind, total=len(items), unit="")) as bar:
                for count in _DELETE[kind](session, items, poll_seconds):
                    bar.update(count)
            done[kind] = len(items)
    told = _tell(done, "stopped", "deleted")
    return f"{told[:1].upper()}{told[1:]}."


def _require_possible(found: Leftovers, picked: Mapping[str, tuple[Item, ...]]) -> None:
    """Refuse to delete what holds, or is being written by, something that is not deleted with it."""
    if found["running"] and "running" not in picked and set(picked) & {*PLACES, "uploads", "logs", "stack", "bucket"}:
        names = ", ".join(item.name for item in found["running"])
        raise LeftoversError(f'Expected no job to run that writes what is to be deleted, found {names}. Add "running".')
    if left := [kind for kind in BY_RECORDS if "records" in picked and found[kind] and kind not in picked]:
        raise LeftoversError(
            f"Expected records to be deleted together with {', '.join(left)}: without a job's record nothing tells any "
            "more that these are this project's. Add them, or keep the records, which cost nothing."
        )
    buckets = {item.name for item in picked.get("bucket", ())} | set(found.stack_owns if "stack" in picked else ())
    if kept := [each for each in found.kept if "/" in each[5:] and each[5:].partition("/")[0] in buckets]:
        raise LeftoversError(
            f"Expected the bucket to hold nothing but this project's, found {', '.join(kept)}, which stays untouched, "
            'and so does the bucket. Move it elsewhere first, or leave out "stack" and "bucket".'
        )
    repositories = {item.name for item in picked.get("repository", ())} | set(
        found.stack_owns if "stack" in picked else ()
    )
    if kept := [each for each in found.kept if each[len("image ") :].partition(":")[0] in repositories]:
        raise LeftoversError(
            f"Expected the repository to hold nothing but this project's images, found {', '.join(kept)}. Leave out "
            '"repository" and "stack".'
        )
    places = {**dict.fromkeys((*PLACES, "uploads"), buckets), "images": repositories}
    inside = {item.kind for item in found.items if item.place in places.get(item.kind, ())} - picked.keys()
    if left := [kind for kind in KINDS if kind in inside]:
        holders = list(dict.fromkeys("the repository" if kind == "images" else "the bucket" for kind in left))
        raise LeftoversError(
            f"Expected {' and '.join(holders)} to be empty by then, found {', '.join(left)} in "
            f"{'them' if len(holders) > 1 else 'it'}. Add them."
        )


def _chunks(items: tuple[Item, ...], size: int) -> Iterator[tuple[Item, ...]]:
    for place in sorted({item.place for item in items}):
        there = tuple(item for item in items if item.place == place)
        for start in range(0, len(there), size):
            yield there[start : start + size]


def _stop(session: boto3.Session, items: tuple[Item, ...], poll_seconds: float) -> Iterator[int]:
    sagemaker, codebuild = session.client("sagemaker"), session.client("codebuild")
    builds = [item for item in items if item.place == "CodeBuild"]
    for item in builds:
        codebuild.stop_build(id=item.name)
    for item in builds:
        while codebuild.batch_get_builds(ids=[item.name])["builds"][0]["buildStatus"] == "IN_PROGRESS":
            time.sleep(poll_seconds)
        yield 1
    items = tuple(item for item in items if item not in builds)
    calls = {
        "TrainingJob": (sagemaker.stop_training_job, sagemaker.describe_training_job),
        "HyperParameterTuningJob": (
            sagemaker.stop_hyper_parameter_tuning_job,
            sagemaker.describe_hyper_parameter_tuning_job,
        ),
    }
    for item in items:
        with _gone("ResourceNotFound", "ValidationException"):  # it has ended by itself, as is seen below
            calls[item.place][0](**{f"{item.place}Name": item.name})
    for item in items:
        with _gone("ResourceNotFound", message=NOT_FOUND):
            name = {f"{item.place}Name": item.name}
            while (job := calls[item.place][1](**name))[f"{item.place}Status"] in RUNNING:
                time.sleep(poll_seconds)
            if _keeps_machine(job):
                sagemaker.update_training_job(**name, ResourceConfig={"KeepAlivePeriodInSeconds": 0})
        yield 1


def _delete_objects(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    s3 = session.client("s3")
    account = session.client("sts").get_caller_identity()["Account"]
    for chunk in _chunks(items, AT_ONCE["objects"]):
        objects = [{"Key": item.name, "VersionId": item.version} for item in chunk]
        with _gone("NoSuchBucket"):
            response = s3.delete_objects(
                Bucket=chunk[0].place, ExpectedBucketOwner=account, Delete={"Objects": objects, "Quiet": True}
            )
            if errors := response.get("Errors"):
                first = errors[0]
                why = first.get("Message") or first["Code"]
                raise LeftoversError(
                    f"S3 keeps {len(errors)} of {len(chunk)} objects, such as s3://{chunk[0].place}/{first['Key']}: "
                    f"{why}. Where a policy or a lock keeps them, lift it."
                )
        yield len(chunk)


def _abort_uploads(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    account = session.client("sts").get_caller_identity()["Account"]
    for item in items:
        about = {"Bucket": item.place, "Key": item.name, "UploadId": item.version, "ExpectedBucketOwner": account}
        with _gone("NoSuchUpload", "NoSuchBucket"):
            session.client("s3").abort_multipart_upload(**about)
        yield 1


def _delete_images(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    for chunk in _chunks(items, AT_ONCE["images"]):
        digests = [{"imageDigest": item.name} for item in chunk]
        with _gone("RepositoryNotFoundException"):
            response = session.client("ecr").batch_delete_image(repositoryName=chunk[0].place, imageIds=digests)
            failures = [each for each in response.get("failures", ()) if each["failureCode"] != "ImageNotFound"]
            if failures:
                raise LeftoversError(f"ECR keeps an image: {failures[0].get('failureReason', '')}. Run this again.")
        yield len(chunk)


def _delete_streams(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    for item in items:
        with _gone("ResourceNotFoundException"):
            session.client("logs").delete_log_stream(logGroupName=item.place, logStreamName=item.name)
        yield 1


def _delete_records(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    sagemaker = session.client("sagemaker")
    for item in items:
        with _gone("ResourceNotFound", message=NOT_FOUND):
            if item.place == "TrainingJob":
                sagemaker.delete_training_job(TrainingJobName=item.name)
            else:
                sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=item.name)
        yield 1


def _delete_bucket(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    account = session.client("sts").get_caller_identity()["Account"]
    for item in items:
        with _gone("NoSuchBucket"):
            session.client("s3").delete_bucket(Bucket=item.name, ExpectedBucketOwner=account)
        yield 1


def _delete_repository(session: boto3.Session, items: tuple[Item, ...], _: float) -> Iterator[int]:
    for item in items:
        with _gone("RepositoryNotFoundException"):
            session.client("ecr").delete_repository(repositoryName=item.name)
        yield 1


def _delete_stack(session: boto3.Session, items: tuple[Item, ...], poll_seconds: float) -> Iterator[int]:
    for item in items:
        delete_stack(session.client("cloudformation"), item.name, poll_seconds)
        yield 1


_DELETE: dict[str, Callable[[boto3.Session, tuple[Item, ...], float], Iterator[int]]] = {
    "running": _stop,
    **dict.fromkeys(PLACES, _delete_objects),
    "uploads": _abort_uploads,
    "images": _delete_images,
    "logs": _delete_streams,
    "records": _delete_records,
    "bucket": _delete_bucket,
    "repository": _delete_repository,
    "stack": _delete_stack,
}


@contextlib.contextmanager
def _gone(*codes: str, message: re.Pattern[str] | None = None) -> Iterator[None]:
    """Pass over errors whose code, or message, says that what was to be deleted is gone."""
    try:
        yield
    except ClientError as error:
        if code(error) not in codes and not (message and message.search(str(error))):
            raise


@contextlib.contextmanager
def explained(session: boto3.Session, bucket: str, done: Mapping[str, int] | None = None) -> Iterator[None]:
    """Turn errors into a `LeftoversError`; where something is deleted, it says what has been until then."""
    try:
        yield
    except (BotoCoreError, ClientError, SetUpError, LeftoversError) as error:
        why = str(error)
        if isinstance(error, (BotoCoreError, ClientError)):
            place = Connection("aws", session, "", session.region_name, bucket, "")  # the error names the account
            why = explain(place, error, policy="user")
        if done is not None:
            told = f" Until then: {_tell(done, 'stopped', 'deleted')}." if done else ""
            why += f"{told} What is deleted stays deleted; running this again goes on."
        raise LeftoversError(why) from error
