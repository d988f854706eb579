"""Authentication: a request must be signed with the folder's keys, and must not come from a web page.

Anything on this machine can reach the port: other users, and every page that a browser shows. A page can send any
request, even though it can't read the response. So a request needs a valid signature (AWS's Signature V4), must name
this server in ``Host``, and must not come from a page. botocore's own signers compute the expected signature.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID

from sagemaker_local.home import Keys
from sagemaker_local.schema import AwsError

SERVICES = frozenset({"ecr", "iam", "logs", "monitoring", "pricing", "s3", "sagemaker", "servicequotas", "sts"})
SERVICES |= {"budgets", "cloudformation", "codebuild", "events", "sns"}
"""The services that are served, by their names in signatures: those that training and the SDKs need. The other services
of moto can't be reached, because some of them start containers or fetch URLs."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})
MOTOS_OWN = re.compile(r"/(moto-api|latest|favicon\.ico)(/|$)")
SKEW_SECONDS = 15 * 60
PRESIGNED_SECONDS = 7 * 24 * 3600
OWNERS = ("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", "HTTP_X_AMZ_SOURCE_EXPECTED_BUCKET_OWNER")
"""Headers that name the account that a bucket must belong to; here all buckets belong to one account."""
MAX_UNSIGNED = 64 << 20
"""Largest body, in bytes, that is read before its sender is authenticated. S3's requests have a header with the hash of
their body, so theirs is read later."""

HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;_.-]+), ?Signature=([0-9a-f]{64})"
)
SCOPE = re.compile(r"([A-Z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
QUERY_NAME = re.compile(r"[A-Za-z0-9-]+")
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILER = "-TRAILER"
UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Caller:
    """Service and region that a request was signed for, and whether the server itself signed it."""

    service: str
    region: str
    internal: bool


@dataclass(frozen=True)
class Signature:
    """A request's signature and what it covers."""

    access: str
    region: str
    service: str
    time: str
    names: tuple[str, ...]
    value: str
    scope: str


class Authenticator:
    """Admits requests that name `host` (with its port) and are signed with `keys`, or with the server's `own`."""

    def __init__(self, host: str, keys: Keys, own: Keys):
        self.host, self.own = host, own
        self.keys = {keys.access: keys, own.access: own}

    def admit(self, environ: dict[str, Any]) -> Caller:
        """Authenticate a request, and leave its body readable.

        Raise `AwsError` if it is refused, with AWS's own code if AWS has one.
        """
        self._refuse_pages(environ)
        raw = urlsplit(environ["RAW_URI"])
        query = dict(parse_qsl(raw.query, keep_blank_values=True))
        if "HTTP_AUTHORIZATION" in environ:
            if "X-Amz-Signature" in query or "Signature" in query:
                raise AwsError("InvalidArgument", "Only one auth mechanism allowed", 400)
            caller = self._check_header(environ)
        elif "X-Amz-Signature" in query:
            caller = self._check_query(environ, query)
        elif "Signature" in query:
            caller = self._check_old_query(environ, query)
        else:
            raise AwsError("AccessDenied", "Expected a signed request, found one without a signature.", 403)
        if MOTOS_OWN.match(environ["PATH_INFO"]) and caller.service != "s3":
            raise AwsError("AccessDenied", f"{environ['PATH_INFO']} is not served.", 403)
        if caller.service == "s3":
            check_names(environ, raw.query)
            if any(environ.get(name, DEFAULT_ACCOUNT_ID) != DEFAULT_ACCOUNT_ID for name in OWNERS):
                raise AwsError("AccessDenied", "Access Denied", 403)
        return caller

    def _refuse_pages(self, environ: dict[str, Any]) -> None:
        """Refuse requests of web pages, and those that name another host."""
        raw = environ["RAW_URI"]
        if not raw.startswith("/") or raw.startswith("//") or not raw.isascii():
            raise AwsError("InvalidURI", "Expected a path that begins with one slash.", 400)
        if unquote(raw.partition("?")[0]).encode("utf-8", "replace").decode("latin-1") != environ["PATH_INFO"]:
            raise AwsError("InvalidURI", "Expected a path in UTF-8.", 400)
        if environ.get("HTTP_HOST") != self.host:
            raise AwsError("AccessDenied", f"Expected Host to be {self.host}.", 403)
        if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
            raise AwsError("AccessDenied", "Web pages may not call the embedded AWS.", 403)
        if environ["REQUEST_METHOD"] not in METHODS:
            raise AwsError("MethodNotAllowed", f"{environ['REQUEST_METHOD']} is not served.", 405)

    def _find(self, access: str, service: str) -> Keys:
        if service not in SERVICES:
            known = ", ".join(sorted(SERVICES))
            raise AwsError("AccessDenied", f"The embedded AWS does not serve {service}. It serves {known}.", 403)
        if access not in self.keys:
            code = "InvalidAccessKeyId" if service == "s3" else "UnrecognizedClientException"
            raise AwsError(code, "The access key is not this embedded AWS's. Its keys are in aws-config.", 403)
        return self.keys[access]

    def _check_header(self, environ: dict[str, Any]) -> Caller:
        """Check the signature in the header ``Authorization``."""
        found = HEADER.fullmatch(environ["HTTP_AUTHORIZATION"])
        if not found:
            raise AwsError("IncompleteSignature", "Expected Authorization to be a Signature Version 4.", 403)
        access, day, region, service, names, value = found.groups()
        keys = self._find(access, service)
        sent = environ.get("HTTP_X_AMZ_DATE", "")
        check_time(sent, day)
        scope = f"{day}/{region}/{service}/aws4_request"
        signature = Signature(access, region, service, sent, tuple(names.split(";")), value, scope)
        require_signed(environ, signature.names)
        content = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
        if content is None and service == "s3":
            raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", 400)
        body = take_body(environ, MAX_UNSIGNED) if content is None else None
        compare(expect(S3SigV4Auth if service == "s3" else SigV4Auth, keys, signature, environ, body), signature)
        if content is not None and content not in UNSIGNED:
            check_content(environ, content, keys, signature)
        return Caller(service, region, keys == self.own)

    def _check_query(self, environ: dict[str, Any], query: dict[str, str]) -> Caller:
        """Check a presigned URL."""
        found = SCOPE.fullmatch(query.get("X-Amz-Credential", ""))
        if not found or query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            raise AwsError("AuthorizationQueryParametersError", "Expected a URL presigned with Signature V4.", 400)
        access, day, region, service = found.groups()
        keys = self._find(access, service)
        if service != "s3":
            raise AwsError("AccessDenied", "Only URLs of S3 may be presigned.", 403)
        sent = query.get("X-Amz-Date", "")
        check_time(sent, day, query.get("X-Amz-Expires", ""))
        names = tuple(query.get("X-Amz-SignedHeaders", "").split(";"))
        scope = f"{day}/{region}/{service}/aws4_request"
        signature = Signature(access, region, service, sent, names, query["X-Amz-Signature"], scope)
        require_signed(environ, names)
        compare(expect(S3SigV4QueryAuth, keys, signature, environ, None), signature)
        return Caller(service, region, False)

    def _check_old_query(self, environ: dict[str, Any], query: dict[str, str]) -> Caller:
        """Check a URL presigned with S3's old Signature V2, still boto3's default."""
        keys = self._find(query.get("AWSAccessKeyId", ""), "s3")
        expires = query.get("Expires", "")
        if not re.fullmatch(r"\d{1,12}", expires) or not time.time() <= int(expires) <= time.time() + PRESIGNED_SECONDS:
            raise AwsError("AccessDenied", "Request has expired", 403)
        headers = HTTPHeaders()
        for name, value in headers_of(environ):
            if name in ("content-md5", "content-type") or name.startswith("x-amz-"):
                headers[name] = value
        auth = HmacV1QueryAuth(Credentials(keys.access, keys.secret))
        auth._get_date = lambda: expires
        expected = auth.get_signature(environ["REQUEST_METHOD"], urlsplit(environ["RAW_URI"]), headers)
        if not hmac.compare_digest(expected.encode(), query["Signature"].encode()):
            raise mismatch()
        return Caller("s3", "us-east-1", False)


def mismatch() -> AwsError:
    """Return AWS's error for a wrong signature."""
    return AwsError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        403,
    )


def compare(expected: str, signature: Signature) -> None:
    """Refuse a wrong signature; the comparison takes constant time."""
    if not hmac.compare_digest(expected.encode(), signature.value.encode()):
        raise mismatch()


def check_time(sent: str, day: str, expires: str | None = None) -> None:
    """Refuse a request that was signed too long ago or in the future; `expires` is how long a presigned URL lasts.

    Raise `AwsError`: RequestTimeTooSkewed, or AccessDenied for a URL.
    """
    try:
        seconds = datetime.strptime(sent, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise AwsError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403) from None
    age = time.time() - seconds
    lasts = SKEW_SECONDS
    if expires is not None:
        lasts = int(expires) if re.fullmatch(r"\d{1,6}", expires) else -1
        if not 0 < lasts <= PRESIGNED_SECONDS:
            message = f"X-Amz-Expires must be from 1 to {PRESIGNED_SECONDS}"
            raise AwsError("AuthorizationQueryParametersError", message, 400)
    if not sent.startswith(day):
        raise mismatch()
    if age > lasts and expires is not None:
        raise AwsError("AccessDenied", "Request has expired", 403)
    if age > lasts or age < -SKEW_SECONDS:
        message = "The difference between the request time and the current time is too large."
        raise AwsError("RequestTimeTooSkewed", message, 403)


def headers_of(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a request's headers in lower case."""
    for name, value in environ.items():
        if name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if value:
                yield name.lower().replace("_", "-"), value
        elif name.startswith("HTTP_"):
            yield name[5:].lower().replace("_", "-"), value


def require_signed(environ: dict[str, Any], names: tuple[str, ...]) -> None:
    """Refuse a request with an unsigned ``host`` or ``x-amz-*`` header."""
    signed = {name.replace("_", "-") for name in names}  # WSGI can't tell the two apart
    present = ["host", *(name for name, _ in headers_of(environ) if name.startswith("x-amz-"))]
    if missing := [name for name in present if name not in signed]:
        message = f"There were headers present in the request which were not signed: {', '.join(missing)}"
        raise AwsError("AccessDenied", message, 403)


def expect(kind: type[SigV4Auth], keys: Keys, signature: Signature, environ: dict[str, Any], body: bytes | None) -> str:
    """Compute a request's signature with botocore."""
    auth = kind(Credentials(keys.access, keys.secret), signature.service, signature.region)
    url = environ["RAW_URI"]
    if kind is S3SigV4QueryAuth:
        url = re.sub(r"&X-Amz-Signature=[^&]*|(?<=\?)X-Amz-Signature=[^&]*&?", "", url)
    sent = dict(headers_of(environ))
    headers = HTTPHeaders()
    for name in signature.names:
        headers[name] = sent.get(name.replace("_", "-"), "")
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://{environ['HTTP_HOST']}{url}", data=body)
    request.context["timestamp"] = signature.time
    content = environ.get("HTTP_X_AMZ_CONTENT_SHA256") if kind is not S3SigV4QueryAuth else "UNSIGNED-PAYLOAD"
    canonical = "\n".join(
        (
            environ["REQUEST_METHOD"],
            auth._normalize_url_path(urlsplit(request.url).path),
            auth.canonical_query_string(request),
            auth.canonical_headers(headers) + "\n",
            ";".join(signature.names),
            content or hashlib.sha256(body or b"").hexdigest(),
        )
    )
    return sign(keys, signature, auth.string_to_sign(request, canonical))


@functools.lru_cache(maxsize=64)
def signing_key(secret: str, scope: str) -> bytes:
    """Derive the key of a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(keys: Keys, signature: Signature, text: str) -> str:
    """Sign a text as Signature Version 4 does."""
    return hmac.new(signing_key(keys.secret, signature.scope), text.encode(), hashlib.sha256).hexdigest()


def take_body(environ: dict[str, Any], limit: int | None = None) -> bytes:
    """Return the body, and leave it readable."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not re.fullmatch(r"\d{1,15}", length):
        raise AwsError("InvalidArgument", "Expected Content-Length to be a number.", 400)
    chunked = environ.get("wsgi.input_terminated")
    if limit is not None and (chunked or int(length) > limit):
        raise AwsError("EntityTooLarge", f"Expected a body of at most {limit} bytes.", 413)
    body = environ["wsgi.input"].read() if chunked else environ["wsgi.input"].read(int(length))
    if not chunked and len(body) != int(length):
        raise AwsError("IncompleteBody", "The body ended before its Content-Length.", 400)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def check_content(environ: dict[str, Any], content: str, keys: Keys, signature: Signature) -> None:
    """Refuse a body that is not what was signed.

    Raise `AwsError`: XAmzContentSHA256Mismatch, or SignatureDoesNotMatch for a chunk.
    """
    body = take_body(environ)
    if content.removesuffix(TRAILER) == STREAMING:
        check_chunks(body, keys, signature, content.endswith(TRAILER))
    elif hashlib.sha256(body).hexdigest() != content:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", message, 400)


def check_chunks(body: bytes, keys: Keys, signature: Signature, trailer: bool) -> None:
    """Check a body of signed chunks, and the headers that follow them.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    position, previous, size = 0, signature.value, -1
    while size:
        end = body.find(b"\r\n", position)
        line = re.fullmatch(rb"([0-9a-fA-F]{1,15});chunk-signature=([0-9a-f]{64})", body[position:end])
        if end < 0 or not line:
            raise AwsError("IncompleteBody", "Expected a body of signed chunks.", 400)
        size, claimed = int(line[1], 16), line[2].decode()
        chunk = memoryview(body)[end + 2 : end + 2 + size]
        after = end + 2 + size
        position = after + (2 if size or not trailer else 0)
        if body[after:position].strip(b"\r\n"):
            raise AwsError("IncompleteBody", "Expected a line break at the end of a chunk.", 400)
        fields = ("AWS4-HMAC-SHA256-PAYLOAD", signature.time, signature.scope, previous, EMPTY)
        expected = sign(keys, signature, "\n".join((*fields, hashlib.sha256(chunk).hexdigest())))
        if not hmac.compare_digest(expected, claimed):
            raise mismatch()
        previous = claimed
    if trailer:
        text, _, claimed = body[position:].rstrip(b"\r\n").rpartition(b"x-amz-trailer-signature:")
        lines = text.replace(b"\r\n", b"\n").strip(b"\n") + b"\n"
        fields = ("AWS4-HMAC-SHA256-TRAILER", signature.time, signature.scope, previous)
        expected = sign(keys, signature, "\n".join((*fields, hashlib.sha256(lines).hexdigest())))
        if not hmac.compare_digest(expected.encode(), claimed.strip()):
            raise mismatch()
    elif body[position:]:
        raise AwsError("IncompleteBody", "Expected nothing after the last chunk.", 400)


def check_names(environ: dict[str, Any], query: str) -> None:
    """Refuse names of buckets, objects and parameters that have a special meaning in a file system.

    Raise `AwsError`: InvalidBucketName, InvalidURI or InvalidArgument.
    """
    check_path(environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"))
    if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
        check_path("/" + unquote(source.partition("?")[0]).lstrip("/"))
    for name, value in parse_qsl(query, keep_blank_values=True):
        if not QUERY_NAME.fullmatch(name):
            raise AwsError("InvalidArgument", f"There is no parameter {name!r}.", 400)
        if name in ("uploadId", "partNumber") and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value):
            raise AwsError("NoSuchUpload", "The specified multipart upload does not exist.", 404)


def check_path(path: str) -> None:
    """Refuse a path with an invalid bucket or key."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if bucket and not BUCKET.fullmatch(bucket):
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.", 400)
    if "\0" in key or "\N{REPLACEMENT CHARACTER}" in key or {".", ".."} & set(key.split("/")):
        raise AwsError("InvalidURI", "Expected a key without NUL and without . and .. among its parts.", 400)
