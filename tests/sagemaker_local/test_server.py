"""The server process: only one at a time; found, stopped, killed."""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

import sagemaker_local as embedded
from common import aws_session
from helpers import aws
from sagemaker_local import control, record
from sagemaker_local import server as server_process
from sagemaker_local.cloudwatch_logs import GROUP
from sagemaker_local.home import copy_home

FIND = "import sagemaker_local as embedded; server = embedded.start(); print(server.url, server.pid)"


def has_ended(pid):
    """Return whether a process has ended, even if it is still a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_the_number_of_connections_is_limited(monkeypatch):
    monkeypatch.setattr(server_process, "MAX_CONNECTIONS", 2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = server_process.Server(listening.fileno(), listening.getsockname()[1])
    serving.app = lambda environ, start: (start("200 OK", [("Content-Length", "2")]), [b"ok"])[1]
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    with contextlib.ExitStack() as held:
        first, second, third = (
            held.enter_context(socket.create_connection(serving.server_address, 20)) for _ in range(3)
        )
        assert third.recv(1) == b""  # closed at once
        second.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert second.makefile("rb").read().endswith(b"ok")
        while True:  # the thread that responded ends a moment later
            fourth = held.enter_context(socket.create_connection(serving.server_address, 20))
            with contextlib.suppress(ConnectionError):
                fourth.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if fourth.makefile("rb").read().endswith(b"ok"):
                    break
        first.close()
    serving.shutdown()
    serving.server_close()


def test_one_server_from_its_first_start_to_its_stop(own):
    with ThreadPoolExecutor(2) as pool:
        (code, one, _), (_, two, _) = pool.map(lambda _: command("-c", FIND), range(2))
    assert code == 0
    assert one == two  # concurrent starts give one server
    found = embedded.find()
    assert f"{found.url} {found.pid}" == one
    assert found.url.startswith("http://127.0.0.1:")
    assert found.sdk_config.read_text().endswith("TelemetryOptOut: true\n")
    assert command("-m", "sagemaker_local", "status") == (
        0,
        f"Embedded AWS at {found.url} (process {found.pid}), files in {own.home}",
        "",
    )

    aws = own.start()
    running = aws.create("term;player;wait")
    aws.logged(running)
    player = int(aws.log(running).split()[1])
    assert command("-m", "sagemaker_local", "stop") == (0, "Embedded AWS stopped.", "")
    assert embedded.find() is None
    own.wait_for(lambda: has_ended(found.pid))
    assert has_ended(player)
    assert embedded.stop() is False
    stopped = record.load(aws.folder(running))
    assert (stopped.status, stopped.secondary) == ("Stopped", "Stopped")
    assert (aws.folder(running) / "model/note.txt").read_text() == "stopped by SIGTERM"

    aws = own.start()
    assert aws.server.url == found.url  # a notebook that used the old one can continue
    assert aws.describe(running)["TrainingJobStatus"] == "Stopped"
    assert aws.archive(f"out/{running}/output/model.tar.gz") == {"note.txt": "stopped by SIGTERM"}


@pytest.mark.parametrize("noted", ["taken", "no number", "99999"])
def test_an_unavailable_port_is_replaced(tmp_path, noted):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        (tmp_path / "port").write_text(taken if noted == "taken" else noted)
        with server_process.listen(tmp_path) as listening:
            port = str(listening.getsockname()[1])
            assert (tmp_path / "port").read_text() == port != taken


@pytest.mark.parametrize("busy", [True, False])
def test_a_server_that_was_just_killed_is_not_found(own, monkeypatch, busy):
    monkeypatch.setattr(control, "ENDING_SECONDS", 0.1 if busy else 20)
    own.home.mkdir(mode=0o700)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (own.home / "server.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
        with (own.home / "alive.lock").open("a") as held:  # by its last thread
            fcntl.flock(held, fcntl.LOCK_EX)
            if not busy:
                threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_UN)).start()
            assert embedded.find() == (embedded.Server(url, os.getpid(), own.home) if busy else None)
            (own.home / "server.json").unlink()


def test_a_server_that_cannot_start_says_why(own):
    own.home.mkdir()
    (own.home / "s3").write_text("a file where a folder should be")
    with pytest.raises(embedded.EmbeddedError, match=r"(?s)Expected the embedded AWS to start .*FileExistsError"):
        embedded.start()
    assert embedded.find() is None


@pytest.mark.parametrize("below", ["", "below"])
def test_an_unusable_home_is_refused(tmp_path, monkeypatch, below):
    (tmp_path / "file").touch()
    home = tmp_path / "file" / below
    monkeypatch.setenv("EMBEDDED_HOME", str(home))
    with pytest.raises(embedded.EmbeddedError, match=f"^Expected {home} to be a folder for .* Set EMBEDDED_HOME to"):
        embedded.start()
    with pytest.raises(aws_session.ConnectError, match="Set EMBEDDED_HOME to another folder"):
        aws.connect("embedded")
    assert embedded.find() is None and not embedded.stop()


def snapshot(aws):
    """Return all that S3 returns about every object, and its tags."""
    objects = {}
    for item in aws.s3.list_objects_v2(Bucket=aws.bucket)["Contents"]:
        key = item["Key"]
        head = aws.s3.head_object(Bucket=aws.bucket, Key=key, ChecksumMode="ENABLED")
        del head["ResponseMetadata"]
        objects[key] = (item, head, hashlib.sha256(aws.get(key)).hexdigest())
    tags = aws.s3.get_object_tagging(Bucket=aws.bucket, Key="twice")["TagSet"]
    return objects, tags, aws.s3.get_bucket_tagging(Bucket=aws.bucket)["TagSet"]


def fill(aws, tmp_path):
    """Send S3 every kind of request that the store must keep."""
    s3, bucket = aws.s3, aws.bucket
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    for key in ("deleted", "deleted too", "twice"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    s3.put_object(
        Bucket=bucket,
        Key="odd ä/+?&%.txt",
        Body=b"text",
        ChecksumAlgorithm="SHA256",
        Metadata={"under_score": "1", "da-sh": "2"},
        ContentType="text/plain",
    )
    s3.put_object(Bucket=bucket, Key="twice", Body=b"22")
    s3.put_object_tagging(Bucket=bucket, Key="twice", Tagging=tags)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "odd ä/+?&%.txt"})
    big = tmp_path / "big"
    big.write_bytes(os.urandom(6 << 20))
    s3.upload_file(str(big), bucket, "big", ExtraArgs={"ChecksumAlgorithm": "SHA256"}, Config=parts)
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "big copy", Config=parts)
    s3.delete_object(Bucket=bucket, Key="deleted")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "deleted too"}]})
    s3.create_multipart_upload(Bucket=bucket, Key="never finished")


def describe_logs(aws):
    """Return CloudWatch Logs' groups, streams and events."""
    logs, group = aws.client("logs"), GROUP
    groups = logs.describe_log_groups()["logGroups"]
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)["logStreams"]
    events = logs.filter_log_events(logGroupName=group)["events"]
    return groups, streams, [(event["logStreamName"], event["timestamp"], event["message"]) for event in events]


def test_logs_and_roles_are_the_same_after_a_restart(own):
    aws = own.start()
    logs, iam = aws.client("logs"), aws.client("iam")
    assert aws.run("say first")["TrainingJobStatus"] == "Completed"
    for number in range(3):
        aws.run(f"say number {number};say ü", TrainingJobName=f"logged-{2 - number}")
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=14)
    logs.create_log_group(logGroupName="/mine", tags={"a": "b"})
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="training", PolicyName="all", PolicyDocument=json.dumps(everything))
    iam.create_role(RoleName="gone", AssumeRolePolicyDocument="{}")
    iam.delete_role(RoleName="gone")
    before = describe_logs(aws)
    assert [group["logGroupName"] for group in before[0]] == [GROUP, "/mine"]
    assert before[0][0]["retentionInDays"] == 14
    names = [stream["logStreamName"].partition("/")[0] for stream in before[1]]
    assert names[:3] == ["logged-0", "logged-1", "logged-2"]  # the last first
    for _ in range(2):
        assert embedded.stop()
        aws = own.start()
        assert describe_logs(aws)[:2] == before[:2]
        assert sorted(describe_logs(aws)[2]) == sorted(before[2])
        assert describe_logs(aws)[:2] == before[:2]
        assert aws.client("logs").list_tags_log_group(logGroupName="/mine")["tags"] == {"a": "b"}
        assert aws.client("iam").list_role_policies(RoleName="training")["PolicyNames"] == ["all"]
        assert [role["RoleName"] for role in aws.client("iam").list_roles()["Roles"]] == ["training"]


def test_killed_and_started_again(own, tmp_path):
    aws = own.start(EMBEDDED_MAX_JOBS="1", EMBEDDED_SYNC_SECONDS="600")
    done = aws.create("say Reward: 7.5;model weights", AlgorithmSpecification=aws.metrics(r="Reward: ([0-9.]+)"))
    finished = aws.ended(done)
    fill(aws, tmp_path)
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/kept"}}
    running = aws.create("deaf;player;count;wait", **checkpoints)
    waiting = aws.create("say my turn")
    aws.logged(running)
    before = snapshot(aws)
    assert set(before[0]) == {
        "odd ä/+?&%.txt",
        "twice",
        "copy",
        "big",
        "big copy",
        f"out/{done}/output/model.tar.gz",
    }
    player = int(aws.log(running).split()[1])
    program = psutil.Process(player).ppid()

    os.kill(aws.server.pid, signal.SIGKILL)
    own.wait_for(lambda: has_ended(player) and has_ended(program))  # at once, not at the next start
    assert embedded.find() is None

    again = own.start()
    assert again.server.pid != aws.server.pid
    description = again.describe(running)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Failed", "Failed")
    assert description["FailureReason"].startswith(
        "InternalServerError: the embedded AWS ended without stopping this job (it was killed, or the machine went "
        "down) while the job was Training. The last sign of it was at "
    )
    assert description["TrainingEndTime"] >= description["TrainingStartTime"]
    assert again.get("kept/count") == b"1"  # saved after the last upload, but not lost
    again.s3.delete_object(Bucket=again.bucket, Key="kept/count")

    assert again.describe(done) == finished
    logs, group = again.client("logs"), "/aws/sagemaker/TrainingJobs"
    [stream] = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{done}/")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert [event["message"] for event in events] == ["Reward: 7.5"]

    assert again.ended(waiting)["TrainingJobStatus"] == "Completed"
    for key in again.keys(f"out/{waiting}/"):
        again.s3.delete_object(Bucket=again.bucket, Key=key)
    after = snapshot(again)
    assert after == before
    request = again.request(TrainingJobName=done)
    with pytest.raises(ClientError, match="ResourceInUse"):
        again.sm.create_training_job(**request)


def refuse_cut_off_response(operation_model, response_dict, **_):
    """Raise for a response that is shorter than its Content-Length, which botocore parses as if it were empty."""
    if not operation_model.has_streaming_output:  # botocore itself checks the length of a stream
        found = len(response_dict["body"])
        expected = int(response_dict["headers"].get("Content-Length", found))
        if found != expected:
            raise IncompleteReadError(actual_bytes=found, expected_bytes=expected)


class Writer:
    """A client with its own objects, which knows what each may be: the acknowledged state, or that of its last request.

    Objects are described by content, metadata, tags and ETag; None is no object.
    """

    def __init__(self, number):
        self.chance, self.name = random.Random(number), f"writer-{number}"
        self.known = dict.fromkeys(f"{self.name}/{key}" for key in "abc")
        self.asked = {}  # key -> the other possible state, after a request without a response

    def write(self, aws, acknowledged):
        """Change objects until the server is killed."""
        with contextlib.suppress(BotoCoreError):
            while True:
                key, after, call = self.choose(aws)
                self.asked = {key: after}
                etag = call().get("ETag")
                assert etag in (None, after and after[3])  # deletions and tags have none
                self.known[key], self.asked = after, {}
                acknowledged.release()

    def choose(self, aws):
        key, other = self.chance.sample(sorted(self.known), 2)
        named, before, source = {"Bucket": aws.bucket, "Key": key}, self.known[key], self.known[other]
        body, label = self.chance.randbytes(self.chance.choice([0, 10, 200_000])), f"{self.chance.random()}"
        content, about = hashlib.md5(body), {"Metadata": {"label": label}, "Tagging": f"tag={label}"}
        what = self.chance.choice(["put", "parts", "copy", "tag", "delete"])
        if what == "copy" and source:  # a copy has one part, however its source was uploaded
            return (
                key,
                (*source[:3], f'"{hashlib.md5(source[0]).hexdigest()}"'),
                lambda: aws.s3.copy_object(**named, CopySource={"Bucket": aws.bucket, "Key": other})[
                    "CopyObjectResult"
                ],
            )
        if what == "tag" and before:
            tags = {"TagSet": [{"Key": "tag", "Value": label}]}
            return key, (*before[:2], label, before[3]), lambda: aws.s3.put_object_tagging(**named, Tagging=tags)
        if what == "delete":
            return key, None, lambda: aws.s3.delete_object(**named)
        if what == "parts":
            etag = f'"{hashlib.md5(content.digest()).hexdigest()}-1"'
            return key, (body, label, label, etag), lambda: self.upload(aws, named, body, about)
        return (
            key,
            (body, label, label, f'"{content.hexdigest()}"'),
            lambda: aws.s3.put_object(**named, Body=body, **about),
        )

    @staticmethod
    def upload(aws, named, body, about):
        upload = {**named, "UploadId": aws.s3.create_multipart_upload(**named, **about)["UploadId"]}
        part = aws.s3.upload_part(**upload, PartNumber=1, Body=body)
        return aws.s3.complete_multipart_upload(
            **upload, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        )

    def compare(self, aws):
        """Compare the objects with the possible states, and continue from the actual state."""
        listed = aws.s3.list_objects_v2(Bucket=aws.bucket, Prefix=f"{self.name}/").get("Contents", ())
        listed = {item["Key"]: (item["ETag"], item["Size"]) for item in listed}
        for key, before in self.known.items():
            found = None
            if key in listed:
                got = aws.s3.get_object(Bucket=aws.bucket, Key=key)
                tags = aws.s3.get_object_tagging(Bucket=aws.bucket, Key=key)["TagSet"]
                found = (got["Body"].read(), got["Metadata"]["label"], tags[0]["Value"], got["ETag"])
                assert listed[key] == (got["ETag"], len(found[0]))
            possible = [before, self.asked.get(key, before)]
            assert found in possible, (key, found and found[1:], [one and one[1:] for one in possible])
            self.known[key] = found
        self.asked = {}
        return len(listed)


@pytest.mark.long
def test_repeated_kills_neither_lose_nor_truncate_acknowledged_objects(own):
    aws, writers, seen = own.start(), [Writer(number) for number in range(3)], 0
    for _ in range(8):
        acknowledged = threading.Semaphore(0)
        aws.s3.meta.events.register("before-parse.s3", refuse_cut_off_response)
        with ThreadPoolExecutor(3) as pool:
            writing = [pool.submit(writer.write, aws, acknowledged) for writer in writers]
            for _ in range(12):
                assert acknowledged.acquire(timeout=20)
            os.kill(aws.server.pid, signal.SIGKILL)
        for one in writing:
            one.result()
        aws = own.start()
        seen += sum(writer.compare(aws) for writer in writers)
        assert aws.s3.list_multipart_uploads(Bucket=aws.bucket).get("Uploads", []) == []
    assert seen > 30
    assert not list(own.home.glob("s3/*/objects/*.new")) and not list(own.home.glob("s3/*/uploads/*"))


@pytest.fixture
def small_disk(tmp_path):
    """Make the home of `own` a disk of 12 MB."""
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(home)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_a_full_disk_refuses_writes_until_something_is_deleted(small_disk, own):
    aws = own.start()
    kept, sizes = [], [1 << 20, 1 << 16, 1 << 12]
    for number in itertools.count():
        key = f"fill/{number:04d}"
        try:
            aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=b"x" * sizes[0])
        except ClientError as error:
            assert "No space left on device" in error.response["Error"]["Message"]
            with pytest.raises(ClientError, match="404"):
                aws.s3.head_object(Bucket=aws.bucket, Key=key)
            sizes.pop(0)
            if not sizes:
                break
        else:
            kept.append(key)
    assert aws.keys("fill/") == kept
    assert aws.get(kept[0]) == b"x" * (1 << 20)
    aws.s3.delete_object(Bucket=aws.bucket, Key=kept.pop(0))
    aws.s3.put_object(Bucket=aws.bucket, Key="fill/again", Body=b"y" * (1 << 19))
    os.kill(aws.server.pid, signal.SIGKILL)
    own.wait_for(lambda: has_ended(aws.server.pid))
    aws = own.start()
    assert aws.keys("fill/") == [*kept, "fill/again"]
    assert aws.get("fill/again") == b"y" * (1 << 19)


def test_a_copy_of_a_home_shares_no_file_that_is_appended_to(tmp_path):
    home, copy = tmp_path / "home", tmp_path / "home" / "practice"
    large = b"x" * (1 << 20)
    for name in ("iam.jsonl", "jobs/a/log", "s3/b/content", "registry/blob"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(large)
    (home / "server.json").touch()
    copy_home(home, copy)
    copy_home(home, copy)  # again, replacing the first copy
    assert {str(file.relative_to(copy)): file.stat().st_nlink for file in copy.rglob("*") if file.is_file()} == {
        "iam.jsonl": 1,
        "jobs/a/log": 1,
        "s3/b/content": 2,
        "registry/blob": 2,
    }
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
