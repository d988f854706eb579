"""A connection to AWS or to the embedded AWS, and explanations of missing responses."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import socket
import threading
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import Credentials
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

EMBEDDED_KEY = "AKEM"  # the embedded AWS's access keys begin so
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
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9A-Za-z-]+")
PROJECT_TAG = {"Key": "project", "Value": "mlagents"}
"""On everything that the project makes in an account; by it things are found again, and deleted."""
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
        Makes clients for it: ``connection.session.client("s3")`` goes where the connection goes. A bare
        ``boto3.client("s3")`` does not: it takes the reader's own credentials.
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
    home : Path or None
        The embedded AWS's folder; None for AWS.
    check_alive : callable
        Called with this connection before each client of an endpoint is made; raises `ConnectError` where it is gone.
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
    home: Path | None = None
    check_alive: Callable[[Connection], None] = field(default=lambda connection: None, compare=False, repr=False)

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
            self.check_alive(self)
        return self.session.client(service, config=config)

    @contextlib.contextmanager
    def sdk(self) -> Iterator[None]:
        """Let the SageMaker SDK work for this connection inside a ``with``, for one connection at a time.

        The SDK's own session is given this connection's. What it does not take from there, its settings and sometimes a
        client, it takes from the environment and from boto3's default session.
        """
        # The SDK would refuse a role that lacks rights to make network interfaces, which only jobs in a VPC use.
        # account_check.preflight looks at the rights that these jobs need.
        changes = {"SAGEMAKER_VALIDATE_ROLE": os.environ.get("SAGEMAKER_VALIDATE_ROLE", "false")}
        if self.home:
            # Without this file of its own it would report its use over the network, and take the reader's defaults.
            for name in ("SAGEMAKER_USER_CONFIG_OVERRIDE", "SAGEMAKER_ADMIN_CONFIG_OVERRIDE"):
                changes[name] = str(self.home / "sagemaker-config.yaml")
        logging.getLogger("sagemaker").setLevel(logging.WARNING)  # what it does is shown by the notebooks
        with _sdk_lock, unittest.mock.patch("jsonschema.validate", _validate):
            before = {name: os.environ.get(name) for name in changes}
            default, boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION, self.session
            with _client_lock:
                os.environ.update(changes)
            try:
                yield
            finally:
                boto3.DEFAULT_SESSION = default
                with _client_lock:
                    for name, value in before.items():
                        os.environ.pop(name, None) if value is None else os.environ.update({name: value})

    def __str__(self) -> str:
        where = f"the embedded AWS at {self.endpoint}" if self.endpoint else f"AWS account {self.account}"
        return f"{where}, region {self.region}\nbucket {self.bucket}\nrole   {self.role}"


_sdk_lock = threading.RLock()
_valid_schemas: dict[int, Any] = {}


def _validate(instance: Any, schema: Any) -> None:
    """Validate an instance as ``jsonschema.validate`` does, and each schema itself once only.

    The SDK validates its settings against the same schema some twenty times for a trainer and its launch. To check that
    schema anew each time took four fifths of the processor time of a launch.
    """
    import jsonschema

    validator = jsonschema.validators.validator_for(schema)
    if id(schema) not in _valid_schemas:
        validator.check_schema(schema)
        _valid_schemas[id(schema)] = schema  # kept, so that no other object can have its id
    if error := jsonschema.exceptions.best_match(validator(schema).iter_errors(instance)):
        raise error


# boto3: a session may not make clients in several threads at once. Each reads the whole environment for proxies, which
# fails if a variable goes meanwhile.
_client_lock = threading.RLock()


class BoundSession(botocore.session.Session):
    """A botocore session whose clients go to one place, whatever becomes of the environment later.

    Parameters
    ----------
    endpoint : str
        The embedded AWS's address. Empty: where the reader's settings lead, as they are now.
    """

    def __init__(self, endpoint: str = ""):
        super().__init__()
        self.endpoint = endpoint
        with _client_lock:
            self.environ = dict(os.environ)
        self.pinned: dict[str, Any] = {}
        if endpoint:
            self.pinned = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}

    def pin(self) -> None:
        """Keep to the settings as they are now."""
        for name in ("profile", "config_file", "credentials_file", "ignore_configured_endpoint_urls"):
            self.pinned[name] = self.get_config_variable(name)
        _ = self.full_config  # which is read once

    def get_config_variable(self, logical_name: str, methods: Any = None) -> Any:
        """Return a setting: see botocore."""
        if logical_name in self.pinned:
            return self.pinned[logical_name]
        return super().get_config_variable(logical_name, methods)

    def create_client(self, service_name: str, region_name: str | None = None, **options: Any) -> Any:
        """Make a client: see botocore.

        Raises
        ------
        ConnectError
            If it would go elsewhere, or with other keys.
        """
        config = options.pop("config", None) or Config()
        if self.endpoint:
            if options.get("aws_access_key_id"):
                raise ConnectError("Expected no access key for a client of the embedded AWS: its session has its own.")
            # The SDK names AWS's own address for STS.
            options["endpoint_url"] = self.endpoint
            # A proxy cannot reach this machine's loopback address.
            fixed = Config(proxies={}, use_fips_endpoint=False, use_dualstack_endpoint=False)
        else:
            options["endpoint_url"] = options.get("endpoint_url") or self._find_endpoint(service_name)
            require_elsewhere(options["endpoint_url"])
            fixed = Config(ignore_configured_endpoint_urls=True)
        with _client_lock:
            return super().create_client(service_name, region_name, config=config.merge(fixed), **options)

    def _find_endpoint(self, service: str) -> str | None:
        """Return the address that the reader's settings name for a service, or None for AWS's own."""
        if self.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        return ConfiguredEndpointProvider(self.full_config, self.get_scoped_config(), service, self.environ).provide()


def is_this_machine(endpoint: str | None) -> bool:
    """Return whether an address leads to this machine's loopback, however it is written: `127.1`, `[::]`, a name of it.

    A name is looked up, as a client would do it.
    """
    host = urlsplit(endpoint or "").hostname or ""
    try:
        found = {str(place[0]) for *_, place in socket.getaddrinfo(host, None)} if host else set()
    except (OSError, UnicodeError):  # the client will say so
        found = set()
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    addresses = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    names_it = host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    return names_it or any(address.is_loopback or address.is_unspecified for address in addresses)


def require_elsewhere(endpoint: str | None) -> None:
    """Refuse an address of this machine as one of AWS. Raises `ConnectError`."""
    if is_this_machine(endpoint):
        raise ConnectError(
            f'Expected target "aws" to be AWS, found the address {endpoint} of this machine in your settings. Unset '
            "AWS_ENDPOINT_URL and the like, and AWS_CONFIG_FILE if it names a file of the embedded AWS, or take "
            'target="embedded".'
        )


def open_session(region: str = "") -> boto3.Session:
    """Return a session with the reader's own settings, as they are now; it may have no credentials.

    Raises
    ------
    ConnectError
        If the settings cannot be used, or lead to the embedded AWS.
    """
    bound = BoundSession()
    try:
        session = boto3.Session(botocore_session=bound, region_name=region or None)
        credentials = session.get_credentials()
        bound.pin()
    except BotoCoreError as error:
        raise ConnectError(
            f"Expected AWS settings that can be used, found some that cannot: {error}. Look at AWS_PROFILE, at the "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of your environment, and at `aws configure list`."
        ) from error
    # Those that expire are AWS's, and to look at them could ask for new ones.
    if type(credentials) is Credentials and credentials.access_key.startswith(EMBEDDED_KEY):
        raise ConnectError(
            'Expected credentials of your own for target "aws", found keys of an embedded AWS. Unset '
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_CONFIG_FILE."
        )
    return session


def choose_place(
    subnets: Sequence[str], security_groups: Sequence[str], kms_key: str
) -> tuple[Sequence[str], Sequence[str], str]:
    """Return VPC and key from the arguments, else from the environment. Raises `ConnectError` if they are invalid."""
    subnets = subnets or os.environ.get("TRAINING_SUBNETS", "").split()
    security_groups = security_groups or os.environ.get("TRAINING_SECURITY_GROUPS", "").split()
    kms_key = kms_key or os.environ.get("TRAINING_KMS_KEY", "")
    if problems := find_problems(subnets, security_groups, kms_key):
        raise ConnectError("\n".join(problems))
    return subnets, security_groups, kms_key


def find_problems(subnets: Sequence[str], security_groups: Sequence[str], kms_key: str) -> list[str]:
    """Return the problems of the IDs in a VPC and of a key's ARN, a sentence for each."""
    problems = []
    lists = {"subnets": (subnets, "subnet-", 16), "security_groups": (security_groups, "sg-", 5)}
    for name, (value, prefix, limit) in lists.items():
        ids = not isinstance(value, str) and all(re.fullmatch(f"{prefix}[0-9a-f]+", one) for one in value)
        if not ids or len(value) > limit:
            expected = f'a list of up to {limit} IDs such as "{prefix}0123abcd"'
            problems.append(f"Expected {name} to be {expected}, found {value!r}.")
    if bool(subnets) != bool(security_groups):
        problems.append("Expected subnets and security_groups together, or neither: a job in a VPC needs both.")
    if kms_key and not KEY_ARN.fullmatch(kms_key):
        problems.append(
            "Expected kms_key to be the ARN of a KMS key, such as arn:aws:kms:us-east-1:123456789012:key/"
            f"1234abcd-12ab-34cd-56ef-1234567890ab, found {kms_key!r}. `aws kms describe-key` prints it."
        )
    return problems


def default_bucket(region: str, account: str) -> str:
    """Return the name of the bucket that is taken where none is chosen."""
    return f"mlagents-{region}-{account}"


def code(error: ClientError) -> str:
    """Return AWS's error code, such as ``"AccessDenied"``."""
    return error.response["Error"]["Code"]


def has_expired(error: Exception) -> bool:
    """Return whether AWS no longer accepts the credentials, or a new login is needed to get any."""
    if not isinstance(error, ClientError):
        return isinstance(error, NO_CREDENTIALS)
    # The response to a HEAD request has no body, and so no error code.
    return code(error) in EXPIRED or (code(error) == "400" and error.operation_name.startswith("Head"))


def is_throttled(error: Exception) -> bool:
    """Return whether AWS limits the rate of requests."""
    return isinstance(error, ClientError) and code(error) in THROTTLED


def find_embedded(place: Any) -> str:
    """Return the URL of the embedded AWS for a connection or boto3 client; empty for AWS."""
    if isinstance(place, BaseClient):
        return place.meta.endpoint_url if is_this_machine(place.meta.endpoint_url) else ""
    return place.endpoint or ""


def explain_silence(place: Any, error: Exception) -> str:
    """Explain a failure that does not depend on the request, and say what to do.

    Parameters
    ----------
    place : Connection or boto3 client
        What made the request.
    error : Exception

    Returns
    -------
    str
        Empty if the service responded, even if it refused the request.
    """
    endpoint = find_embedded(place)
    text = f"{str(error).rstrip('.')}."
    if has_expired(error) and not endpoint:
        return (
            f"Your AWS credentials have expired, or are no longer valid: {text} Get new ones (`aws sso login`, or "
            "new access keys where you set them), then run the notebook again from its first cell."
        )
    if isinstance(error, (ConnectionError, HTTPClientError)):
        if endpoint:
            return (
                f"The embedded AWS at {endpoint} no longer answers: it was stopped, and what ran there with it. "
                "Run the notebook again from its first cell: that starts a new one, which knows what had ended."
            )
        return f"AWS cannot be reached: {text} Run this again later."
    if is_throttled(error):
        return f"AWS limits the rate of requests, yours and others': {text} Wait a minute and run this again."
    response = error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
    if response.get("HTTPStatusCode", 0) >= 500 and not endpoint:
        return f"AWS has an internal error: {text} Run this again later."
    return ""


@contextlib.contextmanager
def explained(place: Any, error_type: type[Exception], more: str) -> Iterator[None]:
    """Turn botocore's errors about a missing response into one that says why.

    Parameters
    ----------
    place : Connection or boto3 client
    error_type : type
        The class to raise.
    more : str
        What that means for the work at hand, such as whether something continues and is billed. Added for AWS only.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if not (why := explain_silence(place, error)):
            raise
        raise error_type(why if find_embedded(place) else f"{why} {more}") from error
