"""The bucket: whether it exists, in the region, private and encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from account_check.checked_account import CheckedAccount, code, header, unanswered
from common.aws_session import NOT_PUBLIC
from common.findings import Finding

NAME = "bucket"


def check_bucket(place: CheckedAccount) -> Iterator[Finding]:
    """Check the bucket. A missing one is no error, because notebook 2 makes it."""
    s3 = place.client("s3")
    bucket = {"Bucket": place.bucket, "ExpectedBucketOwner": place.account}
    try:
        response = s3.head_bucket(**bucket)
    except ClientError as error:
        yield _not_usable(place, error)
        return
    region = response.get("BucketRegion") or header(response, "x-amz-bucket-region") or place.region
    if region != place.region:
        yield _elsewhere(place, region)
        return
    yield Finding("ok", f"{place.bucket} is there, in {region}.", "", NAME)
    for check in (_privacy, _encryption):
        try:
            yield check(s3, bucket, place.kms_key)
        except ClientError as error:
            yield unanswered(place, f"{NAME}, {check.__name__.strip('_')}", error)


def _not_usable(place: CheckedAccount, error: ClientError) -> Finding:
    region = header(error.response, "x-amz-bucket-region")
    if region and region != place.region:
        return _elsewhere(place, region)
    if code(error) in ("404", "NoSuchBucket"):
        return Finding("note", f"There is no {place.bucket} yet.", "Notebook 2 makes it, private.", NAME)
    if code(error) in ("403", "AccessDenied"):
        todo = "It may be somebody else's: all accounts share the names. Choose another, or ask for s3:ListBucket."
        return Finding("error", f"You may not use {place.bucket}.", todo, NAME)
    return unanswered(place, NAME, error)


def _elsewhere(place: CheckedAccount, region: str) -> Finding:
    todo = "A training job reads from its own region alone: choose another bucket, or that region."
    return Finding("error", f"{place.bucket} is in {region}, the job would run in {place.region}.", todo, NAME)


def _privacy(s3: Any, bucket: dict[str, str], _: str) -> Finding:
    name = f"{NAME}, privacy"
    try:
        block = s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        block = {}
    if NOT_PUBLIC.items() <= block.items():
        return Finding("ok", "Public access is blocked.", "", name)
    todo = "Notebook 2 blocks it. If something else in this bucket is meant to be public, choose another bucket."
    return Finding("warning", "Public access is not wholly blocked.", todo, name)


def _encryption(s3: Any, bucket: dict[str, str], kms_key: str) -> Finding:
    name = f"{NAME}, encryption"
    try:
        rules = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    except ClientError as error:
        if code(error) != "ServerSideEncryptionConfigurationNotFoundError":
            raise
        rules = []
    default = next((rule["ApplyServerSideEncryptionByDefault"] for rule in rules), {})
    algorithm = default.get("SSEAlgorithm", "AES256")  # S3's default since January 2023
    key = default.get("KMSMasterKeyID", "aws/s3")
    if kms_key and kms_key != key:
        todo = "Notebook 2 makes that key the bucket's default."
        return Finding("note", f"Not yet encrypted with {kms_key}.", todo, name)
    if kms_key or algorithm == "AES256":
        return Finding("ok", f"Encrypted with {kms_key or 'a key of S3'}.", "", name)
    todo = (
        "You and the role need kms:GenerateDataKey and kms:Decrypt on it. Set kms_key to its ARN; `python -m "
        "account_check.policies … --kms-key ARN` prints the rights."
    )
    return Finding("warning", f"Encrypted with a KMS key ({key}).", todo, name)
