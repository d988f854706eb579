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

from common.aws_session import ConnectError, open_session
from helpers import aws


def connect(target: str = "embedded", region: str = "", practice: bool = False) -> boto3.Session:
    """Return a session of a target, and make nothing there.

    Parameters
    ----------
    target : str
        ``"embedded"`` or ``"aws"``.
    region : str
        Default: the one of your AWS profile; ``us-east-1`` on the embedded target.
    practice : bool
        On the embedded target: work on a copy of it, which is removed when this process ends.

    Raises
    ------
    ConnectError
        If the target is neither, cannot be started, or has no credentials or no region.
    """
    if target == "embedded":
        return _practise() if practice else _start()
    if target != "aws":
        raise ConnectError(f'Expected target to be "embedded" or "aws", found {target!r}.')
    session = open_session(region)
    if session.get_credentials() is None or not session.region_name:
        raise ConnectError(
            "Expected AWS credentials and a region, found none of one. Run `aws configure` (access keys), or "
            "`aws configure sso`; set AWS_PROFILE where they are in a profile, and pass region=."
        )
    return session


def _start() -> boto3.Session:
    import sagemaker_local as embedded  # here, so that target="aws" loads nothing of it

    try:
        return aws.open_embedded(embedded.start(aws.find_program()))
    except embedded.EmbeddedError as error:
        raise ConnectError(str(error)) from error


def _practise() -> boto3.Session:
    """Start an embedded AWS on a copy of this one's folder."""
    import sagemaker_local as embedded
    from sagemaker_local.home import copy_home, home_folder

    _start()
    home = home_folder()
    copy = home / "practice"
    with _at_home(copy):
        embedded.stop()
        copy_home(home, copy)
        atexit.register(_end_practice, copy)
        return _start()


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


def read_mails(target: str = "embedded") -> pd.DataFrame:
    """Return the mails that AWS would have sent, which the embedded AWS keeps: ``to``, ``subject`` and ``text``."""
    mails = []
    if target == "embedded":
        from sagemaker_local.home import home_folder

        files = sorted((home_folder() / "mail").glob("*.eml"))
        mails = [email.message_from_bytes(file.read_bytes()) for file in files]
    rows = [(mail["To"], mail["Subject"], mail.get_payload().strip()) for mail in mails]
    return pd.DataFrame(rows, columns=["to", "subject", "text"])
