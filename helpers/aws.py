"""The target: where the work goes, the embedded AWS on this machine or the reader's own account.

Everything after `connect` is the same code for both. The embedded AWS is found through ``AWS_ENDPOINT_URL``
(https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html), so boto3, the SageMaker SDK and
the AWS CLI need no branch for it.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    LoginError,
    NoCredentialsError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
from botocore.model import OperationModel

if TYPE_CHECKING:
    from helpers.embedded import Server

FAKE_KEYS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
HIDDEN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
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


# What AWS's services call credentials that they accept no longer
# (https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html; the last two are S3's).
EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "InvalidToken",
)
NO_CREDENTIALS = (
    NoCredentialsError,
    CredentialRetrievalError,
    RefreshWithMFAUnsupportedError,
    TokenRetrievalError,
    SSOError,
    LoginError,
)
THROTTLED = (
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
)
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9A-Za-z-]+")
NOT_PUBLIC = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


class ConnectError(RuntimeError):
    """The target cannot be used as it is: no credentials, region, role or bucket, or no server."""


@dataclass(frozen=True)
class Connection:
    """A target that answers, and the three names that a training job needs there.

    Attributes
    ----------
    target : str
        ``"embedded"`` or ``"aws"``.
    session : boto3.Session
        Makes clients for it.
    account : str
        The account's 12 digits.
    region : str
        Such as ``"us-east-1"``.
    bucket : str
        The S3 bucket for uploads and results.
    role : str
        ARN of the role that the training job runs as.
    endpoint : str or None
        The embedded AWS's address; None for AWS.
    subnets, security_groups : tuple of str
        The part of a VPC that jobs run in; empty for none.
    kms_key : str
        ARN of the key that encrypts uploads, results and the disks of jobs; empty for AWS's own keys.
    """

    target: str
    session: boto3.Session
    account: str
    region: str
    bucket: str
    role: str
    endpoint: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""

    def client(self, service: str, config: Config | None = None):
        """Return a boto3 client of this target, such as ``client("s3")``.

        Parameters
        ----------
        service : str
        config : botocore.config.Config, optional
            How it is to call, such as how often it tries again.

        Raises
        ------
        ConnectError
            If the embedded AWS that this connection led to is no longer there.
        """
        if self.endpoint:
            require_embedded(self.endpoint)
        return self.session.client(service, config=config)

    def __str__(self) -> str:
        where = f"the embedded AWS at {self.endpoint}" if self.endpoint else f"AWS account {self.account}"
        return f"{where}, region {self.region}\nbucket {self.bucket}\nrole   {self.role}"


def connect(
    target: str = "embedded",
    *,
    role: str = "",
    bucket: str = "",
    region: str = "",
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    kms_key: str = "",
) -> Connection:
    """Connect to a target, and make sure that it has a bucket.

    Parameters
    ----------
    target : str
        ``"embedded"`` starts the embedded AWS if it is not running, and turns every AWS client of this
        process to it: nothing can reach a real account. ``"aws"`` uses the account of your own credentials.
    role : str, optional
        Name or ARN of the execution role. Needed with ``"aws"``.
    bucket : str, optional
        Bucket for uploads and results. Default: ``mlagents-<region>-<account>``, made on first use, private.
    region : str, optional
        Default: the one of your AWS profile; ``us-east-1`` on the embedded target.
    subnets, security_groups : sequence of str, optional
        IDs of those of a VPC that jobs are to run in. The subnets need a way to S3, such as a gateway endpoint.
    kms_key : str, optional
        ARN of a KMS key of the same region, to encrypt with: the bucket by default, uploads, results, and the disks of
        jobs where the instance has no local storage.

    Raises
    ------
    ConnectError
        In one paragraph: what is missing, and how to get it.
    """
    if problems := find_problems(subnets, security_groups, kms_key):
        raise ConnectError("\n".join(problems))
    if target == "embedded":
        connection = connect_embedded(bucket, kms_key)
    elif target == "aws":
        connection = connect_aws(role, bucket, region, kms_key)
    else:
        raise ConnectError(f'Expected target to be "embedded" or "aws", found {target!r}.')
    return replace(connection, subnets=tuple(subnets), security_groups=tuple(security_groups), kms_key=kms_key)


def find_problems(subnets: Sequence[str], security_groups: Sequence[str], kms_key: str) -> list[str]:
    """Return what is wrong with the names of a VPC's parts and of a key, a sentence for each."""
    problems = []
    lists = {"subnets": (subnets, "subnet-", 16), "security_groups": (security_groups, "sg-", 5)}
    for name, (given, prefix, most) in lists.items():
        ids = not isinstance(given, str) and all(re.fullmatch(f"{prefix}[0-9a-f]+", one) for one in given)
        if not ids or len(given) > most:
            wanted = f'a list of up to {most} IDs such as "{prefix}0123abcd"'
            problems.append(f"Expected {name} to be {wanted}, found {given!r}.")
    if bool(subnets) != bool(security_groups):
        problems.append("Expected subnets and security_groups together, or neither: a job in a VPC needs both.")
    if kms_key and not KEY_ARN.fullmatch(kms_key):
        problems.append(
            "Expected kms_key to be the ARN of a KMS key, such as arn:aws:kms:us-east-1:123456789012:key/"
            f"1234abcd-12ab-34cd-56ef-1234567890ab, found {kms_key!r}. `aws kms describe-key` prints it."
        )
    return problems


def connect_embedded(bucket: str, kms_key: str) -> Connection:
    """Connect to the embedded AWS, started if need be. See `connect`."""
    from helpers import embedded  # imported here so that target="aws" loads nothing of it

    try:
        server = embedded.start()
    except embedded.EmbeddedError as error:
        raise ConnectError(str(error)) from error
    use_environment(server)
    session = boto3.Session(region_name=FAKE_KEYS["AWS_REGION"])
    account = session.client("sts").get_caller_identity()["Account"]
    complete_requests(session, account, kms_key)
    iam = session.client("iam")
    try:
        made = iam.create_role(RoleName=EMBEDDED_ROLE, AssumeRolePolicyDocument=json.dumps(TRUST_SAGEMAKER))
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise
        made = iam.get_role(RoleName=EMBEDDED_ROLE)
    bucket = make_bucket(session, bucket or f"mlagents-{session.region_name}-{account}", kms_key)
    return Connection(
        target="embedded",
        session=session,
        account=account,
        region=session.region_name,
        bucket=bucket,
        role=made["Role"]["Arn"],
        endpoint=server.url,
    )


def connect_aws(role: str, bucket: str, region: str, kms_key: str) -> Connection:
    """Connect to the reader's own account. See `connect`."""
    restore_environment()
    try:
        session = boto3.Session(region_name=region or None)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise ConnectError(
            f"Expected AWS settings that can be used, found some that cannot: {error}. Look at AWS_PROFILE, at the "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of your environment, and at `aws configure list`."
        ) from error
    if not session.region_name:
        raise ConnectError(
            "Expected an AWS region, found none. Run `aws configure set region us-east-1` (or the region "
            "nearest to you), or pass region=."
        )
    if credentials is None:
        raise ConnectError(
            "Expected AWS credentials, found none. Run `aws configure` (access keys) or `aws sso login`, or "
            "set AWS_PROFILE to a profile that has them. To learn without an account, use "
            'target="embedded".'
        )
    if not role:
        raise ConnectError(
            "Expected the name or ARN of an execution role, found none. A training job runs as a role that "
            "trusts sagemaker.amazonaws.com and may read and write your bucket. Make one in the IAM console "
            "(use case SageMaker), then pass role=."
        )
    try:
        account = session.client("sts").get_caller_identity()["Account"]
        complete_requests(session, account, kms_key)
        if not role.startswith("arn:"):
            role = session.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        bucket = make_bucket(session, bucket or f"mlagents-{session.region_name}-{account}", kms_key)
    except (BotoCoreError, ClientError) as error:
        raise ConnectError(
            f"AWS refused, or could not be reached: {error} Check that the credentials are still valid "
            "(`aws sts get-caller-identity`) and may use the role and the bucket."
        ) from error
    return Connection("aws", session, account, session.region_name, bucket, role)


def require_embedded(endpoint: str) -> None:
    """Make sure that the embedded AWS still answers at `endpoint`. Raises `ConnectError`."""
    from helpers import embedded

    server = embedded.find()
    if server is None or server.url != endpoint:
        raise ConnectError(
            f"The embedded AWS at {endpoint} no longer answers: it was stopped. Run the notebook again from its "
            "first cell: that starts a new one, which knows the files and the jobs of the old."
        )


def complete_requests(session: boto3.Session, account: str, kms_key: str = "") -> None:
    """Have every S3 request of a session name the account that the bucket must belong to, and each upload the key.

    S3 then refuses the request where somebody else has taken the bucket's name
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html). CreateBucket has no such
    parameter; it fails where the name is taken.
    """

    def add(params: dict, model: OperationModel, **_: object) -> None:
        for name in {"ExpectedBucketOwner", "ExpectedSourceBucketOwner"} & model.input_shape.members.keys():
            params[name] = account
        if kms_key and model.name in ("PutObject", "CreateMultipartUpload", "CopyObject"):
            params.update(ServerSideEncryption="aws:kms", SSEKMSKeyId=kms_key)

    session.events.register("provide-client-params.s3", add, unique_id="complete-requests")


def make_bucket(session: boto3.Session, bucket: str, kms_key: str = "") -> str:
    """Make a bucket unless it is there, make sure that it is private and encrypted, and return its name.

    Raises
    ------
    ConnectError
        If the bucket belongs to another account, public access to it can't be blocked, or it can't be encrypted.
    botocore.exceptions.ClientError
        If S3 refuses for another reason.
    """
    s3 = session.client("s3")
    try:
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if code(error) not in ("404", "NoSuchBucket"):
                raise
            # us-east-1 is the one region that must not be named here.
            place = {"CreateBucketConfiguration": {"LocationConstraint": session.region_name}}
            s3.create_bucket(Bucket=bucket, **({} if session.region_name == "us-east-1" else place))
    except ClientError as error:
        if code(error) in ("403", "AccessDenied", "BucketAlreadyExists"):
            raise ConnectError(
                f"Expected the bucket {bucket} to be yours, found that S3 refuses it: {error} All accounts share the "
                "names of buckets. If it is somebody else's, nothing was sent there: choose another with bucket=. If "
                "it is yours, ask for s3:ListBucket and s3:CreateBucket (`python -m helpers.policies user`)."
            ) from error
        if code(error) != "BucketAlreadyOwnedByYou":  # another notebook was quicker
            raise
    block_public_access(s3, bucket)
    if kms_key:
        encrypt(s3, bucket, kms_key)
    return bucket


def block_public_access(s3: Any, bucket: str) -> None:
    """Block public access to a bucket, unless it is blocked. Raises as `make_bucket` does."""
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
            "s3:GetBucketPublicAccessBlock and s3:PutBucketPublicAccessBlock (`python -m helpers.policies user`)."
        ) from error


def encrypt(s3: Any, bucket: str, kms_key: str) -> None:
    """Make a key the bucket's default, which checkpoints and TensorBoard's files are encrypted with.

    SageMaker takes a key for a job's results, and none for those.
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
            "s3:PutEncryptionConfiguration (`python -m helpers.policies user --kms-key …`)."
        ) from error


def code(error: ClientError) -> str:
    """Return AWS's short word for an error, such as ``"AccessDenied"``."""
    return error.response["Error"]["Code"]


def has_expired(error: Exception) -> bool:
    """Return whether AWS no longer accepts the credentials, or none can be had for want of a new login."""
    if not isinstance(error, ClientError):
        return isinstance(error, NO_CREDENTIALS)
    # An answer to a HEAD request has no body, and so no word.
    return code(error) in EXPIRED or (code(error) == "400" and error.operation_name.startswith("Head"))


def is_throttled(error: Exception) -> bool:
    """Return whether AWS asks for fewer requests."""
    return isinstance(error, ClientError) and code(error) in THROTTLED


def explain_silence(connection: Connection, error: Exception) -> str:
    """Say why a request has no answer that holds, and what to do; empty where AWS answered, be it with a refusal."""
    told = f"{str(error).rstrip('.')}."
    if has_expired(error) and not connection.endpoint:
        return (
            f"Your AWS credentials have expired, or are not valid any more: {told} Get new ones (`aws sso login`, or "
            "new access keys where you set them), then run the notebook again from its first cell."
        )
    if isinstance(error, (ConnectionError, HTTPClientError)):
        if connection.endpoint:
            return (
                f"The embedded AWS at {connection.endpoint} no longer answers: it was stopped, and what ran there with "
                "it. Run the notebook again from its first cell: that starts a new one, which knows what had ended."
            )
        return f"AWS cannot be reached: {told} Run this again later."
    if is_throttled(error):
        return f"AWS wants to be asked less often, and others ask it, too: {told} Wait a minute and run this again."
    answer = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    if answer.get("HTTPStatusCode", 0) >= 500 and not connection.endpoint:
        return f"AWS has a fault of its own: {told} Run this again later."
    return ""


@contextlib.contextmanager
def explained(connection: Connection, error_type: type[Exception], more: str) -> Iterator[None]:
    """Say in words that there is no answer, and why.

    Parameters
    ----------
    connection : Connection
    error_type : type
        Of what is raised instead of botocore's error.
    more : str
        What that means for what was asked, such as whether something goes on and is billed. Only said of AWS.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if not (why := explain_silence(connection, error)):
            raise
        raise error_type(why if connection.endpoint else f"{why} {more}") from error


_before: dict[str, str | None] = {}


def use_environment(server: "Server") -> None:
    """Turn every AWS client of this process, and of those it starts, to the server."""
    changes = {
        **FAKE_KEYS,
        "AWS_ACCESS_KEY_ID": server.keys.access,
        "AWS_SECRET_ACCESS_KEY": server.keys.secret,
        "AWS_ENDPOINT_URL": server.url,
        # The SageMaker SDK reports its use over the network unless its configuration says otherwise.
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(server.sdk_config),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # A proxy cannot reach this machine's loopback address.
        **dict.fromkeys(("NO_PROXY", "no_proxy"), no_proxy()),
        **dict.fromkeys(HIDDEN),
        # An endpoint set for one service, such as AWS_ENDPOINT_URL_S3, would lead past the embedded AWS.
        **dict.fromkeys(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")),
    }
    for name, value in changes.items():
        _before.setdefault(name, os.environ.get(name))
        set_variable(name, value)
    # boto3 keeps a default session with the credentials it first found.
    boto3.DEFAULT_SESSION = None


def no_proxy() -> str:
    """Return what no proxy is to be asked for: what the reader set, in either case of the name, and this machine."""
    hosts = [os.environ.get("NO_PROXY"), os.environ.get("no_proxy"), "127.0.0.1"]
    return ",".join(dict.fromkeys(filter(None, hosts)))


def restore_environment() -> None:
    """Undo `use_environment`, so that the reader's own credentials count again."""
    for name, value in _before.items():
        set_variable(name, value)
    _before.clear()
    boto3.DEFAULT_SESSION = None


def set_variable(name: str, value: str | None) -> None:
    """Set an environment variable, or remove it where `value` is None."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
