"""The upload: what belongs to it, where it goes, and that nothing is sent twice."""

import hashlib
import os
import subprocess

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from helpers import volume
from training_jobs import volume_hash


@pytest.fixture
def folder(tmp_path):
    files = {
        "3DBall.x86_64": b"player",
        "3DBall_Data/boot.config": b"",
        "3DBall_Data/level0": b"level",
        "trainer_config.yaml": b"default: {}",
    }
    left_out = [
        "README.md",
        ".gitignore",
        ".DS_Store",
        "3DBall_Data/.DS_Store",
        "3DBall_Data/._level0",
        "__MACOSX/3DBall.x86_64",
        "3DBall_BackUpThisFolder_ButDontShipItWithYourGame/il2cpp.cpp",
    ]
    for name, content in {**files, **dict.fromkeys(left_out, b"x")}.items():
        path = tmp_path / "volume" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "volume"


NAMES = ["3DBall.x86_64", "3DBall_Data/boot.config", "3DBall_Data/level0", "trainer_config.yaml"]


def test_read_takes_what_belongs_to_the_volume(folder):
    read = volume.read(folder)
    assert [file.name for file in read.files] == NAMES
    assert read.size == 6 + 0 + 5 + 11
    assert read.files[0].sha256 == hashlib.sha256(b"player").digest()


def test_a_readme_inside_the_build_belongs_to_it(folder):
    (folder / "3DBall_Data/README.txt").write_text("mine")
    assert "3DBall_Data/README.txt" in [file.name for file in volume.read(folder).files]


def test_digest_is_that_of_names_and_contents(folder):
    listing = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in NAMES)
    assert volume.read(folder).digest == hashlib.sha256(listing.encode()).hexdigest()[:16]


@pytest.mark.parametrize("change", ["content", "name", "new file"])
def test_digest_changes_with_the_content(folder, change):
    before = volume.read(folder).digest
    if change == "content":
        (folder / "3DBall_Data/level0").write_bytes(b"LEVEL")
    elif change == "name":
        (folder / "3DBall_Data/level0").rename(folder / "3DBall_Data/level1")
    else:
        (folder / "3DBall_Data/empty").touch()
    assert volume.read(folder).digest != before


def test_digest_does_not_change_with_times_and_modes(folder):
    before = volume.read(folder).digest
    (folder / "3DBall.x86_64").chmod(0o755)
    os.utime(folder / "3DBall.x86_64", (0, 0))
    assert volume.read(folder).digest == before


def test_no_folder(tmp_path):
    with pytest.raises(volume.VolumeError, match="Expected the folder .*/nowhere, found none"):
        volume.read(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(volume.VolumeError, match="found no file to upload"):
        volume.read(tmp_path)


@pytest.mark.parametrize("target", ["3DBall.x86_64", "3DBall_Data", "nowhere"])
def test_a_link_is_refused(folder, target):
    (folder / "link").symlink_to(folder / target)
    with pytest.raises(volume.VolumeError, match="found the symbolic link link"):
        volume.read(folder)


def test_upload_puts_each_file_under_the_digest(connection, folder):
    done = volume.upload(connection, folder, progress=False)
    digest = volume.read(folder).digest
    assert done.uri == f"s3://{connection.bucket}/unity-volume/{digest}/"
    assert (done.files, done.sent_files, done.sent_size, done.removed) == (4, 4, 22, ())
    s3 = connection.client("s3")
    listed = s3.list_objects_v2(Bucket=connection.bucket, Prefix=f"unity-volume/{digest}/")["Contents"]
    keys = [found["Key"].removeprefix(f"unity-volume/{digest}/") for found in listed]
    assert sorted(keys) == sorted([*NAMES, "SHA256SUMS"])
    bodies = {
        name: s3.get_object(Bucket=connection.bucket, Key=f"unity-volume/{digest}/{name}")["Body"].read()
        for name in keys
    }
    assert hashlib.sha256(bodies["SHA256SUMS"]).hexdigest()[:16] == digest
    for name in NAMES:
        assert bodies[name] == (folder / name).read_bytes()
    (folder / "SHA256SUMS").write_bytes(bodies["SHA256SUMS"])
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    assert volume.read(folder).digest == digest


def test_a_second_upload_sends_nothing_and_lists_once(connection, folder, monkeypatch):
    volume.upload(connection, folder, progress=False)
    calls = []
    s3 = connection.client("s3")
    s3.meta.events.register("before-call.s3", lambda model, **kwargs: calls.append(model.name))
    monkeypatch.setattr(type(connection), "client", lambda self, service: s3)
    done = volume.upload(connection, folder, progress=False)
    assert (done.files, done.sent_files, done.sent_size) == (4, 0, 0)
    assert calls == ["ListObjectsV2"]


def test_an_upload_cut_off_goes_on(connection, folder):
    (folder / "3DBall_Data/cut off").write_bytes(b"other content than in the other tests")
    done = volume.upload(connection, folder, progress=False)
    s3 = connection.client("s3")
    digest = volume.read(folder).digest
    s3.delete_object(Bucket=connection.bucket, Key=f"unity-volume/{digest}/3DBall_Data/level0")
    with pytest.raises(
        volume.VolumeError, match="found 1 of them missing or different \\(3DBall_Data/level0\\). Run notebook 02"
    ):
        volume.locate(connection, folder)
    again = volume.upload(connection, folder, progress=False)
    assert (again.uri, again.files, again.sent_files) == (done.uri, 5, 1)
    assert volume.locate(connection, folder) == done.uri


def test_an_object_of_another_size_or_without_checksum_is_sent_again(connection, folder):
    (folder / "3DBall_Data/damaged").write_bytes(b"whole")
    digest = volume.read(folder).digest
    volume.upload(connection, folder, progress=False)
    s3 = connection.client("s3")
    key = f"unity-volume/{digest}/3DBall_Data/damaged"
    s3.put_object(Bucket=connection.bucket, Key=key, Body=b"who", ChecksumAlgorithm="SHA256")
    assert volume.upload(connection, folder, progress=False).sent_files == 1
    assert s3.get_object(Bucket=connection.bucket, Key=key)["Body"].read() == b"whole"


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "\udcff"])
def test_a_name_that_is_none_in_s3_is_refused(folder, name):
    (folder / "3DBall_Data" / name).touch()
    with pytest.raises(volume.VolumeError, match="Expected names that S3 takes in .*: a name with"):
        volume.read(folder)


def put(connection, folder, name, body):
    """Put an object beside the volume's as somebody else may, who has S3 check it too."""
    key = f"unity-volume/{volume.read(folder).digest}/{name}"
    connection.client("s3").put_object(Bucket=connection.bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256")


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("3DBall_Data/evil.so", b"planted", r"1 that do not belong there \(3DBall_Data/evil.so\)"),
        ("README.md", b"planted", r"1 that do not belong there \(README.md\)"),
        ("3DBall_Data/level0", b"LEVEL", r"1 of them missing or different \(3DBall_Data/level0\)"),
        ("3DBall_Data/boot.config", b"x", r"1 of them missing or different \(3DBall_Data/boot.config\)"),
        ("SHA256SUMS", b"0" * 64 + b"  x\n", r"1 of them missing or different \(SHA256SUMS\)"),
        ("big", bytes(volume.TRANSFER.multipart_threshold), r"1 of them missing or different \(big\)"),
    ],
)
def test_what_somebody_else_wrote_there_is_refused_and_put_right(connection, folder, name, body, told):
    (folder / "unlike other tests").write_text(name)
    if name == "big":
        (folder / name).write_bytes(b"x" * len(body))
    done = volume.upload(connection, folder, progress=False)
    assert volume.locate(connection, folder) == done.uri
    put(connection, folder, name, body)
    with pytest.raises(volume.VolumeError, match=f"SHA256SUMS at {done.uri}, found {told}. Run notebook 02, which"):
        volume.locate(connection, folder)
    again = volume.upload(connection, folder, progress=False)
    foreign = "belong" in told
    assert again.removed == ((name,) if foreign else ())
    assert again.sent_files == (not foreign and name != "SHA256SUMS")
    assert (f"removed there, for it is not in the folder: {name}" in str(again)) == foreign
    assert volume.locate(connection, folder) == done.uri


def test_the_consoles_mark_of_a_folder_does_no_harm(connection, folder):
    done = volume.upload(connection, folder, progress=False)
    put(connection, folder, "", b"")
    put(connection, folder, "3DBall_Data/", b"")
    assert volume.locate(connection, folder) == done.uri


def test_where_etags_are_not_of_the_content_the_sha256_is_asked_for(connection, tmp_path, monkeypatch):
    """As under a KMS key. The other content is as long as the right one."""
    (tmp_path / "small").write_bytes(b"content")
    (tmp_path / "big").write_bytes(os.urandom(volume.TRANSFER.multipart_threshold + 1))
    volume.upload(connection, tmp_path, progress=False)
    calls = []
    s3 = connection.client("s3")
    s3.meta.events.register("before-call.s3", lambda model, **kwargs: calls.append(model.name))

    def encrypt(parsed, **kwargs):
        for found in parsed.get("Contents", []):
            found["ETag"] = '"0123456789abcdef0123456789abcdef"'

    s3.meta.events.register("after-call.s3.ListObjectsV2", encrypt)
    monkeypatch.setattr(type(connection), "client", lambda self, service: s3)
    assert volume.locate(connection, tmp_path).endswith(f"/{volume.read(tmp_path).digest}/")
    assert sorted(calls) == ["HeadObject"] * 3 + ["ListObjectsV2"]
    put(connection, tmp_path, "small", b"CONTENT")
    with pytest.raises(volume.VolumeError, match=r"1 of them missing or different \(small\)"):
        volume.locate(connection, tmp_path)


def test_a_file_that_did_not_change_is_hashed_once(folder, monkeypatch):
    file = folder / "3DBall_Data/level0"
    monkeypatch.setattr(volume, "HASHED", {})
    hashed, hash_stream = [], volume.hash_stream
    monkeypatch.setattr(volume, "hash_stream", lambda stream: hashed.append(stream.name) or hash_stream(stream))
    volume.read(folder)
    volume.read(folder)
    assert len(hashed) == 8  # all are so young that a change would not show
    monkeypatch.setattr(volume, "STILL", -(10**12))
    for _ in range(3):
        before = volume.read(folder).digest
    assert len(hashed) == 12
    seen = file.stat()
    file.write_bytes(b"LEVEL")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # who sets the time back cannot set the inode's own
    assert volume.read(folder).digest != before
    assert hashed[12:] == [str(file)]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://bucket/unity-volume/0123456789abcdef/", {"VOLUME_HASH": "0123456789abcdef"}),
        ("s3://bucket/unity-volume/0123456789abcdef", {"VOLUME_HASH": "0123456789abcdef"}),
        ("s3://bucket/unity-volume/mine/", {}),
        ("s3://bucket/0123456789abcdef/", {}),
    ],
)
def test_a_job_is_told_the_hash_where_its_place_has_one(uri, told):
    assert volume_hash.job_environment(uri) == told


def test_a_file_of_several_parts_arrives_whole(connection, tmp_path):
    content = os.urandom(volume.TRANSFER.multipart_threshold + 12345)
    (tmp_path / "big").write_bytes(content)
    assert volume.upload(connection, tmp_path, progress=False).sent_files == 1
    key = f"unity-volume/{volume.read(tmp_path).digest}/big"
    found = connection.client("s3").get_object(Bucket=connection.bucket, Key=key)["Body"].read()
    assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()
    assert volume.upload(connection, tmp_path, progress=False).sent_files == 0


def test_a_file_that_changes_meanwhile_is_no_upload(connection, folder, monkeypatch):
    (folder / "3DBall_Data/level0").write_bytes(b"first")
    digest = volume.read(folder).digest
    compare = volume.compare

    def change(*arguments):
        found = compare(*arguments)
        (folder / "3DBall_Data/level0").write_bytes(b"second")
        return found

    monkeypatch.setattr(volume, "compare", change)
    with pytest.raises(volume.VolumeError, match="3DBall_Data/level0 changed while it was uploaded"):
        volume.upload(connection, folder, progress=False)
    found = connection.client("s3").list_objects_v2(Bucket=connection.bucket, Prefix=f"unity-volume/{digest}/")
    assert f"unity-volume/{digest}/3DBall_Data/level0" not in [entry["Key"] for entry in found["Contents"]]


def test_a_refusal_of_s3_is_raised(connection, folder, monkeypatch):
    s3 = connection.client("s3")
    stub = Stubber(s3)
    stub.add_client_error("list_objects_v2", "AccessDenied")
    monkeypatch.setattr(type(connection), "client", lambda self, service: s3)
    with stub, pytest.raises(ClientError, match="AccessDenied"):
        volume.upload(connection, folder, progress=False)


@pytest.mark.parametrize("call", ["ListObjectsV2", "PutObject"])
def test_credentials_that_expire_while_it_is_uploaded(connection, folder, failing, call):
    told = "credentials have expired.*aws sso login.*What has arrived stays there; the same cell then sends the rest"
    (folder / "new").write_bytes(os.urandom(9))
    with failing(f"before-call.s3.{call}", ("ExpiredToken", 400)) as aws, pytest.raises(volume.VolumeError, match=told):
        volume.upload(aws, folder, progress=False)


def test_the_progress_bar_counts_bytes(connection, folder, capsys):
    (folder / "3DBall_Data/bar").write_bytes(b"x" * 1000)
    volume.upload(connection, folder)
    assert "1.02k/1.02k" in capsys.readouterr().out
