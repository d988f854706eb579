"""Connect to a target: the embedded AWS on this machine, or the reader's own account.

After `connect`, both take the same code. A connection's session has the address and the keys of its target, and passes
them to every client that boto3 or the SageMaker SDK makes from it. So one process can hold two connections. Its
environment is read while connecting, and changed only inside ``with connection.sdk()``.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import OperationModel

from common import ROOT, trainer_env
from common.aws_session import (
    NOT_PUBLIC,
    PROJECT_TAG,
    BoundSession,
    ConnectError,
    Connection,
    choose_place,
    code,
    default_bucket,
    open_session,
)
from helpers import settings
from training_image.name import REPOSITORIES, REPOSITORY

if TYPE_CHECKING:
    from sagemaker_local import Program, Server

EMBEDDED_REGION = "us-east-1"
EMBEDDED_ROLE = "mlagents-training"
TRUST_SAGEMAKER = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def open_embedded(server: "Server", region: str = EMBEDDED_REGION) -> boto3.Session:
    """Return a session of an embedded AWS."""
    bound = BoundSession(server.url)
    bound.set_credentials(server.keys.access, server.keys.secret)
    return boto3.Session(botocore_session=bound, region_name=region)


def connect(
    target: str = "",
    *,
    role: str = "",
    bucket: str = "",
    region: str = "",
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    kms_key: str = "",
) -> Connection:
    """Connect to a target, and make its bucket if there is none. What is empty is as `helpers.settings` finds it.

    Print the target, and the account with its names, before anything is made there.

    Parameters
    ----------
    target : str, optional
        ``"embedded"`` starts the embedded AWS if it is not running. ``"aws"`` uses your own credentials.
    role : str, optional
        Name or ARN of the execution role. Needed with ``"aws"``; the embedded target makes one.
    bucket : str, optional
        Bucket for uploads and results. Default: ``mlagents-<region>-<account>``, made on first use, private.
    region : str, optional
        Default: the one of your AWS profile; ``us-east-1`` on the embedded target.
    subnets, security_groups : sequence of str, optional
        IDs in the VPC that jobs run in. Default: the environment variables TRAINING_SUBNETS and
        TRAINING_SECURITY_GROUPS, separated by blanks. The subnets need a way to S3, such as a gateway endpoint.
    kms_key : str, optional
        ARN of a KMS key of the same region that encrypts the bucket by default, uploads, results, and the disks of jobs
        whose instance has no local storage. Default: the environment variable TRAINING_KMS_KEY.

    Raises
    ------
    ConnectError
        With what is missing, and how to get it.
    """
    chosen = settings.read(target, role, bucket, region)
    subnets, security_groups, kms_key = choose_place(subnets, security_groups, kms_key)
    connection = (connect_embedded if chosen.target == "embedded" else connect_aws)(chosen, kms_key)
    return replace(connection, subnets=tuple(subnets), security_groups=tuple(security_groups), kms_key=kms_key)


def connect_embedded(chosen: settings.Settings, kms_key: str) -> Connection:
    """Connect to the embedded AWS, starting it if it does not run. See `connect`."""
    import sagemaker_local as embedded  # imported here so that target="aws" loads nothing of it

    try:
        server = embedded.start(find_program())
        session = open_embedded(server, chosen.region or EMBEDDED_REGION)
    except embedded.EmbeddedError as error:
        raise ConnectError(str(error)) from error
    account = session.client("sts").get_caller_identity()["Account"]
    complete_requests(session, account, kms_key)
    connection = Connection(
        target="embedded",
        session=session,
        account=account,
        region=session.region_name,
        bucket=chosen.bucket or default_bucket(session.region_name, account),
        role=find_embedded_role(session.client("iam"), chosen.role.rpartition("/")[2] or EMBEDDED_ROLE),
        endpoint=server.url,
        home=server.home,
        check_alive=require_embedded,
    )
    print(chosen, connection, sep="\n")
    make_bucket(session, connection.bucket, kms_key)
    return connection


def find_embedded_role(iam: Any, name: str) -> str:
    """Return a role's ARN; make the role that jobs run as by default. Raise `ConnectError` where there is no other."""
    try:
        if name == EMBEDDED_ROLE:
            return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST_SAGEMAKER))["Role"]["Arn"]
    except ClientError as error:
        if code(error) != "EntityAlreadyExists":
            raise
    try:
        return iam.get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        raise ConnectError(
            f"Expected the role {name} on the embedded target, found that {error} Lesson 0 "
            "(notebooks/00_set_up_your_account.ipynb) makes one; without role= a role of its own is taken."
        ) from error


def find_program() -> "Program":
    """Return what trains where no Docker engine does: `container/train`, in the trainer environment of the image."""
    import sagemaker_local as embedded

    programs = {}
    for trainer, repository in REPOSITORIES.items():
        try:
            found = trainer_env.find(trainer)
        except trainer_env.TrainerEnvError as error:
            programs[repository] = embedded.Program((), str(error))
        else:
            command = (str(found.python), str(ROOT / "container" / "train"))
            programs[repository] = embedded.Program(command, f"in the trainer environment ({found.flavour})")
    return replace(programs.pop(REPOSITORY), repositories=programs)


def connect_aws(chosen: settings.Settings, kms_key: str) -> Connection:
    """Connect to the reader's own account. See `connect`."""
    session = open_session(chosen.region)
    if not session.region_name:
        raise ConnectError(
            "Expected an AWS region, found none. Run `aws configure set region us-east-1` (or the region "
            "nearest to you), or pass region=."
        )
    if session.get_credentials() is None:
        raise ConnectError(
            "Expected AWS credentials, found none. Run `aws configure` (access keys) or `aws sso login`, or "
            "set AWS_PROFILE to a profile that has them. To learn without an account, use "
            'target="embedded".'
        )
    if not chosen.role:
        raise ConnectError(
            "Expected the name or ARN of an execution role, found none. A training job runs as a role that "
            "trusts sagemaker.amazonaws.com and may read and write your bucket. Lesson 0 "
            "(notebooks/00_set_up_your_account.ipynb) makes one and notes its name in settings.toml; "
            "of one that you have, pass the name as role=."
        )
    try:
        identity = session.client("sts").get_caller_identity()
        account, role = identity["Account"], chosen.role
        complete_requests(session, account, kms_key)
        if not role.startswith("arn:"):
            role = session.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        bucket = chosen.bucket or default_bucket(session.region_name, account)
        connection = Connection("aws", session, account, session.region_name, bucket, role)
        print(f"{chosen}, as {identity['Arn']}", connection, sep="\n")
        make_bucket(session, bucket, kms_key)
    except (BotoCoreError, ClientError) as error:
        raise ConnectError(
            f"AWS refused, or could not be reached: {error} Check that the credentials are still valid "
            "(`aws sts get-caller-identity`) and may use the role and the bucket."
        ) from error
    return connection


def require_embedded(connection: Connection) -> None:
    """Raise a `ConnectError` if the embedded AWS of this connection no longer answers."""
    import sagemaker_local as embedded

    server = embedded.find(connection.home)
    if server is None or server.url != connection.endpoint:
        raise ConnectError(
            f"The embedded AWS at {connection.endpoint} no longer answers: it was stopped. Run the notebook again from "
            "its first cell: that starts a new one, which knows the files and the jobs of the old."
        )


def complete_requests(session: boto3.Session, account: str, kms_key: str = "") -> None:
    """Add the bucket's owner to each S3 request of a session, and the KMS key to each upload.

    S3 refuses such a request if the bucket belongs to another account
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html). CreateBucket has no such
    parameter; it fails if the name is taken.
    """

    def add(params: dict, model: OperationModel, **_: object) -> None:
        for name in {"ExpectedBucketOwner", "ExpectedSourceBucketOwner"} & model.input_shape.members.keys():
            params[name] = account
        if kms_key and model.name in ("PutObject", "CreateMultipartUpload", "CopyObject"):
            params.update(ServerSideEncryption="aws:kms", SSEKMSKeyId=kms_key)

    session.events.register("provide-client-params.s3", add, unique_id="complete-requests")


def make_bucket(session: boto3.Session, bucket: str, kms_key: str = "") -> None:
    """Make a bucket unless it exists, and make it private and encrypted.

    Raises
    ------
    ConnectError
        If bucket or key are in another region, the bucket belongs to another account, or it can't be made private or
        encrypted.
    botocore.exceptions.ClientError
        If S3 refuses for another reason.
    """
    if kms_key and (region := kms_key.split(":")[3]) != session.region_name:
        raise ConnectError(
            f"Expected kms_key to be of {session.region_name}, where the jobs run, found {kms_key} of {region}. Take a "
            "key of that region, or pass region=."
        )
    s3 = session.client("s3")
    try:
        try:
            region = s3.head_bucket(Bucket=bucket).get("BucketRegion", session.region_name)
            if region != session.region_name:
                raise ConnectError(
                    f"Expected the bucket {bucket} to be in {session.region_name}, where the jobs run, found it in "
                    f"{region}. A training job reads only from its own region: choose another with bucket=, or pass "
                    "region=."
                )
        except ClientError as error:
            if code(error) not in ("404", "NoSuchBucket"):
                raise
            # us-east-1 is the only region that must not be named here.
            place = {"CreateBucketConfiguration": {"LocationConstraint": session.region_name}}
            s3.create_bucket(Bucket=bucket, **({} if session.region_name == "us-east-1" else place))
            # By it the last lesson knows a bucket whose name was chosen.
            s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [PROJECT_TAG]})
    except ClientError as error:
        if code(error) in ("403", "AccessDenied", "BucketAlreadyExists"):
            raise ConnectError(
                f"Expected the bucket {bucket} to be yours, found that S3 refuses it: {error} All accounts share the "
                "names of buckets. If it is somebody else's, nothing was sent there: choose another with bucket=. If "
                "it is yours, ask for s3:ListBucket and s3:CreateBucket (`python -m account_check.policies user`)."
            ) from error
        if code(error) != "BucketAlreadyOwnedByYou":  # another notebook has just made it
            raise
    block_public_access(s3, bucket)
    if kms_key:
        encrypt(s3, bucket, kms_key)


def block_public_access(s3: Any, bucket: str) -> None:
    """Block public access to a bucket. Raises as `make_bucket` does."""
    try:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        if NOT_PUBLIC.items() <= block.items():
            return
    except ClientError as error:
        if code(error) not in ("NoSuchPublicAccessBlockConfiguration", "AccessDenied"):
            raise
    try:
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=NOT_PUBLIC)
    except ClientError as error:
        if code(error) != "AccessDenied":
            raise
        raise ConnectError(
            f"Expected public access to the bucket {bucket} to be blocked, found that it is not, or that you may not "
            f"see it, and you may not block it: {error} Ask whoever owns the bucket to block it, or for "
            "s3:GetBucketPublicAccessBlock and s3:PutBucketPublicAccessBlock (`python -m account_check.policies user`)."
        ) from error


def encrypt(s3: Any, bucket: str, kms_key: str) -> None:
    """Make a key the bucket's default.

    It then encrypts checkpoints and TensorBoard's files, for which a SageMaker job takes no key.
    """
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key},
        "BucketKeyEnabled": True,
    }
    try:
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        default = [each.get("ApplyServerSideEncryptionByDefault") for each in rules]
        if default == [rule["ApplyServerSideEncryptionByDefault"]]:
            return
    except ClientError as error:
        if code(error) not in ("ServerSideEncryptionConfigurationNotFoundError", "AccessDenied"):
            raise
    try:
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    except ClientError as error:
        if code(error) != "AccessDenied":
            raise
        raise ConnectError(
            f"Expected the bucket {bucket} to be encrypted with {kms_key} by default, found that it is not, or that "
            f"you may not see it, and you may not set it: {error} Ask whoever owns the bucket to set it, or for "
            "s3:PutEncryptionConfiguration (`python -m account_check.policies user --kms-key …`)."
        ) from error
