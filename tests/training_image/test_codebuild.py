"""Building in CodeBuild: what it is asked for, and how the embedded AWS's builds with the engine of this machine."""

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml
from botocore.exceptions import ClientError

import training_image as image
from account_setup import TEMPLATE
from common import docker_engine as engine
from common import pip_settings
from common.aws_session import Connection
from common.errors import UnavailableError
from sagemaker_local import cloudformation, codebuild, schema
from training_image import building, manifest, name
from training_image import codebuild as image_codebuild

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/mlagents-image-build-us-east-1"
RESOURCES = yaml.load(TEMPLATE.read_text(), cloudformation._Loader)["Resources"]
SPEC = RESOURCES["BuildProject"]["Properties"]["Source"]["BuildSpec"]
OCI = {
    "mediaType": manifest.OCI,
    "config": {"mediaType": manifest.CONFIGS[1], "size": 7, "digest": "sha256:c"},
    "layers": [{"mediaType": manifest.LAYERS[1], "size": 5, "digest": "sha256:a"}],
}


def refuse(code):
    raise ClientError({"Error": {"Code": code, "Message": code}}, "call")


class Account:
    """An account with one bucket, one repository and CodeBuild; logs are lists of lines."""

    def __init__(self, folder, region="us-east-1"):
        self.codebuild = codebuild.CodeBuild(folder, lambda service, region="": getattr(self, service))
        self.logs = self.s3 = self.ecr = self
        self.streams, self.objects, self.images = {}, {}, {}
        for call in self.codebuild.calls:
            method = "".join("_" + letter.lower() if letter.isupper() else letter for letter in call).strip("_")
            setattr(self, method, self.serve(call))

    def client(self, service, config=None):
        return self

    def serve(self, call):
        """Return a method of boto3's client: requests are checked against botocore's model."""

        def ask(**request):
            try:
                return self.codebuild.calls[call](schema.check(call, request, "codebuild"), "us-east-1")
            except schema.AwsError as error:
                raise ClientError({"Error": {"Code": error.code, "Message": error.message}}, call) from error

        return ask

    def create_log_group(self, logGroupName):  # noqa: N803  as in a request
        refuse("ResourceAlreadyExistsException")

    def create_log_stream(self, logGroupName, logStreamName):  # noqa: N803
        self.streams[logGroupName, logStreamName] = []

    def put_log_events(self, logGroupName, logStreamName, logEvents):  # noqa: N803
        self.streams[logGroupName, logStreamName] += logEvents

    def get_log_events(self, logGroupName, logStreamName, startFromHead, nextToken="0"):  # noqa: N803
        events = self.streams.get((logGroupName, logStreamName)) or refuse("ResourceNotFoundException")
        return {"events": events[int(nextToken) :], "nextForwardToken": str(len(events))}

    def put_object(self, Bucket, Key, Body, ExpectedBucketOwner):  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = Body

    def get_object(self, Bucket, Key):  # noqa: N803
        return {"Body": io.BytesIO(self.objects.get(f"{Bucket}/{Key}") or refuse("NoSuchKey"))}

    def create_repository(self, **_):
        return {"repository": {"repositoryUri": f"{REGISTRY}/mlagents-0.11.0"}}

    def describe_repositories(self, **_):
        return {"repositories": [{"repositoryUri": f"{REGISTRY}/mlagents-0.11.0"}]}

    def get_lifecycle_policy(self, **_):
        pass

    def get_authorization_token(self):
        return {"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:secret").decode()}]}

    def describe_images(self, repositoryName, imageIds):  # noqa: N803
        text = self.images.get(imageIds[0]["imageTag"]) or refuse("ImageNotFoundException")
        kind = json.loads(text)["mediaType"]
        return {"imageDetails": [{"imageDigest": digest_of(text), "imageManifestMediaType": kind}]}

    def batch_get_image(self, imageIds, **_):  # noqa: N803
        text = next(text for text in self.images.values() if digest_of(text) == imageIds[0]["imageDigest"])
        return {"images": [{"imageManifest": text, "imageManifestMediaType": json.loads(text)["mediaType"]}]}

    def put_image(self, imageManifest, imageTag="", **_):  # noqa: N803
        self.images[imageTag] = imageManifest

    def batch_delete_image(self, imageIds, **_):  # noqa: N803
        del self.images[imageIds[0]["imageTag"]]


def digest_of(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def account(tmp_path, monkeypatch, docker):
    """Give an account with the project of the template; what its builds push is an OCI image."""
    monkeypatch.setattr(codebuild, "trusts", lambda arn, service: (arn, service) == (ROLE, "codebuild.amazonaws.com"))
    monkeypatch.setattr(pip_settings, "read", lambda: {"index-url": "https://index.example/simple"})
    for variable in (*building.CA_VARIABLES, *engine.PROXY_VARIABLES, "TRAINING_BASE_IMAGE"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    account = Account(tmp_path / "codebuild")
    given = {**RESOURCES["BuildProject"]["Properties"], "ServiceRole": ROLE}
    given["LogsConfig"] = {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": "/aws/codebuild/mlagents-image"}}
    given["Source"] = {**given["Source"], "Location": "bucket/image-source/source.zip"}
    account.create_project(**cloudformation._in_camels(given))
    docker.build_events = [{"stream": "Step 1/2 : FROM x\n"}, {"stream": " ---> 0123\n"}]
    docker.push_events = [[{"id": "a", "status": "Pushed"}, {"id": "a", "status": "Pushed"}]]
    push = docker.push

    def arrive(repository, *, tag, **options):
        yield from push(repository, tag=tag, **options)
        account.images[tag] = json.dumps(OCI)

    docker.push = arrive
    return account


@pytest.fixture
def build(account, folder):
    """Give a function that builds the folder."""
    connection = Connection("embedded", account, "123456789012", "us-east-1", "bucket", "role")

    def build(**changes):
        named = image.read(connection, folder)
        return image.build_in_codebuild(replace(connection, **changes), named, path=folder, poll_seconds=0.001)

    return build


def test_it_is_built_and_pushed_by_the_buildspec_and_checked_in_the_registry(account, build, docker, folder, capsys):
    tag = name.content_hash(name.read_files(folder))
    made = build()
    assert made.kind == name.MANIFEST
    assert made.digest == digest_of(account.images[tag])
    assert json.loads(account.images[tag]) == json.loads(manifest.convert(json.dumps(OCI)))
    [options] = docker.builds
    assert options["buildargs"] == {"BASE_IMAGE": "python:3.7-test", "GRAPHICS": "0", "TRAINER": "0.11.0", "GPU": "0"}
    assert (options["platform"], options["tag"]) == ("linux/amd64", f"{REGISTRY}/mlagents-0.11.0:{tag}")
    with tarfile.open(fileobj=options["fileobj"]) as archive:
        sent = {item.name: (item.mode, archive.extractfile(item).read()) for item in archive}
    assert (
        sent.pop("pip.conf")[1] == b"[global]\nindex-url = https://index.example/simple\n"
    )  # it builds on this machine
    assert {each: mode for each, (mode, _) in sent.items()} == {"Dockerfile": 0o644, "paths.py": 0o644, "train": 0o755}
    assert name.content_hash({each: content for each, (_, content) in sent.items()}) == tag
    assert docker.pushes == [(f"{REGISTRY}/mlagents-0.11.0", tag, {"username": "AWS", "password": "secret"})]
    [(place, events)] = account.streams.items()
    assert place[0] == "/aws/codebuild/mlagents-image"
    lines = [event["message"] for event in events]
    assert [line for line in lines if not line.startswith("Running command ")] == [
        *("Step 1/2 : FROM x\n", " ---> 0123\n", "a: Pushed\n"),
    ]
    assert "secret" not in "".join(lines)
    shown = capsys.readouterr().out
    assert "1/2 FROM x" in shown
    assert f"{made.local}: built and pushed in " in shown
    assert build() == made
    assert f"{made.local}: the registry holds this very content already, nothing to build.\n" in capsys.readouterr().out
    [ids] = account.list_builds_for_project(projectName="mlagents-image").values()
    [record] = account.batch_get_builds(ids=ids)["builds"]
    assert [(phase["phaseType"], phase.get("phaseStatus")) for phase in record["phases"]] == [
        *((phase, "SUCCEEDED") for phase in ("PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD")),
        *(("POST_BUILD", "SUCCEEDED"), ("FINALIZING", "SUCCEEDED"), ("COMPLETED", None)),
    ]


def test_nothing_of_this_machine_goes_to_aws(account, build, folder):
    build(target="aws")
    [packed] = account.objects.values()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["Dockerfile", "paths.py", "train"]
    assert list(account.objects) == [f"bucket/image-source/{name.content_hash(name.read_files(folder))}.zip"]


def test_without_an_engine_it_is_only_recorded(account, build, monkeypatch, capsys):
    def fail():
        raise UnavailableError("none answers.")

    monkeypatch.setattr(engine, "connect", fail)
    made = build()
    assert made.digest == ""
    assert capsys.readouterr().out.endswith(
        f"{made.local}: not built. The embedded AWS only records this build, because no Docker engine here can carry it "
        "out: none answers.\n"
    )
    [build_id] = account.list_builds_for_project(projectName="mlagents-image")["ids"]
    [record] = account.batch_get_builds(ids=[build_id])["builds"]
    assert (record["buildStatus"], record["buildComplete"]) == ("FAULT", True)


def test_a_build_that_fails_shows_its_last_lines(account, build, docker):
    docker.build_events += [{"error": "returned a non-zero code: 1"}]
    with pytest.raises(image.ImageError) as failed:
        build()
    first, *last = str(failed.value).splitlines()
    assert first.startswith("Expected the build mlagents-image:")
    assert first.endswith(
        " to succeed, found it FAILED in BUILD: `docker build` failed: returned a non-zero code: 1. Correct what the end of "
        "its log names, and run this again:"
    )
    assert last[-2:] == [" ---> 0123", "`docker build` failed: returned a non-zero code: 1"]


def test_a_build_that_runs_is_followed_and_not_begun_again(account, build, docker):
    """Interrupted, and run again."""
    go_on, asked = threading.Event(), []
    docker.build_events = ({"stream": f"{go_on.wait(30)}\n"} for _ in range(1))
    look = account.batch_get_builds

    def interrupt(ids):
        asked.append(ids)
        if len(asked) == 2:
            raise KeyboardInterrupt
        if len(asked) == 4:
            go_on.set()
        return look(ids=ids)

    account.batch_get_builds = interrupt
    with pytest.raises(KeyboardInterrupt):
        build()
    assert build().digest
    assert len(docker.builds) == len(account.list_builds_for_project(projectName="mlagents-image")["ids"]) == 1


def test_a_build_can_be_stopped(account, docker, build):
    begun, go_on = threading.Event(), threading.Event()

    def events():
        begun.set()
        go_on.wait(30)
        yield {"stream": "next line\n"}

    docker.build_events = events()
    failed = []

    def run():
        with pytest.raises(image.ImageError) as error:
            build()
        failed.append(str(error.value))

    running = threading.Thread(target=run)
    running.start()
    assert begun.wait(30)
    [build_id] = account.list_builds_for_project(projectName="mlagents-image")["ids"]
    account.stop_build(id=build_id)
    go_on.set()
    running.join(30)
    assert "found it STOPPED in BUILD: The build was stopped. Run this again:" in failed[0]


@pytest.mark.parametrize(
    ("status", "phases", "said"),
    [
        (  # on AWS a phase that succeeded has a context too, without a message
            "FAILED",
            [("PROVISIONING", "SUCCEEDED", ""), ("BUILD", "FAILED", "Error while executing command: docker push.")],
            "FAILED in BUILD: Error while executing command: docker push. Correct",
        ),
        (
            "TIMED_OUT",
            [("QUEUED", "SUCCEEDED", ""), ("BUILD", "TIMED_OUT", "")],
            "TIMED_OUT in BUILD: CodeBuild gives no",
        ),
        ("STOPPED", [], "STOPPED: CodeBuild gives no reason. Run this again:"),
    ],
)
def test_a_build_that_failed_on_aws_is_explained(status, phases, said):
    phases = [
        {"phaseType": kind, "phaseStatus": how, "contexts": [{"statusCode": "", "message": message}]}
        for kind, how, message in phases
    ]
    explained = image_codebuild._explain({"id": "p:1", "buildStatus": status, "phases": phases})
    assert explained.startswith(f"Expected the build p:1 to succeed, found it {said}")


def test_a_build_of_a_server_that_was_killed_has_ended(account, build, tmp_path):
    build()
    [file] = (tmp_path / "codebuild/us-east-1/builds").glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "buildStatus": "IN_PROGRESS"}))
    [record] = account.batch_get_builds(ids=[f"mlagents-image:{file.stem}"])["builds"]
    assert (record["buildStatus"], record["phases"][-2]["contexts"][0]["message"]) == ("FAULT", codebuild.LOST)


def test_without_the_project_lesson_0_is_named(account, build):
    account.delete_project(name="mlagents-image")
    with pytest.raises(image.ImageError, match=r"the CodeBuild project mlagents-image, found none.* Lesson 0 makes it"):
        build()


def test_a_role_that_does_not_trust_codebuild_is_refused(account):
    with pytest.raises(ClientError, match="CodeBuild is not authorized to perform: sts:AssumeRole"):
        account.update_project(name="mlagents-image", serviceRole=f"{ROLE}-other")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make all", "runs docker build, docker push, docker login and chmod, not 'make'"),
        ("docker build --squash --tag a .", "does not know --squash of docker build"),
    ],
)
def test_what_this_machine_cannot_carry_out_is_refused(account, build, command, said):
    spec = {"version": 0.2, "phases": {"build": {"commands": [command]}}}
    source = {"type": "S3", "location": "bucket/x.zip", "buildspec": yaml.safe_dump(spec)}
    account.update_project(name="mlagents-image", source=source)
    with pytest.raises(image.ImageError, match=said):
        build()


def test_the_buildspec_is_shell_that_logs_in_builds_and_pushes(tmp_path):
    """What CodeBuild does: each command in a shell, here with stand-ins for the two programs."""
    (tmp_path / "train").touch()
    for program in ("docker", "aws"):
        file = tmp_path / "bin" / program
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "{program}" "$@" "" >> {tmp_path}/called\necho token\n')
        file.chmod(0o755)
    variables = {"IMAGE": "registry.example/mlagents-0.11.0:tag", "BASE_IMAGE": "python:3.7", "GRAPHICS": "1"}
    spec = yaml.safe_load(SPEC)
    variables |= spec["env"]["variables"] | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    for phase in ("pre_build", "build"):
        for command in spec["phases"][phase]["commands"]:
            subprocess.run(["/bin/sh", "-ec", command], cwd=tmp_path, env=variables, check=True)
    assert (tmp_path / "train").stat().st_mode & 0o777 == 0o755
    called = [tuple(call.split("\n")) for call in (tmp_path / "called").read_text().strip().split("\n\n")]
    assert set(called[:2]) == {
        ("aws", "ecr", "get-login-password"),
        ("docker", "login", "--username", "AWS", "--password-stdin", "registry.example"),
    }
    given = ("BASE_IMAGE=python:3.7", "GRAPHICS=1", "TRAINER=0.11.0", "GPU=0")
    arguments = (*(word for each in given for word in ("--build-arg", each)), "--tag", variables["IMAGE"], ".")
    assert called[2:] == [
        ("docker", "build", "--platform", "linux/amd64", *arguments),
        ("docker", "push", variables["IMAGE"]),
    ]
    assert spec["env"]["variables"] == {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "TRAINER": "0.11.0", "GPU": "0"}


@pytest.mark.parametrize(
    ("line", "done", "total", "text"),
    [
        ("Step 2/7 : RUN pip", 1, 7, "2/7 RUN pip"),
        ("#9 [packages 3/5] RUN pip", 2, 5, "3/5 RUN pip"),
        ("#9 [4/5] COPY a b", 3, 5, "4/5 COPY a b"),
    ],
)
def test_steps_of_both_builders_move_the_bar(line, done, total, text):
    texts = []
    shown = SimpleNamespace(set_description_str=lambda text: texts.append(text.strip()))
    building.show_line(shown, line)
    assert (shown.n, shown.total, texts) == (done, total, [text])
