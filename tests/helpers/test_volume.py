"""The upload: what belongs to it, where it goes, and that nothing is sent twice."""

import hashlib
import os
import subprocess
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from common import aws_session
from helpers import volume
from training_jobs import volume_hash

FILES = {
    "3DBall.x86_64": b"player",
    "3DBall_Data/boot.config": b"",
    "3DBall_Data/level0": b"level",
    "trainer_config.yaml": b"default: {}",
}
LEFT_OUT = [
    "README.md",
    ".gitignore",
    ".DS_Store",
    "3DBall_Data/.DS_Store",
    "3DBall_Data/._level0",
    "__MACOSX/3DBall.x86_64",
    "3DBall_BackUpThisFolder_ButDontShipItWithYourGame/il2cpp.cpp",
]


@pytest.fixture
def folder(tmp_path, request):
    """Return a build with a content of its own for each test, because all tests share a bucket."""
    for name, content in {**FILES, **dict.fromkeys(LEFT_OUT, b"x"), "of test": request.node.name.encode()}.items():
        path = tmp_path / "volume" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "volume"


@pytest.fixture
def s3(connection, monkeypatch):
    """Return the S3 client that `volume.locate` is given, too, with the names of its calls."""
    client = connection.client("s3")
    client.calls = []
    client.meta.events.register("before-call.s3", lambda model, **_: client.calls.append(model.name))
    monkeypatch.setattr(type(connection), "client", lambda self, service: client)
    return client


@pytest.fixture
def upload(connection, s3):
    return lambda folder: volume.upload(s3, connection.bucket, folder, progress=False)


def put(s3, done, name, body):
    """Put an object beside the volume's as somebody else may, who has S3 check it too."""
    bucket = done.uri.split("/")[2]
    s3.put_object(Bucket=bucket, Key=done.prefix + name, Body=body, ChecksumAlgorithm="SHA256")


def test_the_volumes_hash_covers_names_and_contents(folder):
    (folder / "3DBall_Data/README.txt").write_text("part of the build")
    read = volume.read(folder)
    names = sorted([*FILES, "3DBall_Data/README.txt", "of test"])
    assert [file.name for file in read.files] == names
    assert read.size == sum((folder / name).stat().st_size for name in names)
    listing = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert read.sums.content == listing.encode()
    assert read.digest == hashlib.sha256(listing.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: (folder / "3DBall_Data/level0").write_bytes(b"LEVEL"), False),
        (lambda folder: (folder / "3DBall_Data/level0").rename(folder / "3DBall_Data/level1"), False),
        (lambda folder: (folder / "3DBall_Data/empty").touch(), False),
        (lambda folder: (folder / "3DBall.x86_64").chmod(0o755), True),
        (lambda folder: os.utime(folder / "3DBall.x86_64", (0, 0)), True),
    ],
    ids=["content", "name", "new file", "mode", "time"],
)
def test_the_digest_depends_only_on_the_content(folder, change, same):
    before = volume.read(folder).digest
    change(folder)
    assert (volume.read(folder).digest == before) == same


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: folder.rename(folder.with_name("moved")), "Expected the folder .*/volume, found none"),
        (lambda folder: [path.unlink() for path in folder.rglob("*") if path.is_file()], "found no file to upload"),
        (lambda folder: (folder / "link").symlink_to("3DBall.x86_64"), "found the symbolic link link"),
        (lambda folder: (folder / "link").symlink_to("3DBall_Data"), "found the symbolic link link"),
        (lambda folder: (folder / "link").symlink_to("nowhere"), "found the symbolic link link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "files that can be read in .*, found that pipe is special"),
        (lambda folder: (folder / "a\\b").touch(), "names that S3 takes in .*: a name with a backslash"),
        (lambda folder: (folder / "a\nb").mkdir(), "names that S3 takes in .*: a name with unprintable characters"),
        (lambda folder: (folder / "\udcff").touch(), "names that S3 takes in .*: a name with unprintable characters"),
    ],
)
def test_a_folder_that_cannot_be_uploaded(folder, spoil, problem):
    spoil(folder)
    with pytest.raises(volume.VolumeError, match=problem):
        volume.read(folder)


def test_each_file_is_uploaded_once(connection, folder, s3, upload):
    done = upload(folder)
    digest = volume.read(folder).digest
    assert (done.uri, done.prefix) == (f"s3://{connection.bucket}/unity-volume/{digest}/", f"unity-volume/{digest}/")
    names = [*FILES, "of test"]
    size = sum((folder / name).stat().st_size for name in names)
    assert (done.files, done.size, done.sent_files, done.sent_size, done.removed) == (5, size, 5, size, ())
    listed = s3.list_objects_v2(Bucket=connection.bucket, Prefix=done.prefix)["Contents"]
    assert [found["Key"].removeprefix(done.prefix) for found in listed] == sorted([*names, "SHA256SUMS"])
    for name in [*names, "SHA256SUMS"]:
        body = s3.get_object(Bucket=connection.bucket, Key=done.prefix + name)["Body"].read()
        assert name == "SHA256SUMS" or body == (folder / name).read_bytes()
    (folder / "SHA256SUMS").write_bytes(body)
    assert hashlib.sha256(body).hexdigest()[:16] == digest
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    s3.calls.clear()
    again = upload(folder)  # which leaves SHA256SUMS out
    assert (again.uri, again.files, again.sent_files, again.sent_size) == (done.uri, 5, 0, 0)
    assert str(again).splitlines()[1].startswith("0 files (0.0 MB) sent, 5 there already, in ")
    assert s3.calls == ["ListObjectsV2"]


def test_an_interrupted_upload_continues(connection, folder, s3, upload):
    done = upload(folder)
    s3.delete_object(Bucket=connection.bucket, Key=done.prefix + "3DBall_Data/level0")
    with pytest.raises(volume.VolumeError, match=r"1 of them missing or different \(3DBall_Data/level0\)"):
        volume.locate(connection, folder)
    again = upload(folder)
    assert (again.uri, again.files, again.sent_files) == (done.uri, 5, 1)
    assert "\n1 file (0.0 MB) sent, 4 there already" in str(again)
    assert volume.locate(connection, folder) == done.uri


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("3DBall_Data/evil.so", b"planted", r"1 that do not belong there \(3DBall_Data/evil.so\)"),
        ("README.md", b"planted", r"1 that do not belong there \(README.md\)"),
        ("3DBall_Data/level0", b"LEVEL", r"1 of them missing or different \(3DBall_Data/level0\)"),
        ("3DBall_Data/level0", b"lev", r"1 of them missing or different \(3DBall_Data/level0\)"),
        ("3DBall_Data/boot.config", b"x", r"1 of them missing or different \(3DBall_Data/boot.config\)"),
        ("SHA256SUMS", b"0" * 64 + b"  x\n", r"1 of them missing or different \(SHA256SUMS\)"),
        ("big", bytes(volume.TRANSFER.multipart_threshold), r"1 of them missing or different \(big\)"),
    ],
)
def test_foreign_objects_are_refused_and_repaired(connection, folder, s3, upload, name, body, problem):
    if name == "big":
        (folder / name).write_bytes(b"x" * len(body))
    done = upload(folder)
    assert volume.locate(connection, folder) == done.uri
    put(s3, done, name, body)
    with pytest.raises(volume.VolumeError, match=f"SHA256SUMS at {done.uri}, found {problem}. Run notebook 2, which"):
        volume.locate(connection, folder)
    again = upload(folder)
    foreign = "belong" in problem
    assert again.removed == ((name,) if foreign else ())
    assert again.sent_files == (not foreign and name != "SHA256SUMS")
    assert (f"removed from S3, because not in the folder: {name}" in str(again)) == foreign
    assert volume.locate(connection, folder) == done.uri


def test_folder_markers_of_the_console_are_ignored(connection, folder, s3, upload):
    done = upload(folder)
    put(s3, done, "", b"")
    put(s3, done, "3DBall_Data/", b"")
    assert volume.locate(connection, folder) == done.uri


def test_the_sha256_is_requested_if_etags_do_not_match(connection, tmp_path, s3, upload):
    """As under a KMS key. The other content is as long as the right one."""
    big = os.urandom(volume.TRANSFER.multipart_threshold + 12345)
    (tmp_path / "small").write_bytes(b"content")
    (tmp_path / "big").write_bytes(big)
    done = upload(tmp_path)
    assert (done.sent_files, upload(tmp_path).sent_files) == (2, 0)
    assert s3.get_object(Bucket=connection.bucket, Key=done.prefix + "big")["Body"].read() == big

    def encrypt(parsed, **_):
        for found in parsed.get("Contents", []):
            found["ETag"] = '"0123456789abcdef0123456789abcdef"'

    s3.meta.events.register("after-call.s3.ListObjectsV2", encrypt)
    s3.calls.clear()
    assert volume.locate(connection, tmp_path) == done.uri
    assert sorted(s3.calls) == ["HeadObject"] * 3 + ["ListObjectsV2"]
    put(s3, done, "small", b"CONTENT")
    with pytest.raises(volume.VolumeError, match=r"1 of them missing or different \(small\)"):
        volume.locate(connection, tmp_path)


@pytest.mark.parametrize(
    ("uri", "environment"),
    [
        ("s3://bucket/unity-volume/0123456789abcdef/", {"VOLUME_HASH": "0123456789abcdef"}),
        ("s3://bucket/unity-volume/0123456789abcdef", {"VOLUME_HASH": "0123456789abcdef"}),
        ("s3://bucket/unity-volume/mine/", {}),
        ("s3://bucket/0123456789abcdef/", {}),
    ],
)
def test_a_job_gets_the_hash_of_its_volume(uri, environment):
    assert volume_hash.job_environment(uri) == environment


def test_a_file_that_changes_during_the_upload_is_deleted(connection, folder, s3, upload, monkeypatch):
    prefix, compare = volume.read(folder).prefix, volume.compare

    def change(*arguments):
        found = compare(*arguments)
        (folder / "3DBall_Data/level0").write_bytes(b"second")
        return found

    monkeypatch.setattr(volume, "compare", change)
    with pytest.raises(volume.VolumeError, match="3DBall_Data/level0 changed while it was uploaded"):
        upload(folder)
    found = s3.list_objects_v2(Bucket=connection.bucket, Prefix=prefix)["Contents"]
    assert f"{prefix}3DBall_Data/level0" not in [entry["Key"] for entry in found]


def test_a_refusal_of_s3_is_raised(folder, s3, upload):
    stub = Stubber(s3)
    stub.add_client_error("list_objects_v2", "AccessDenied")
    with stub, pytest.raises(ClientError, match="AccessDenied"):
        upload(folder)


@pytest.mark.parametrize("call", ["ListObjectsV2", "PutObject"])
def test_credentials_that_expire_during_the_upload(folder, s3, upload, monkeypatch, call):
    monkeypatch.setattr(aws_session, "find_embedded", lambda _: "")
    problem = "credentials have expired.*aws sso login.*What has arrived stays there; the same cell then sends the rest"
    s3.meta.events.register(f"before-call.s3.{call}", lambda **_: (SimpleNamespace(status_code=400), EXPIRED))
    with pytest.raises(volume.VolumeError, match=problem):
        upload(folder)


EXPIRED = {"Error": {"Code": "ExpiredToken", "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400}}


def test_the_progress_bar_counts_bytes(connection, folder, s3, capsys):
    (folder / "3DBall_Data/bar").write_bytes(b"x" * 1000)
    volume.upload(s3, connection.bucket, folder)
    assert "1.06k/1.06k" in capsys.readouterr().out
