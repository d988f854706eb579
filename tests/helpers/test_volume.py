"""The upload: what belongs to it, where it goes, and that nothing is sent twice."""

import hashlib
import os

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from helpers import volume


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
    assert (done.files, done.sent_files, done.sent_size) == (4, 4, 22)
    s3 = connection.client("s3")
    listed = s3.list_objects_v2(Bucket=connection.bucket, Prefix=f"unity-volume/{digest}/")["Contents"]
    assert [found["Key"].removeprefix(f"unity-volume/{digest}/") for found in listed] == NAMES
    for name in NAMES:
        body = s3.get_object(Bucket=connection.bucket, Key=f"unity-volume/{digest}/{name}")["Body"].read()
        assert body == (folder / name).read_bytes()


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
    with pytest.raises(volume.VolumeError, match="1 are missing there \\(3DBall_Data/level0\\). Run notebook 02"):
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
    list_missing = volume.list_missing

    def change(*arguments):
        missing = list_missing(*arguments)
        (folder / "3DBall_Data/level0").write_bytes(b"second")
        return missing

    monkeypatch.setattr(volume, "list_missing", change)
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
