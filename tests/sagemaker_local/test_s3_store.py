"""What S3 stores on disk, also if that is damaged. (test_server tests restarts.)"""

import base64
import contextlib
import errno
import hashlib
import io
import logging
import os
import random
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from moto.s3.models import s3_backends
from moto.server import create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import EnvironBuilder, run_wsgi_app

from sagemaker_local import s3_store
from sagemaker_local.s3_store import SIGNED, Store

TAGS = b"<Tagging><TagSet><Tag><Key>colour</Key><Value>blue</Value></Tag></TagSet></Tagging>"


def send(app, method, path, body=b"", headers=None):
    headers = {"Authorization": SIGNED, **(headers or {})}
    builder = EnvironBuilder(method=method, path=path, headers=headers, data=body)
    chunks, status, _ = run_wsgi_app(app, builder.get_environ(), buffered=True)
    return int(status.split()[0]), b"".join(chunks)


def test_damaged_files_affect_only_their_own_object(tmp_path, caplog):
    app = Store(tmp_path, create_backend_app("s3"))
    assert send(app, "PUT", "/damaged-bucket")[0] == 200
    for key in ("a", "b", "c"):
        assert send(app, "PUT", f"/damaged-bucket/{key}", key.encode())[0] == 200
    assert send(app, "PUT", "/no-such-bucket/key", b"x")[0] == 404
    objects = tmp_path / "damaged-bucket" / "objects"
    files = {file.read_bytes()[-1:]: file for file in objects.iterdir()}
    assert set(files) == {b"a", b"b", b"c"}
    assert not (tmp_path / "no-such-bucket").exists()

    files[b"a"].write_bytes(b'{"method": "PU')
    half = objects / "half.new"
    half.write_bytes(b"half written when the server was killed")
    for key in "abc":
        send(app.moto, "DELETE", f"/damaged-bucket/{key}")
    with caplog.at_level(logging.ERROR):
        again = Store(tmp_path, create_backend_app("s3"))
        assert again.restore_buckets() == 3
        assert sum(again._restore_object(file) for file in list(again.unrestored)) == 2
    assert f"S3: {files[b'a']} can't be restored" in caplog.text
    assert send(app, "GET", "/damaged-bucket/b") == (200, b"b")
    assert send(app, "GET", "/damaged-bucket/a")[0] == 404
    assert not half.exists()


@pytest.fixture
def digests(served):
    """Return the addresses of a part and of an object, and a function that returns what is stored there."""
    named = {"Bucket": "digest-bucket", "Key": "key"}
    served.s3.create_bucket(Bucket="digest-bucket")
    named["UploadId"] = served.s3.create_multipart_upload(**named)["UploadId"]

    def stored():
        parts = served.s3.list_parts(**named).get("Parts", [])
        files = {path.name for path in served.folder.glob("*/uploads/*/*")}
        return served.look()[1], [part["Size"] for part in parts], files

    return (f"/digest-bucket/key?uploadId={named['UploadId']}&partNumber=1", "/digest-bucket/key"), stored


SHA1, SHA256, SHA512, MD5 = (
    base64.b64encode(hashlib.new(name, b"body").digest()).decode() for name in ("sha1", "sha256", "sha512", "md5")
)
HEADERS = {
    "Content-MD5": MD5,
    "x-amz-checksum-md5": MD5,
    "x-amz-checksum-sha1": SHA1,
    "x-amz-checksum-sha256": SHA256,
    "x-amz-checksum-sha512": SHA512,
    "x-amz-checksum-crc32": "26gLsg==",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_body_that_differs_from_its_digest_is_refused_and_not_stored(served, digests, name):
    addresses, stored = digests
    before = stored()
    for address in addresses:
        status, answer = send(served.store, "PUT", address, b"bodY", {name: HEADERS[name]})
        assert (status, re.findall(rb"<Code>(.*)</Code>", answer)) == (400, [b"BadDigest"])
        assert stored() == before
        assert send(served.store, "PUT", address, b"body", {name: HEADERS[name]})[0] == 200
        assert stored() != before
        before = stored()


def test_the_checksum_after_a_stream_is_checked(served, digests):
    addresses, stored = digests
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "10",
        "x-amz-sdk-checksum-algorithm": "CRC32",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    encoded = AwsChunkedWrapper(io.BytesIO(b"0123456789"), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=4).read()
    before = stored()
    for address in addresses:
        status, answer = send(served.store, "PUT", address, encoded.replace(b"4567", b"4576"), headers)
        assert (status, re.findall(rb"<Code>(.*)</Code>", answer)) == (400, [b"BadDigest"])
        assert stored() == before
        assert send(served.store, "PUT", address, encoded, headers)[0] == 200
        assert stored() != before
        before = stored()
    objects, sizes, _ = before
    assert (objects["digest-bucket", "key"][2], sizes) == (b"0123456789", [10])


def test_a_key_has_at_most_1024_bytes(served):
    served.s3.create_bucket(Bucket="long-bucket")
    longest = "ä" * 512
    served.s3.put_object(Bucket="long-bucket", Key=longest, Body=b"x")
    calls = (served.s3.put_object, served.s3.create_multipart_upload, served.s3.get_object)
    for call in calls:
        with pytest.raises(
            ClientError, match=r"\(KeyTooLongError\).*at most 1024 bytes of UTF-8, found 1025"
        ) as refused:
            call(Bucket="long-bucket", Key=f"{longest}a")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    form = served.s3.generate_presigned_post("long-bucket", f"{longest}a")
    answer = requests.post(form["url"], form["fields"], files={"file": b"x"}, timeout=10)
    assert (answer.status_code, "KeyTooLongError" in answer.text) == (400, True)
    assert [key for _, key in served.look()[1]] == [longest]


def test_a_deleted_bucket_stays_deleted(tmp_path):
    app = Store(tmp_path, create_backend_app("s3"))
    send(app, "PUT", "/short-lived")
    send(app, "PUT", "/short-lived/key", b"x")
    assert send(app, "DELETE", "/short-lived")[0] == 409  # not empty, so it is not deleted
    assert (tmp_path / "short-lived" / "bucket" / "create").exists()
    assert send(app, "DELETE", "/short-lived/key")[0] == 204
    assert send(app, "DELETE", "/short-lived")[0] == 204
    assert not (tmp_path / "short-lived").exists()


@pytest.fixture
def earlier(tmp_path):
    """Return the store of a server with three objects of an earlier one, not yet restored."""
    before = Store(tmp_path, create_backend_app("s3"))
    send(before, "PUT", "/early-bucket")
    for key in ("a", "b", "c"):
        send(before, "PUT", f"/early-bucket/{key}", key.encode())
    send(before, "PUT", "/early-bucket/b?tagging", TAGS)
    for key in ("a", "b", "c"):
        send(before.moto, "DELETE", f"/early-bucket/{key}")
    found = Store(tmp_path, create_backend_app("s3"))
    assert found.restore_buckets() == 3
    yield found
    for key in ("a", "b", "c", "d"):
        send(found, "DELETE", f"/early-bucket/{key}")
    assert send(found, "DELETE", "/early-bucket")[0] == 204


def test_an_object_is_restored_on_request(earlier):
    assert send(earlier, "HEAD", "/early-bucket")[0] == 200
    assert len(earlier.unrestored) == 3
    assert send(earlier, "GET", "/early-bucket/b") == (200, b"b")
    assert len(earlier.unrestored) == 2
    assert b"<Value>blue</Value>" in send(earlier, "GET", "/early-bucket/b?tagging")[1]
    assert send(earlier, "GET", "/early-bucket/d")[0] == 404
    assert send(earlier, "GET", "/early-bucket/c") == (200, b"c")
    assert len(earlier.unrestored) == 1


def test_a_listing_shows_all_objects_and_restores_none(earlier, monkeypatch):
    sent = []
    moto = earlier.moto
    monkeypatch.setattr(
        earlier, "moto", lambda environ, start: sent.append(environ["PATH_INFO"]) or moto(environ, start)
    )
    for _ in range(2):
        status, listed = send(earlier, "GET", "/early-bucket?list-type=2")
        assert status == 200
        assert re.findall(rb"<Key>(.)</Key>", listed) == [b"a", b"b", b"c"]
        assert re.findall(rb"<Size>(.)</Size>", listed) == [b"1"] * 3
    assert sent == []
    assert len(earlier.unrestored) == 3
    assert send(earlier, "GET", "/early-bucket/b") == (200, b"b")


def test_deleted_or_replaced_objects_do_not_come_back(earlier):
    assert send(earlier, "DELETE", "/early-bucket/a")[0] == 204
    assert send(earlier, "PUT", "/early-bucket/b", b"new")[0] == 200
    assert len(earlier.unrestored) == 1
    assert send(earlier, "GET", "/early-bucket/a")[0] == 404
    assert send(earlier, "GET", "/early-bucket/b") == (200, b"new")


def test_the_source_of_a_copy_is_restored(earlier):
    assert send(earlier, "PUT", "/early-bucket/d", headers={"x-amz-copy-source": "/early-bucket/c"})[0] == 200
    assert len(earlier.unrestored) == 2
    assert send(earlier, "GET", "/early-bucket/d") == (200, b"c")


def test_a_bucket_with_objects_to_restore_is_not_empty(earlier):
    assert send(earlier, "DELETE", "/early-bucket")[0] == 409


def test_an_object_that_is_being_restored_is_waited_for(earlier, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    replay = earlier._replay

    def slow(file):
        begun.set()
        assert go_on.wait(10)
        replay(file)

    monkeypatch.setattr(earlier, "_replay", slow)
    background = threading.Thread(target=lambda: [earlier._restore_object(file) for file in list(earlier.unrestored)])
    background.start()
    assert begun.wait(10)
    with ThreadPoolExecutor() as pool:
        requests = [pool.submit(send, earlier, "GET", f"/early-bucket/{key}") for key in "abc"]
        assert not any(response.done() for response in requests)
        go_on.set()
        assert [response.result(10) for response in requests] == [(200, b"a"), (200, b"b"), (200, b"c")]
    background.join(10)


class Served:
    """A store behind a port, with a client; `restart` clears everything in memory."""

    def __init__(self, folder):
        self.folder = folder
        self.server = make_server("127.0.0.1", 0, app=None, threaded=True)
        self.restart()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.port}"
        config = Config(retries={"max_attempts": 1}, max_pool_connections=32)
        keys = {"aws_access_key_id": "TESTING", "aws_secret_access_key": "testing"}
        self.s3 = boto3.client("s3", "us-east-1", endpoint_url=url, config=config, **keys)

    def restart(self):
        s3_backends["123456789012"]["aws"].reset()
        self.store = Store(self.folder, create_backend_app("s3"))
        self.store.restore_buckets()
        self.server.app = self.store

    def look(self):
        """Return all that S3 returns about its objects, listings first."""
        buckets = self.s3.list_buckets()["Buckets"]
        found = {}
        for bucket in (item["Name"] for item in buckets):
            listed = self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
            for item in listed:
                named = {"Bucket": bucket, "Key": item["Key"]}
                head = self.s3.head_object(**named, ChecksumMode="ENABLED")
                body = self.s3.get_object(**named)["Body"].read()
                tags = self.s3.get_object_tagging(**named)["TagSet"]
                del head["ResponseMetadata"]
                assert (head["ETag"], head["ContentLength"]) == (item["ETag"], item["Size"] or len(body))
                found[bucket, item["Key"]] = (item, head, body, tags)
        return buckets, found


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 256)  # instead of 5 MB
    served = Served(tmp_path / "s3")
    yield served
    served.server.shutdown()
    served.server.server_close()
    s3_backends["123456789012"]["aws"].reset()


NAMES = ("a", "b", "c", "/", "//", " ", "+", "%41", "&", "<", "ä", "\N{PILE OF POO}", ".x", "-")


def pages(served, app, query):
    """List page by page from one application; return the pages as botocore parses them."""
    found, served.server.app = [], app
    while not found or found[-1]["IsTruncated"]:
        page = served.s3.list_objects_v2(**query)
        del page["ResponseMetadata"]
        query = {**query, "ContinuationToken": page.pop("NextContinuationToken", "")}
        if "ContinuationToken" in page:
            assert page.pop("ContinuationToken")
        found.append(page)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_listings_match_motos(served, monkeypatch, seed):
    chance = random.Random(seed)
    served.s3.create_bucket(Bucket="list-bucket")
    for number in range(30):
        key = "".join(chance.choices(NAMES, k=chance.randint(1, 5)))
        more = [{}, {"ChecksumAlgorithm": "SHA256"}, {"StorageClass": "STANDARD_IA"}]
        served.s3.put_object(Bucket="list-bucket", Key=f"k{key}", Body=b"x" * number, **chance.choice(more))
    served.s3.delete_object(
        Bucket="list-bucket", Key=served.s3.list_objects_v2(Bucket="list-bucket")["Contents"][0]["Key"]
    )
    moto, asked_of_moto = served.store.moto, []
    monkeypatch.setattr(served.store, "moto", lambda *request: asked_of_moto.append(request) or moto(*request))
    for _ in range(25):
        query = {"Bucket": "list-bucket", "MaxKeys": chance.choice([3, 7, 50, 1000])}
        given = {
            "Prefix": "k" + "".join(chance.choices(NAMES, k=chance.randint(0, 2))),
            "Delimiter": chance.choice(["/", "//", "a", "k"]),
            "StartAfter": "k" + "".join(chance.choices(["a", "b", "/", "ä"], k=2)),  # moto does not encode it
            "FetchOwner": True,
        }
        query |= {name: value for name, value in given.items() if chance.random() < 0.5}
        assert pages(served, served.store, query) == pages(served, moto, query), query
    assert asked_of_moto == []
    served.server.app = served.store
    for error, query in {"NoSuchBucket": {}, "InvalidArgument": {"ContinuationToken": "none"}}.items():
        with pytest.raises(ClientError, match=error):
            served.s3.list_objects_v2(Bucket="list-bucket" if query else "no-bucket", **query)


KEYS = ("a", "b/c", "ä ?&+%", "d//e", "f.tagging")
SET = {"TagSet": [{"Key": "set", "Value": "later"}]}


def act(s3, chance, bucket):
    """Send one random request to S3, which may fail."""
    key, other = chance.choice(KEYS), chance.choice(KEYS)
    named, body = {"Bucket": bucket, "Key": key}, chance.randbytes(chance.choice([0, 1, 3000]))
    copied = {"CopySource": {"Bucket": bucket, "Key": other}}
    single = (
        "put put put copy replace delete several parts abort tag untag form presigned bucket unbucket label version"
    )
    what = chance.choice(single.split())
    if what == "put":
        more = [{}, {"Metadata": {"a_b": "1"}}, {"ContentType": "text/x"}, {"Tagging": "put=1"}]
        more += [{"ChecksumAlgorithm": "SHA256"}, {"StorageClass": "STANDARD_IA"}, {"CacheControl": "no-store"}]
        s3.put_object(**named, Body=body, **chance.choice(more))
    elif what == "copy":
        s3.copy_object(**named, **copied)
    elif what == "replace":
        s3.copy_object(**named, **copied, MetadataDirective="REPLACE", Metadata={"new": str(len(body))})
    elif what == "delete":
        s3.delete_object(**named)
    elif what == "several":
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": other}]})
    elif what in ("parts", "abort"):
        upload = s3.create_multipart_upload(**named, Metadata={"parts": "2"})["UploadId"]
        parts = [s3.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"p" * 5000)]
        if s3.list_objects_v2(Bucket=bucket, Prefix=other).get("Contents"):
            parts.append(s3.upload_part_copy(**named, **copied, UploadId=upload, PartNumber=2)["CopyPartResult"])
        completion = {"Parts": [{"ETag": part["ETag"], "PartNumber": number} for number, part in enumerate(parts, 1)]}
        if what == "abort":
            s3.abort_multipart_upload(**named, UploadId=upload)
        else:
            s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload=completion)
    elif what == "tag":
        s3.put_object_tagging(**named, Tagging=SET)
    elif what == "untag":
        s3.delete_object_tagging(**named)
    elif what == "form":
        form = s3.generate_presigned_post(bucket, "form-${filename}", Fields={"x-amz-meta-by": "form"})
        requests.post(form["url"], form["fields"], files={"file": (f"{len(body)}.txt", body)}, timeout=10)
    elif what == "presigned":
        url = s3.generate_presigned_url("put_object", {**named, "ContentType": "text/signed"}, ExpiresIn=1)
        requests.put(url, body, headers={"Content-Type": "text/signed"}, timeout=10)
    elif what == "bucket":
        s3.create_bucket(Bucket=f"{bucket}-2")
    elif what == "unbucket":
        s3.delete_bucket(Bucket=chance.choice([bucket, f"{bucket}-2"]))
    elif what == "label":
        s3.put_bucket_tagging(Bucket=bucket, Tagging=SET)
    elif what == "version" and chance.random() < 0.2:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return what


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_preserves_any_sequence_of_requests(served, seed):
    chance = random.Random(seed)
    done = []
    for _ in range(4):
        served.s3.create_bucket(Bucket="any-bucket")
        for _ in range(25):
            with contextlib.suppress(ClientError):  # such as a copy of a missing object
                done.append(act(served.s3, chance, "any-bucket"))
        before = served.look()
        served.restart()
        assert served.look() == before, done
    assert len(set(done)) > 10


def test_a_copy_has_only_the_tags_of_its_source(served):
    s3, bucket = served.s3, {"Bucket": "tags-bucket"}
    s3.create_bucket(**bucket)
    s3.put_object(**bucket, Key="none", Body=b"x")
    s3.put_object(**bucket, Key="key", Body=b"y", Tagging="of=before")
    s3.copy_object(**bucket, Key="key", CopySource="tags-bucket/none")
    for _ in range(2):
        assert s3.get_object_tagging(**bucket, Key="key")["TagSet"] == []
        served.restart()


def test_concurrent_puts_and_deletes_keep_disk_and_memory_consistent(served):
    served.s3.create_bucket(Bucket="race-bucket")
    several = {"Objects": [{"Key": f"{number}"} for number in range(20)]}

    def race(number):
        if number % 4 == 0:
            served.s3.delete_objects(Bucket="race-bucket", Delete=several)
        elif number % 4 == 1:
            with contextlib.suppress(ClientError):
                served.s3.copy_object(
                    Bucket="race-bucket", Key=f"{number % 20}", CopySource=f"race-bucket/{(number + 1) % 20}"
                )
        else:
            served.s3.put_object(Bucket="race-bucket", Key=f"{number % 20}", Body=b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(race, range(400)))
    before = served.look()
    served.restart()
    assert served.look() == before


@pytest.mark.parametrize("what", ["put", "parts", "copy", "tag", "delete"])
def test_a_kill_between_any_two_changes_of_the_disk_leaves_the_object_before_or_after_the_request(
    served, tmp_path, monkeypatch, what
):
    s3, named = served.s3, {"Bucket": "kill-bucket", "Key": "key"}
    s3.create_bucket(Bucket="kill-bucket")

    def upload(key, content):
        one = {"Bucket": "kill-bucket", "Key": key}
        one["UploadId"] = s3.create_multipart_upload(**one, Tagging=f"of={key}")["UploadId"]
        part = {"ETag": s3.upload_part(**one, PartNumber=1, Body=content)["ETag"], "PartNumber": 1}
        return lambda: s3.complete_multipart_upload(**one, MultipartUpload={"Parts": [part]})

    upload("source", b"source")()
    s3.put_object(**named, Body=b"before", Tagging="of=before")
    s3.put_object_tagging(**named, Tagging=SET)  # a file of its own, which a new object must not inherit
    call, etag = {
        "put": (lambda: s3.put_object(**named, Body=b"after"), "632a2406bbcbcd553eec45ac14b40a0a"),
        "parts": (upload("key", b"after"), "ef51eb0d8024eb3d618a26bb35555684-1"),
        "copy": (lambda: s3.copy_object(**named, CopySource="kill-bucket/source"), "36cd38f49b9afa08222c0dc9ebfe35eb"),
        "tag": (lambda: s3.put_object_tagging(**named, Tagging={"TagSet": [{"Key": "of", "Value": "kill"}]}), None),
        "delete": (lambda: s3.delete_object(**named), None),
    }[what]
    before, disks = served.look(), []

    def keep_disk():
        disks.append(tmp_path / f"disk-{len(disks)}")
        shutil.copytree(served.folder, disks[-1])

    def keep_disk_before(change):
        return lambda *arguments, **options: (keep_disk(), change(*arguments, **options))[1]

    with monkeypatch.context() as patch:
        for place, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
            patch.setattr(place, name, keep_disk_before(getattr(place, name)))
        call()
    keep_disk()
    after = served.look()
    if etag:
        assert s3.head_object(**named)["ETag"] == f'"{etag}"'
    found = []
    for disk in disks:
        served.folder = disk
        served.restart()
        found.append(served.look())
        assert s3.list_multipart_uploads(Bucket="kill-bucket").get("Uploads", []) == []
        assert not [*served.folder.glob("*/objects/*.new"), *served.folder.glob("*/uploads/*")]
    changed = found.index(after)
    assert (len(found) > 1, changed > 0) == (True, True)
    assert found == [before] * changed + [after] * (len(found) - changed)


@pytest.mark.parametrize("fails", ["open", "write", "replace"])
@pytest.mark.parametrize("what", ["new", "over", "tag", "copy", "parts", "bucket", "bucket tags"])
def test_requests_that_cannot_be_written_are_refused_and_undone(served, monkeypatch, caplog, what, fails):
    s3, named = served.s3, {"Bucket": "full-bucket", "Key": "key"}
    s3.create_bucket(Bucket="full-bucket")
    s3.put_object(**named, Body=b"before", Metadata={"of": "before"}, Tagging="of=before")
    upload = s3.create_multipart_upload(**named)["UploadId"]
    part = s3.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"part")
    completion = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    for file in served.store.folder.glob("full-bucket/uploads/*/*"):
        os.utime(file, (0, 0))  # the time of a part is not that of the object
    before = served.look()
    calls = {
        "new": lambda: s3.put_object(Bucket="full-bucket", Key="new", Body=b"x"),
        "over": lambda: s3.put_object(**named, Body=b"after"),
        "tag": lambda: s3.put_object_tagging(**named, Tagging=SET),
        "copy": lambda: s3.copy_object(Bucket="full-bucket", Key="new", CopySource="full-bucket/key"),
        "parts": lambda: s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload=completion),
        "bucket": lambda: s3.create_bucket(Bucket="new-bucket"),
        "bucket tags": lambda: s3.put_bucket_tagging(Bucket="full-bucket", Tagging=SET),
    }

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if fails == "write":
            patch.setattr(
                s3_store, "_write", lambda file, entries: (file.parent.mkdir(parents=True, exist_ok=True), full())
            )
        else:
            real = getattr(Path, fails)
            patch.setattr(Path, fails, lambda path, *more: full() if path.suffix == ".new" else real(path, *more))
        with pytest.raises(ClientError, match="InternalError.*No space left on device.*Free some space"):
            calls[what]()
    assert served.look() == before
    if what == "parts":
        calls[what]()
        before = served.look()
        assert before[1]["full-bucket", "key"][2] == b"part"
    served.restart()
    assert served.look() == before
