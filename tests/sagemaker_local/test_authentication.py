"""Who may call the embedded AWS: each attack really runs, is refused with its status, and changes nothing."""

import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import sagemaker_local as embedded
from sagemaker_local import authentication, registry_proxy
from sagemaker_local.home import CONFIG, Keys
from sagemaker_local.registry_proxy import RefusedError
from sagemaker_local.schema import AwsError

NOBODY = 65534
FORM = "multipart/form-data; boundary=x"
UPLOAD = '--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nplanted\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nevil\r\n--x--\r\n'
CREATE = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "SageMaker.CreateTrainingJob",
    "Authorization": "AWS4-HMAC-SHA256 Credential=EMBEDDED/20250101/us-east-1/sagemaker/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
}


def send(aws, method, path, headers=(), body=b""):
    """Send a request unchanged; return status and text."""
    connection = http.client.HTTPConnection(urlsplit(aws.server.url).netloc, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in dict(headers), skip_accept_encoding=True)
    body = body.encode() if isinstance(body, str) else body
    for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    return response.status, response.read().decode()


def sign(aws, method, path, service="s3", headers=(), body=b"", keys=None, **more):
    """Return the headers of a signed request."""
    keys = keys or aws.server.keys
    request = AWSRequest(method, aws.server.url + path, dict(headers), body)
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(Credentials(keys.access, keys.secret), service, "us-east-1").add_auth(request)
    return {**dict(request.headers), **more}


@pytest.fixture
def unchanged(aws):
    """Check that the test changes nothing that an attacker could want to change."""
    aws.s3.put_object(Bucket=aws.bucket, Key="build/data.bin", Body=b"build")

    def look():
        objects = aws.s3.list_objects_v2(Bucket=aws.bucket)["Contents"]
        jobs = aws.sm.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        return (
            [(item["Key"], item["ETag"]) for item in objects],
            [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]],
            [job["TrainingJobName"] for job in jobs],
            sorted(path.name for path in aws.server.home.iterdir()),
        )

    before = look()
    yield
    assert look() == before


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        # Another user's program.
        ("POST", "/", CREATE, '{"Environment": {"PYTHONPATH": "/tmp/evil"}}', 403, "UnrecognizedClientException"),
        ("GET", "/", {}, "", 403, "AccessDenied"),
        ("GET", "/{bucket}/build/data.bin", {}, "", 403, "AccessDenied"),
        ("PUT", "/{bucket}/build/evil.so", {}, "evil", 403, "AccessDenied"),
        ("DELETE", "/{bucket}/build/data.bin", {}, "", 403, "AccessDenied"),
        ("DELETE", "/%2e%2e", {}, "", 403, "AccessDenied"),
        ("DELETE", "/x", {"Host": "%2e%2e.s3.amazonaws.com"}, "", 403, "AccessDenied"),
        ("POST", "/moto-api/reset", {}, "", 403, "AccessDenied"),
        ("POST", "/embedded/jobs/a/interrupt", {}, "", 403, "AccessDenied"),
        ("GET", "http://127.0.0.1/", {}, "", 400, "InvalidURI"),
        ("GET", "/", {"Authorization": "AWS EMBEDDED:abc"}, "", 403, "IncompleteSignature"),
        ("POST", "/", {"Content-Length": "many"}, "", 403, "AccessDenied"),
        # A web page: forms, fetch without CORS, and the headers that browsers add.
        ("POST", "/{bucket}", {"Content-Type": FORM, "Origin": "https://evil.example"}, UPLOAD, 403, "AccessDenied"),
        ("POST", "/{bucket}", {"Content-Type": FORM, "Sec-Fetch-Site": "cross-site"}, UPLOAD, 403, "AccessDenied"),
        ("POST", "/{bucket}?delete", {"Content-Type": "text/plain"}, "<Delete/>", 403, "AccessDenied"),
        ("OPTIONS", "/{bucket}", {"Origin": "http://127.0.0.1:8888"}, "", 403, "AccessDenied"),
        ("OPTIONS", "/{bucket}", {}, "", 405, "MethodNotAllowed"),
        ("TRACE", "/", {}, "", 405, "MethodNotAllowed"),
    ],
)
def test_invalid_requests_are_refused(aws, unchanged, method, path, headers, body, status, code):
    path = path.format(bucket=aws.bucket)
    response = send(aws, method, path, headers, body)
    assert response[0] == status and code in response[1], response


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "127.0.0.1", "rebound.example:{port}", "127.0.0.1:{port}.", "[::1]:{port}"]
)
def test_other_host_names_are_refused(aws, unchanged, host):
    host = host.format(port=urlsplit(aws.server.url).port)
    request = AWSRequest("GET", f"http://{host}/", {"Host": host})
    S3SigV4Auth(Credentials(aws.server.keys.access, aws.server.keys.secret), "s3", "us-east-1").add_auth(request)
    status, text = send(aws, "GET", "/", dict(request.headers))
    assert status == 403 and "Expected Host to be 127.0.0.1:" in text


def test_valid_signatures_are_accepted(aws):
    assert send(aws, "GET", "/", sign(aws, "GET", "/"))[0] == 200


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Origin": "null"}, "Web pages"),
        ({"Sec-Fetch-Site": "same-site"}, "Web pages"),
        ({"X-Amz-Acl": "public-read"}, "which were not signed: x-amz-acl"),
        ({"X-Amz-Date": "20200101T000000Z"}, "SignatureDoesNotMatch"),
        ({"X-Amz-Content-SHA256": "0" * 64}, "SignatureDoesNotMatch"),
    ],
)
def test_additions_to_a_signed_request_are_refused(aws, unchanged, more, code):
    status, text = send(
        aws, "PUT", f"/{aws.bucket}/x", {**sign(aws, "PUT", f"/{aws.bucket}/x", body=b"x"), **more}, b"x"
    )
    assert status == 403 and code in text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/{bucket}/y", b"x", 403, "SignatureDoesNotMatch"),
        ("DELETE", "/{bucket}/x", b"x", 403, "SignatureDoesNotMatch"),
        ("PUT", "/{bucket}/x?acl", b"x", 403, "SignatureDoesNotMatch"),
        ("PUT", "/{bucket}/x", b"y", 400, "XAmzContentSHA256Mismatch"),
    ],
)
def test_signatures_of_other_requests_are_refused(aws, unchanged, method, path, body, status, code):
    headers = sign(aws, "PUT", f"/{aws.bucket}/x", body=b"x")
    response = send(aws, method, path.format(bucket=aws.bucket), headers, body)
    assert response[0] == status and code in response[1]


def test_a_signed_request_for_a_service_signs_its_body_too(aws, unchanged):
    headers = {"X-Amz-Target": "SageMaker.StopTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
    signed = sign(aws, "POST", "/", "sagemaker", headers, b'{"TrainingJobName": "a"}')
    assert send(aws, "POST", "/", signed, b'{"TrainingJobName": "b"}')[0] == 403
    assert "Requested resource not found" in send(aws, "POST", "/", signed, b'{"TrainingJobName": "a"}')[1]


@pytest.mark.parametrize("wrong", [Keys("EMBEDDED", "embedded"), "secret"])
def test_other_keys_are_refused(aws, unchanged, wrong):
    keys = Keys(aws.server.keys.access, "x" * 40) if wrong == "secret" else wrong
    code = "SignatureDoesNotMatch" if wrong == "secret" else "InvalidAccessKeyId"
    status, text = send(aws, "GET", "/", sign(aws, "GET", "/", keys=keys))
    assert status == 403 and f"<Code>{code}</Code>" in text


@pytest.mark.parametrize("service", ["batch", "lambda", "ec2", "codepipeline", "execute-api"])
@pytest.mark.parametrize("path", ["/", "/v1/createcomputeenvironment", "/2015-03-31/functions"])
def test_services_that_are_not_served(aws, unchanged, service, path):
    status, text = send(aws, "POST", path, sign(aws, "POST", path, service, body=b"{}"), b"{}")
    assert status == 403 and f"does not serve {service}" in text


def test_clients_of_unserved_services_see_the_reason(aws):
    with pytest.raises(ClientError, match="AccessDenied.*does not serve batch. It serves budgets, cloudformation, "):
        aws.client("batch").describe_job_queues()


@pytest.mark.parametrize(
    "path", ["/moto-api/reset", "/%6doto-api/reset", "/moto-api", "/latest/meta-data/", "/favicon.ico"]
)
def test_motos_own_paths_are_not_served(aws, unchanged, path):
    status, text = send(aws, "POST", path, sign(aws, "POST", path, "sagemaker"))
    assert status == 403 and "is not served" in text


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("DELETE", "/%2e%2e", {}, 400, "InvalidBucketName"),
        ("DELETE", "/..", {}, 400, "InvalidBucketName"),
        ("PUT", "/a%2fb", {}, 400, "InvalidBucketName"),
        ("PUT", "/A..b", {}, 400, "InvalidBucketName"),
        ("PUT", "/bu%00cket", {}, 400, "InvalidBucketName"),
        ("PUT", "/{bucket}/a/%2e%2e/%2e%2e/b", {}, 400, "InvalidURI"),
        ("PUT", "/{bucket}/a/./b", {}, 400, "InvalidURI"),
        ("PUT", "/{bucket}/a%00b", {}, 400, "InvalidURI"),
        ("PUT", "/{bucket}/a%ffb", {}, 400, "InvalidURI"),
        ("PUT", "/{bucket}?../../planted", {}, 400, "InvalidArgument"),
        ("DELETE", "/{bucket}/a?uploadId=../../..", {}, 404, "NoSuchUpload"),
        ("PUT", "/{bucket}/a", {"x-amz-copy-source": "%2e%2e/a"}, 400, "InvalidBucketName"),
        ("PUT", "/{bucket}/a", {"x-amz-copy-source": "/{bucket}/a/%2e%2e/b"}, 400, "InvalidURI"),
    ],
)
def test_unsafe_names_are_refused(aws, unchanged, method, path, headers, status, code):
    path = path.format(bucket=aws.bucket)
    headers = {name: value.format(bucket=aws.bucket) for name, value in headers.items()}
    response = send(aws, method, path, sign(aws, method, path, headers=headers))
    assert response[0] == status and code in response[1]


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/{bucket}", b"a=b"), ("POST", "/{bucket}/key", b"")])
def test_unsupported_s3_requests_are_refused(aws, unchanged, method, path, body):
    path = path.format(bucket=aws.bucket)
    status, text = send(aws, method, path, sign(aws, method, path, body=body), body)
    message = "The embedded AWS does not emulate s3:POST with these parameters."
    assert (status, text) == (501, f"<Error><Code>NotImplemented</Code><Message>{message}</Message></Error>")


@pytest.mark.parametrize("owner", ["123456789012", "999999999999", "me"])
def test_expected_bucket_owner_must_be_the_account(aws, owner):
    bucket, source = {"Bucket": aws.bucket}, {"Bucket": aws.bucket, "Key": "owned"}
    aws.s3.put_object(**source, Body=b"mine")
    calls = [
        (aws.s3.head_bucket, {**bucket, "ExpectedBucketOwner": owner}),
        (aws.s3.put_object, {**source, "Body": b"theirs", "ExpectedBucketOwner": owner}),
        (
            aws.s3.copy_object,
            {**bucket, "Key": "copy", "CopySource": source, "ExpectedSourceBucketOwner": owner},
        ),
    ]
    for call, request in calls:
        if owner == "123456789012":
            assert call(**request)["ResponseMetadata"]["HTTPStatusCode"] == 200
        else:
            with pytest.raises(ClientError) as refused:
                call(**request)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert aws.get("owned") == (b"theirs" if owner == "123456789012" else b"mine")


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_presigned_url_gives_access_to_one_object_until_it_expires(aws, version):
    keys = aws.server.keys
    s3 = boto3.client(
        "s3",
        "us-east-1",
        endpoint_url=aws.server.url,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        config=Config(signature_version=version),
    )
    place = {"Bucket": aws.bucket, "Key": "shared/ä b+c"}
    url = s3.generate_presigned_url("put_object", Params=place, ExpiresIn=60)
    request = urllib.request.Request(url, b"shared", {"Content-Type": ""}, method="PUT")
    assert urllib.request.urlopen(request).status == 200
    url = s3.generate_presigned_url("get_object", Params=place, ExpiresIn=60)
    assert urllib.request.urlopen(url).read() == b"shared"
    old = s3.generate_presigned_url("get_object", Params=place, ExpiresIn=-1 if version is None else 0)
    for wrong, method in (
        (url.replace("shared", "other"), "GET"),
        (url, "DELETE"),
        (old, "GET"),
        (url[:-3] + "AAA", "GET"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(wrong, method=method))
        assert refused.value.code in (400, 403)
    assert aws.get(place["Key"]) == b"shared"


SEED = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
PLAIN = (
    "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    "x-amz-storage-class",
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    (
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ),
    "",
)
TRAILER = (
    "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    (
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ),
    "x-amz-checksum-crc32c:sOO8/Q==\r\n"
    "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
)


@pytest.fixture
def of_2013(monkeypatch):
    """Return an authenticator on the day of AWS's examples."""
    monkeypatch.setattr(authentication, "time", SimpleNamespace(time=lambda: 1369353600.0))
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    def admit(method, url, body=b"", **headers):
        host, _, uri = url.partition("/")
        environ = {f"HTTP_{name.upper()}": value for name, value in headers.items() if name != "content_length"}
        environ |= {"REQUEST_METHOD": method, "RAW_URI": f"/{uri}", "PATH_INFO": unquote(f"/{uri}".partition("?")[0])}
        environ |= {"HTTP_HOST": host, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return authentication.Authenticator(host, keys, Keys("OWN", "own")).admit(environ)

    return admit


@pytest.mark.parametrize("example", [PLAIN, TRAILER])
@pytest.mark.parametrize("damaged", [None, b"a" * 1025, b"\r\n0;chunk", b"b474", b"sOO8", b"trailer-signature:d"])
def test_chunks_as_aws_documents_them(of_2013, example, damaged):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html."""
    names, seed, signatures, trailer = example
    body = b""
    for size, signature in zip((65536, 1024, 0), signatures, strict=True):
        body += f"{size:x};chunk-signature={signature}\r\n".encode() + b"a" * size
        body += b"" if trailer and not size else b"\r\n"
    body += trailer.encode()
    if damaged and damaged not in body:
        return
    body = body.replace(damaged, bytes([damaged[0] ^ 1]) + damaged[1:], 1) if damaged else body
    headers = {
        "x_amz_date": "20130524T000000Z",
        "x_amz_storage_class": "REDUCED_REDUNDANCY",
        "x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else ""),
        "content_encoding": "aws-chunked",
        "x_amz_decoded_content_length": "66560",
        "authorization": f"{SEED}SignedHeaders={names},Signature={seed}",
        **({"x_amz_trailer": "x-amz-checksum-crc32c"} if trailer else {}),
    }
    if damaged is None:
        assert of_2013("PUT", "s3.amazonaws.com/examplebucket/chunkObject.txt", body, **headers).service == "s3"
        return
    with pytest.raises(AwsError) as refused:
        of_2013("PUT", "s3.amazonaws.com/examplebucket/chunkObject.txt", body, **headers)
    assert refused.value.code in ("SignatureDoesNotMatch", "IncompleteBody")


def test_headers_and_urls_as_aws_documents_them(of_2013):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and sigv4-query-string-auth.html."""
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    names = "host;range;x-amz-content-sha256;x-amz-date"
    headers = {
        "authorization": f"{SEED}SignedHeaders={names},Signature={signature}",
        "range": "bytes=0-9",
        "x_amz_content_sha256": hashlib.sha256().hexdigest(),
        "x_amz_date": "20130524T000000Z",
    }
    place = "examplebucket.s3.amazonaws.com/test.txt"
    assert of_2013("GET", place, **headers) == authentication.Caller("s3", "us-east-1", False)
    with pytest.raises(AwsError, match="does not match"):
        of_2013("GET", place, **{**headers, "range": "bytes=0-10"})
    url = (
        f"{place}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
        "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    assert of_2013("GET", url).service == "s3"
    with pytest.raises(AwsError, match="does not match"):
        of_2013("GET", url.replace("86400", "86401"))


def test_only_the_owner_can_access_the_folder(own):
    own.home.mkdir(mode=0o755)
    aws = own.start()
    aws.run("model weights")
    assert stat.S_IMODE(own.home.stat().st_mode) == 0o700
    files = ["server.json", "alive.lock", "start.lock", "port", CONFIG, "sagemaker-config.yaml", "server.log"]
    assert {name: stat.S_IMODE((own.home / name).stat().st_mode) for name in files} == dict.fromkeys(files, 0o600)
    keys = aws.server.keys
    assert keys.secret not in repr(aws.server) + repr(keys)
    embedded.stop()
    assert own.start().server.keys == keys  # programs with the old keys can continue
    embedded.stop()
    (own.home / CONFIG).chmod(0o644)  # may have been read
    assert own.start().server.keys.access != keys.access


def test_a_linked_folder_is_refused(own, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    own.home.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(embedded.EmbeddedError, match=f"Expected {own.home} to be a folder of your own, found a symb"):
        embedded.start()
    assert embedded.find() is None


root = pytest.mark.skipif(
    not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv")), reason="takes root, and setpriv"
)


@root
def test_another_users_folder_is_refused(own):
    own.home.mkdir()
    os.chown(own.home, NOBODY, NOBODY)
    with pytest.raises(embedded.EmbeddedError, match="belong to you .*, found that it belongs to user 65534"):
        embedded.start()
    assert embedded.find() is None
    os.chown(own.home, os.geteuid(), os.getegid())


OTHER_USER = """
import http.client, json, os, sys
home, host, bucket = sys.argv[1:]
report = {"uid": os.getuid()}
for name in ("", "aws-config", "server.json", "server.log"):
    try:
        path = os.path.join(home, name)
        os.listdir(path) if not name else open(path).close()
        report[name] = "read"
    except PermissionError:
        report[name] = "denied"
job = json.dumps({"TrainingJobName": "evil", "Environment": {"PYTHONPATH": "/tmp/evil"}})
target = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
calls = [
    ("POST", "/", job, target),
    ("PUT", "/" + bucket + "/build/evil.so", "evil", {}),
    ("POST", "/moto-api/reset", "", {}),
    ("GET", "/" + bucket, "", {}),
]
report["statuses"] = []
for method, path, body, headers in calls:
    connection = http.client.HTTPConnection(host)
    connection.request(method, path, body, headers)
    report["statuses"].append(connection.getresponse().status)
print(json.dumps(report))
"""


@root
def test_another_user_can_read_nothing(aws, unchanged):
    python = shutil.which("python3", path="/usr/bin:/bin")  # one that another user may start
    assert python, "Expected a python3 in /usr/bin, found none."
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", python, "-I", "-c", OTHER_USER]
    place = [str(aws.server.home), urlsplit(aws.server.url).netloc, aws.bucket]
    done = subprocess.run([*command, *place], capture_output=True, text=True, check=True, cwd="/")
    report = json.loads(done.stdout)
    assert report == {
        "uid": NOBODY,
        **dict.fromkeys(("", "aws-config", "server.json", "server.log"), "denied"),
        "statuses": [403, 403, 403, 403],
    }


SIZE = ("SIZE_INVALID", "Expected Content-Length to be a number, found '-5'.")
MOVED = ("TAG_INVALID", "x tag")


@pytest.mark.parametrize(
    ("path", "length", "refusal"),
    [
        ("/v2/any/manifests/tag", -5, SIZE),
        ("/v2/any/blobs/uploads/", -5, SIZE),
        ("/v2/x/manifests/tag", 2, MOVED),
        ("/v2/x/%6danifests/t%61g", 2, MOVED),
        ("/v2/x%2fmanifests%2ftag", 2, MOVED),
        (
            "/v2/x/%256danifests/tag",
            2,
            ("NAME_INVALID", "Expected the path of a repository, found '/v2/x/%6danifests/tag'."),
        ),
        (
            "/v2/x/./manifests/tag",
            2,
            ("NAME_INVALID", "Expected the path of a repository, found '/v2/x/./manifests/tag'."),
        ),
        (
            "/v2/x//manifests/tag",
            2,
            ("NAME_INVALID", "Expected the path of a repository, found '/v2/x//manifests/tag'."),
        ),
        ("/v2/x/manifests/tag", 3, None),  # the client sends no more: the connection is closed without a response
    ],
)
def test_invalid_registry_requests_are_not_forwarded(monkeypatch, path, length, refusal):
    def pass_on():
        raise AssertionError("Expected nothing to be passed to the program")

    def admit(repository, reference, digest):
        if repository != "any":
            raise RefusedError(400, "TAG_INVALID", f"{repository} {reference}")

    monkeypatch.setattr(registry_proxy.Handler, "timeout", 20 if refusal else 0.1)
    proxy = registry_proxy.RegistryProxy(0, pass_on, admit)
    try:
        with socket.create_connection(("127.0.0.1", proxy.server_port), timeout=20) as client:
            client.sendall(f"PUT {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n{{}}".encode())
            response = client.makefile("rb").read()
    finally:
        proxy.end()
    if refusal is None:
        assert response == b""
        return
    status, _, body = response.partition(b"\r\n")[0], *response.rpartition(b"\r\n\r\n")[1:]
    assert status == b"HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"errors": [dict(zip(("code", "message"), refusal, strict=True))]}
