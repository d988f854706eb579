"""Pushing: repository, login, layers, the digest that comes back, and each way it fails."""

import base64
import hashlib
import json
import logging
import re
from dataclasses import replace

import pytest
from docker.errors import APIError

import training_image as image
from training_image import pushing
from training_image.name import Image

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
TEXT = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7, "digest": "sha256:c"},
        "layers": [{"mediaType": LAYER, "size": 5, "digest": "sha256:a"}],
    }
)
DIGEST = "sha256:" + hashlib.sha256(TEXT.encode()).hexdigest()
TOKEN = base64.b64encode(b"AWS:first-secret").decode()
NEW_TOKEN = base64.b64encode(b"AWS:second-secret").decode()
MADE = Image(REGISTRY, "0123456789abcdef")
LAYERS = [
    {"status": "The push refers to repository"},
    {"id": "a", "status": "Preparing", "progressDetail": {}},
    {"id": "a", "status": "Layer already exists"},
    {"id": "b", "status": "Pushing", "progressDetail": {"current": 512, "total": 1024}},
    {"id": "b", "status": "Pushing", "progressDetail": {"current": 1100, "total": 1024}},
    {"id": "b", "status": "Pushed"},
    {"id": "c", "status": "Mounted from other"},
    {"status": "tag: digest: sha256 size: 5"},
    {"progressDetail": {}, "aux": {"Tag": "t", "Digest": DIGEST, "Size": 5}},
]


@pytest.fixture
def built(docker):
    docker.built.tags.clear()
    docker.held[MADE.local] = docker.built
    return docker


@pytest.fixture
def push(connection, built):
    return lambda: image.push(connection, built, MADE)


def test_a_push_reports_layers_and_digest(answers, built, push, capsys):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.present(DIGEST)
    answers.manifest(TEXT)
    built.push_events = [LAYERS]
    pushed = push()
    assert pushed.uri == f"{REGISTRY}/mlagents-0.11.0@{DIGEST}"
    assert pushed.size == 200_000_000
    assert built.held[MADE.local].tags == [f"{REGISTRY}/mlagents-0.11.0:{MADE.tag}"]
    assert built.pushes == [(f"{REGISTRY}/mlagents-0.11.0", MADE.tag, {"username": "AWS", "password": "first-secret"})]
    shown = capsys.readouterr().out
    assert "layer b: 100%" in shown
    pattern = rf"^{MADE.local}: 1 layers sent, 2 there already, in \d+\.\d s; the registry keeps 200 MB\.$"
    assert re.search(pattern, shown, re.MULTILINE)


def test_an_image_in_the_registry_is_not_pushed(answers, docker, push, capsys):
    answers.present(DIGEST)
    answers.manifest(TEXT)
    assert (push().digest, docker.pushes) == (DIGEST, [])
    message = f"{MADE.local}: the registry holds this very content already, nothing pushed.\n"
    assert capsys.readouterr().out == message


@pytest.mark.parametrize("engine", [False, True])
def test_nothing_is_pushed_without_an_engine(connection, answers, docker, capsys, engine):
    answers.absent()
    optional = replace(MADE, optional=True)
    assert image.push(connection, docker if engine else None, optional) == optional
    assert capsys.readouterr().out == ""  # why has been said


def test_the_repository_is_made_with_its_rules(answers, connection):
    requests = {}
    answers.repository()
    answers.ecr.meta.events.register(
        "provide-client-params.ecr", lambda params, model, **_: requests.update({model.name: dict(params)})
    )
    assert pushing.make_repository(connection, "mlagents-0.11.0") == REGISTRY
    assert requests["CreateRepository"]["imageTagMutability"] == "IMMUTABLE"
    assert requests["CreateRepository"]["imageScanningConfiguration"] == {"scanOnPush": True}
    [rule] = json.loads(requests["PutLifecyclePolicy"]["lifecyclePolicyText"])["rules"]
    assert rule["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}
    assert rule["action"] == {"type": "expire"}


def test_an_existing_repository_keeps_its_rules(answers, connection):
    uri = f"{REGISTRY}/mlagents-0.11.0"
    answers.refuse("create_repository", "RepositoryAlreadyExistsException")
    answers.stubber.add_response("describe_repositories", {"repositories": [{"repositoryUri": uri}]})
    answers.stubber.add_response("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(pushing.LIFECYCLE)})
    assert pushing.make_repository(connection, "mlagents-0.11.0") == REGISTRY


@pytest.mark.parametrize("before", [[], ["absent"], ["absent", "repository"]])
def test_credentials_that_expire_while_it_is_pushed(answers, built, before, push):
    for each in before:
        getattr(answers, each)()
    answers.refuse(("describe_images", "create_repository", "get_authorization_token")[len(before)], "ExpiredToken")
    with pytest.raises(
        image.ImageError, match=r"credentials have expired.*aws sso login.*Layers that were pushed stay"
    ):
        push()


@pytest.mark.parametrize(
    "said",
    [
        "denied: Your authorization token has expired. Reauthenticate and try again.",
        "no basic auth credentials",
        "unauthorized: authentication required",
    ],
)
def test_an_expired_token_is_renewed(answers, built, said, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.token(NEW_TOKEN)
    answers.present(DIGEST)
    answers.manifest(TEXT)
    built.push_events = [[{"error": said}], LAYERS]
    assert push().digest == DIGEST
    assert [login["password"] for *_, login in built.pushes] == ["first-secret", "second-secret"]


def test_a_token_is_renewed_only_once(answers, built, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.token(NEW_TOKEN)
    built.push_events = [[{"error": "no basic auth credentials"}], [{"error": "no basic auth credentials"}]]
    with pytest.raises(image.ImageError, match="Nothing counts as pushed"):
        push()


@pytest.mark.parametrize(
    "events",
    [
        [{"id": "b", "status": "Pushing", "progressDetail": {"current": 1}}, {"error": "denied: not authorized"}],
        [{"error": "write tcp 10.0.0.1: connection reset by peer"}],
        APIError("500 Server Error: dial tcp 127.0.0.1:1: connection refused"),
    ],
)
def test_a_registry_that_refuses_or_disconnects(answers, built, events, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    built.push_events = [events]
    with pytest.raises(image.ImageError) as failed:
        push()
    assert f"Pushing to {REGISTRY} failed" in str(failed.value)
    assert "running this again goes on" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_an_embedded_registry_that_fails_says_where_to_look(connection, answers, built, tmp_path, monkeypatch):
    """What the engine says when the registry's disk is full; the registry's own words are in its log alone."""
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path))
    answers.token(TOKEN)
    built.push_events = [[{"error": "received unexpected HTTP status: 500 Internal Server Error"}]]
    with pytest.raises(image.ImageError) as failed:
        pushing.push_once_more(replace(connection, target="embedded"), built, MADE)
    assert str(failed.value) == (
        f"Pushing to {REGISTRY} failed: received unexpected HTTP status: 500 Internal Server Error. The cause is "
        f"in {tmp_path}/server.log; most often its disk is full (`df {tmp_path}`). Nothing counts as pushed. Layers "
        "that arrived stay there, so running this again goes on."
    )


def test_a_tag_that_somebody_else_was_quicker_to_push(answers, built, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.present(DIGEST)
    answers.manifest(TEXT)
    built.push_events = [[{"error": "tag invalid: The image tag 't' cannot be overwritten because it is immutable."}]]
    assert push().digest == DIGEST


@pytest.mark.parametrize("held", [None, "sha256:" + "cd" * 32])
def test_a_push_is_complete_only_if_the_registry_confirms_it(answers, built, held, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.present(held) if held else answers.absent()
    built.push_events = [LAYERS]
    with pytest.raises(image.ImageError) as failed:
        push()
    assert f"to be {DIGEST} in the registry after the push, found {held or 'nothing'}" in str(failed.value)


@pytest.mark.parametrize(
    "events",
    [
        LAYERS[:-1],
        [{"error": "tag invalid: The image tag 't' cannot be overwritten because it is immutable."}],
    ],
)
def test_a_push_without_a_digest_is_complete_only_if_the_registry_has_it(answers, built, events, push):
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.absent()
    built.push_events = [events]
    with pytest.raises(image.ImageError) as failed:
        push()
    assert str(failed.value) == (
        f"Expected {REGISTRY}/mlagents-0.11.0:{MADE.tag} in the registry after the push, found nothing. Run this "
        "again; somebody else may have pushed at the same time."
    )


DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
OCI_LAYER, DOCKER_LAYER = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def part(kind, letter, size, **more):
    return {"mediaType": kind, "size": size, "digest": f"sha256:{letter * 64}", **more}


def digest_of(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def oci(*layers, config="application/vnd.oci.image.config.v1+json"):
    layers = layers or (OCI_LAYER, DOCKER_LAYER)  # as of a base that was pulled with Docker's manifest
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": part(config, "c", 7),
        "layers": [part(kind, "ab"[number], 10 + number) for number, kind in enumerate(layers)],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    return json.dumps(manifest)


CONVERTED = {
    "schemaVersion": 2,
    "mediaType": DOCKER,
    "config": part("application/vnd.docker.container.image.v1+json", "c", 7),
    "layers": [part(DOCKER_LAYER, "a", 10), part(DOCKER_LAYER, "b", 11)],
}


def index(*platforms):
    attestation = {"vnd.docker.reference.type": "attestation-manifest"}
    manifests = [
        {"digest": digest, "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True))}
        for digest, platform in platforms
    ]
    manifests.append(part(OCI, "f", 5, annotations=attestation, platform={"os": "unknown", "architecture": "unknown"}))
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


@pytest.mark.parametrize("kind", [OCI, INDEX])
@pytest.mark.parametrize("when", ["pushed now", "held from before"])
def test_an_oci_image_gets_a_docker_manifest(answers, built, kind, when, push):
    image_digest = digest_of(oci())
    text = oci() if kind == OCI else index((image_digest, "linux/amd64"))
    digest = digest_of(text)
    if when == "pushed now":
        answers.absent()
        answers.repository()
        answers.token(TOKEN)
        built.push_events = [[{"aux": {"Digest": digest}}]]
    answers.present(digest, kind)
    answers.manifest(text)
    if kind == INDEX:
        answers.manifest(oci())
    written = json.dumps(CONVERTED, indent=3)
    converted = digest_of(written)
    name = {"repositoryName": "mlagents-0.11.0"}
    put = {**name, "imageManifest": written, "imageManifestMediaType": DOCKER, "imageDigest": converted}
    answers.stubber.add_response("put_image", {}, put)
    answers.stubber.add_response("batch_delete_image", {}, {**name, "imageIds": [{"imageTag": MADE.tag}]})
    answers.stubber.add_response("put_image", {}, {**put, "imageTag": MADE.tag})
    answers.present(converted)
    pushed = push()
    assert pushed.uri == f"{REGISTRY}/mlagents-0.11.0@{converted}"
    assert pushed.kind == DOCKER
    answers.stubber.assert_no_pending_responses()


def test_an_interrupted_conversion_continues(answers, push):
    digest = digest_of(oci())
    answers.present(digest, OCI)
    answers.manifest(oci())
    answers.refuse("put_image", "ImageAlreadyExistsException")
    answers.stubber.add_response("batch_delete_image", {})
    answers.stubber.add_response("put_image", {})
    converted = digest_of(json.dumps(CONVERTED, indent=3))
    answers.present(converted)
    assert push().digest == converted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (oci("application/vnd.oci.image.layer.v1.tar+zstd"), "packed with gzip, found the layer sha256:aaaa.*zstd"),
        (oci("application/vnd.oci.image.layer.v1.tar"), "packed with gzip, found the layer sha256:aaaa.*v1.tar\\."),
        (oci(config="application/vnd.cncf.helm.config.v1+json"), "found the configuration sha256:cccc.*helm"),
        (TEXT.replace(LAYER, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "layer sha256:a .*foreign"),
        (json.dumps({"mediaType": OCI, "config": {}}), "the manifest of an image, found one without 'layers'"),
        (index(), "one image for linux/amd64, found an index of none"),
        (index((DIGEST, "linux/arm64")), "one image for linux/amd64, found an index of linux/arm64"),
        (index((DIGEST, "linux/amd64"), (DIGEST, "linux/arm64")), "an index of linux/amd64, linux/arm64"),
        (json.dumps({"mediaType": INDEX, "manifests": [3]}), "Expected an index of images, found one without"),
    ],
)
def test_an_image_that_cannot_be_converted_is_refused(answers, text, problem, push):
    answers.present(digest_of(text), json.loads(text)["mediaType"])
    answers.manifest(text)
    with pytest.raises(
        image.ImageError, match=f"{problem}.*aws ecr batch-delete-image --repository-name mlagents-0.11.0"
    ):
        push()


def test_a_manifest_of_another_digest_is_refused(answers, push):
    answers.present(DIGEST, OCI)
    answers.manifest(oci(), DIGEST)
    with pytest.raises(image.ImageError, match=f"Expected the manifest {DIGEST} of .* in ECR, found another one"):
        push()


@pytest.mark.parametrize("kind", [OCI, INDEX])
def test_a_job_requires_a_docker_manifest(connection, answers, folder, kind):
    answers.present(DIGEST, kind)
    with pytest.raises(image.ImageError, match=f"single Docker image, found {re.escape(kind)}, which.*Run notebook 3"):
        image.locate(connection, folder)


def test_an_image_of_the_wrong_platform_is_not_pushed(answers, built, push):
    built.held[MADE.local] = type(built.built)("arm64")
    answers.absent()
    answers.repository()
    with pytest.raises(image.ImageError, match="for linux/amd64 in the Docker engine, found none"):
        push()
    assert built.pushes == []


def test_ecr_that_refuses_to_make_the_repository(answers, docker, push):
    answers.absent()
    answers.refuse("create_repository", "AccessDeniedException", "not authorized to perform: ecr:CreateRepository")
    with pytest.raises(image.ImageError) as failed:
        push()
    assert str(failed.value).endswith(
        "Ask for the policy AmazonEC2ContainerRegistryPowerUser with ecr:BatchDeleteImage, ecr:CreateRepository, "
        "ecr:TagResource and ecr:PutLifecyclePolicy."
    )


def test_a_login_that_fails_leaves_no_tag_in_the_engine(answers, built, push):
    answers.absent()
    answers.repository()
    answers.refuse("get_authorization_token", "AccessDeniedException", "not authorized")
    with pytest.raises(image.ImageError, match="Expected to log in, found that ECR refuses"):
        push()
    assert (built.held[MADE.local].tags, built.pushes) == ([], [])


def test_an_embedded_aws_without_a_registry_says_how_to_get_one(connection, answers, built, capsys):
    answers.absent()
    answers.repository()
    answers.refuse("get_authorization_token", "RegistryUnavailableException", "install docker-registry")
    embedded = replace(connection, target="embedded")
    assert image.push(embedded, built, replace(MADE, optional=True)).digest == ""
    assert capsys.readouterr().out == f"{MADE.local}: nothing pushed. install docker-registry\n"


def test_credentials_are_not_logged(answers, built, caplog, capsys, push):
    caplog.set_level(logging.DEBUG)
    answers.absent()
    answers.repository()
    answers.token(TOKEN)
    answers.present(DIGEST)
    answers.manifest(TEXT)
    built.push_events = [LAYERS]
    print(push())
    shown = capsys.readouterr()
    # botocore's own debug log holds answers whole; nobody but who asks for it sees it.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("botocore", "boto3"))]
    assert "secret" not in shown.out + shown.err + "".join(ours)
    assert TOKEN not in shown.out + shown.err + "".join(ours)
