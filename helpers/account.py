"""Setting an account up and deleting it: a session before there is a role, and a copy to practise deleting on.

What does the work is `account_setup`, which needs no notebook.
"""

import atexit
import contextlib
import email
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from common.aws_session import ConnectError, Connection, code, default_bucket, explained, open_session
from helpers import aws, settings


def connect(target: str = "", *, region: str = "", bucket: str = "", practice: bool = False) -> Connection:
    """Return a connection to a target, make nothing there, and print whose account it is.

    Its `role` is the one that is set, which need not exist yet.

    Parameters
    ----------
    target, region, bucket : str
        As for `helpers.aws.connect`.
    practice : bool
        On the embedded target: work on a copy of it, which is removed when this process ends.

    Raises
    ------
    ConnectError
        If the target is neither, cannot be started, or has no credentials or no region.
    """
    chosen = settings.read(target, "", bucket, region)
    if chosen.target == "embedded":
        session = (_practise if practice else _start)(chosen.region or aws.EMBEDDED_REGION)
    else:
        session = open_session(chosen.region)
    if session.get_credentials() is None:
        raise ConnectError(
            "Expected AWS credentials, found none. Run `aws configure` (access keys) or `aws configure sso`; if they "
            "are in a profile, set AWS_PROFILE to its name."
        )
    if not session.region_name:
        raise ConnectError(
            'Expected a region, found none. Set region in the first code cell, such as "us-east-1", or run `aws '
            "configure`."
        )
    sts = session.client("sts")
    with explained(sts, ConnectError, "Nothing was made or deleted."):
        identity = sts.get_caller_identity()
    account, region = identity["Account"], session.region_name
    bucket = chosen.bucket or default_bucket(region, account)
    print(f"{chosen}\nAccount {account}, region {region}, as {identity['Arn']}")
    return Connection(chosen.target, session, account, region, bucket, chosen.role)


def _start(region: str) -> boto3.Session:
    import sagemaker_local as embedded  # here, so that target="aws" loads nothing of it

    try:
        return aws.open_embedded(embedded.start(aws.find_program()), region)
    except embedded.EmbeddedError as error:
        raise ConnectError(str(error)) from error


def _practise(region: str) -> boto3.Session:
    """Start an embedded AWS on a copy of this one's folder."""
    import sagemaker_local as embedded
    from sagemaker_local.home import copy_home, home_folder

    _start(region)
    home = home_folder()
    copy = home / "practice"
    with _at_home(copy):
        embedded.stop()
        copy_home(home, copy)
        atexit.register(_end_practice, copy)
        return _start(region)


def _end_practice(copy: Path) -> None:
    import sagemaker_local as embedded

    with _at_home(copy), contextlib.suppress(embedded.EmbeddedError):
        embedded.stop()
        shutil.rmtree(copy, ignore_errors=True)


@contextlib.contextmanager
def _at_home(home: Path) -> Iterator[None]:
    """Let `sagemaker_local` take another folder for its own meanwhile."""
    before = os.environ.get("EMBEDDED_HOME")
    os.environ["EMBEDDED_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("EMBEDDED_HOME") if before is None else os.environ.update(EMBEDDED_HOME=before)


def remember(connection: Connection, role: str) -> str:
    """Write target, bucket and region of a connection and the role of jobs where all notebooks find them; say so.

    Practice on the embedded target leaves settings for AWS as they are.
    """
    file = settings.settings_file()
    if connection.target == "embedded" and settings.read_file(file).get("target") == "aws":
        return f'{file.name} says "aws", and stays as it is.'
    settings.write(connection.target, role, connection.bucket, connection.region)
    return f"{file.name} says now:\n{file.read_text()}"


def advise_on_settings(connection: Connection) -> str:
    """Return what to do where the settings still name a bucket on AWS that was deleted; else an empty text."""
    file = settings.settings_file()
    found = settings.read_file(file)
    if (connection.target, found.get("target")) != ("aws", "aws") or found.get("bucket") != connection.bucket:
        return ""
    try:
        connection.session.client("s3").head_bucket(Bucket=connection.bucket)
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return (
                f'{file.name} still says target = "aws" with the bucket {connection.bucket}, which is gone: the next '
                f"notebook would make it again. Delete {file} to work on the embedded AWS, or run lesson 0 again."
            )
    return ""


def read_mails(connection: Connection) -> pd.DataFrame:
    """Return the mails that AWS would have sent, which the embedded AWS keeps: ``to``, ``subject`` and ``text``."""
    mails = []
    if connection.target == "embedded":
        from sagemaker_local.home import home_folder

        files = sorted((home_folder() / "mail").glob("*.eml"))
        mails = [email.message_from_bytes(file.read_bytes()) for file in files]
    rows = [(mail["To"], mail["Subject"], mail.get_payload().strip()) for mail in mails]
    return pd.DataFrame(rows, columns=["to", "subject", "text"])
