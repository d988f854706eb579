"""The image's name: what it is the hash of, and what the registry says of it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

import training_image as image
from common import ROOT
from common.aws_session import Connection
from common.contract import DEFAULT_TRAINER, TRAINERS
from training_image import name

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "ab" * 32


def hash_of(*lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


def hash_folder(folder, **variant):
    return name.content_hash(name.read_files(folder), **variant)


def lines_of(folder, *names):
    return [f"{hashlib.sha256((folder / part).read_bytes()).hexdigest()}  {part}" for part in names]


def test_the_tag_is_the_hash_of_all_inputs(folder):
    assert hash_folder(folder) == hash_of(*lines_of(folder, "Dockerfile", "paths.py", "train"))


def test_variants_and_base_images_have_their_own_tags(folder, monkeypatch):
    lines = lines_of(folder, "Dockerfile", "paths.py", "train")
    assert hash_folder(folder, graphics=True) == hash_of(*lines, "graphics")
    monkeypatch.setenv("TRAINING_BASE_IMAGE", "mine:1")
    assert hash_folder(folder) == hash_of(*lines, "base mine:1")
    assert name.base_image(name.read_files(folder)) == "mine:1"


def test_a_version_of_the_trainer_has_its_own_repository_base_image_locks_and_tag(connection, answers, folder):
    for _ in range(4):
        answers.absent()
    before = image.read(connection, folder)
    base = "ARG BASE_IMAGE=python:${PYTHON}-slim\nFROM ${BASE_IMAGE}\n"
    (folder / "Dockerfile").write_text(base)
    for trainer in ("0.11.0", "1.1.0"):
        (folder / f"locks-{trainer}").mkdir()
        (folder / f"locks-{trainer}/gpu-0.txt").write_text("--requirement requirements.lock\n")
    (folder / "locks-1.1.0/requirements.in").write_text("left out")
    with pytest.raises(image.ImageError, match=r"a trainer that can use a card \(gpu\), found none\. Only 1\.1\.0 can"):
        image.read(connection, folder, gpu=True)
    (folder / "locks-1.1.0/gpu-1.txt").write_text("--requirement torch-cuda.lock\n")
    lines = lines_of(folder, "Dockerfile", "paths.py", "train", "locks-1.1.0/gpu-0.txt", "locks-1.1.0/gpu-1.txt")
    named = image.read(connection, folder, trainer="1.1.0")
    assert named.uri == f"{REGISTRY}/mlagents-1.1.0:{hash_of(*lines)}"
    files, arguments = name.build_inputs(named, folder, {})
    assert arguments == {"BASE_IMAGE": "python:3.10.18-slim", "GRAPHICS": "0", "TRAINER": "1.1.0"}
    assert {"locks-1.1.0/gpu-0.txt", "locks-1.1.0/gpu-1.txt"} < files.keys()
    with_card = image.read(connection, folder, trainer="1.1.0", gpu=True)
    assert with_card.tag == hash_of(*lines, "gpu")
    assert name.build_inputs(with_card, folder, {"GPU": "1"})[1]["GPU"] == "1"
    old = image.read(connection, folder)
    assert (old.repository, old.tag != before.tag) == (before.repository, True)
    assert name.build_inputs(old, folder, {})[1] == {"BASE_IMAGE": "python:3.7.17-slim", "GRAPHICS": "0"}
    with pytest.raises(image.ImageError, match=r"Expected a trainer out of 0\.11\.0, 1\.1\.0, found '1\.0\.0'"):
        image.read(connection, folder, trainer="1.0.0")


def test_the_dockerfiles_own_python_is_that_of_the_default_trainer():
    dockerfile = (name.CONTAINER / "Dockerfile").read_text()
    assert f"\nARG TRAINER={DEFAULT_TRAINER}\n" in dockerfile
    assert f"\nARG PYTHON={TRAINERS[DEFAULT_TRAINER]['python']}\n" in dockerfile
    assert f"--build-arg TRAINER=1.1.0 --build-arg PYTHON={TRAINERS['1.1.0']['python']}," in dockerfile


@pytest.mark.parametrize("part", ["compat.lock", "__pycache__/paths.pyc", ".DS_Store"])
def test_excluded_files_do_not_change_the_tag(folder, part):
    before = hash_folder(folder)
    (folder / part).write_text("changed")
    assert hash_folder(folder) == before


def test_modes_and_times_do_not_change_the_tag(folder):
    before = hash_folder(folder)
    (folder / "train").chmod(0o755)
    (folder / "train").touch()
    assert hash_folder(folder) == before


def test_dockerignore_is_read_as_docker_reads_it():
    """The project's own: what is hashed is what `docker build container/` would send, but for Docker's own two files."""
    container = ROOT / "container"
    patterns = [line for line in (container / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    sent = {path for path in exclude_paths(str(container), patterns) if (container / path).is_file()}
    for trainer, other in (("0.11.0", "1.1.0"), ("1.1.0", "0.11.0")):  # the Dockerfile copies the locks of one
        copied = {path for path in sent if not path.startswith(f"locks-{other}/")}
        assert name.read_files(container, trainer).keys() == copied - {".dockerignore"}
    assert not {"compat.lock", "compat.in", "overrides.txt", "requirements.in"} & sent
    assert {"Dockerfile", "train", "requirements.lock", "contract.json", "trainers/v0_11/trainer_config.yaml"} <= sent


def test_modules_of_packages_have_relative_names(folder):
    before = hash_folder(folder)
    (folder / "speedups").mkdir()
    (folder / "speedups/notes.py").write_text("")
    assert hash_folder(folder) == before  # no package
    (folder / "speedups/__init__.py").write_text("")
    (folder / "speedups/notes.pyc").write_text("left out")
    listed = [path.relative_to(folder).as_posix() for path in name.list_files(folder)]
    assert listed[-2:] == ["speedups/__init__.py", "speedups/notes.py"]
    packed = hash_folder(folder)
    assert packed != before
    (folder / "speedups/notes.py").rename(folder / "speedups/other.py")
    assert hash_folder(folder) not in (before, packed)


def test_naming_needs_no_docker():
    code = "import sys; import training_image as image; image.read, image.locate; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_an_image_that_is_not_pushed_has_a_tag(connection, answers, folder):
    answers.absent()
    read = image.read(connection, folder)
    assert read.uri == f"{REGISTRY}/mlagents-0.11.0:{hash_folder(folder)}"
    assert (read.digest, read.size) == ("", 0)


def test_an_image_in_the_registry_has_a_digest(connection, answers, folder):
    answers.present(DIGEST)
    assert image.locate(connection, folder).uri == f"{REGISTRY}/mlagents-0.11.0@{DIGEST}"


def test_registries_in_china_have_their_own_domain(answers, folder):
    answers.refuse("describe_images", "RepositoryNotFoundException")
    connection = Connection("aws", answers, "123456789012", "cn-north-1", "bucket", "role")
    assert image.read(connection, folder).registry == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"


def test_a_job_on_aws_needs_the_image_there(connection, answers, folder):
    answers.absent()
    with pytest.raises(image.ImageError) as failed:
        image.locate(connection, folder)
    assert str(failed.value) == (
        f"Expected the image {REGISTRY}/mlagents-0.11.0:{hash_folder(folder)} in ECR, found none. Run notebook 3, which "
        f"builds and pushes it. If you did, one of what the tag is the hash of has changed since: {folder}, the choice of "
        "graphics, TRAINING_BASE_IMAGE."
    )


def test_a_missing_right_is_reported(connection, answers, folder):
    answers.refuse("describe_images", "AccessDeniedException", "not authorized")
    with pytest.raises(image.ImageError, match=r"not authorized.* ecr:DescribeImages"):
        image.read(connection, folder)


@pytest.mark.parametrize("part", ["Dockerfile", "train"])
def test_an_incomplete_folder_is_refused(connection, folder, part):
    (folder / part).unlink()
    with pytest.raises(image.ImageError, match=f"Expected .*{part}, found none"):
        image.read(connection, folder)


def test_a_missing_folder_is_refused(connection):
    with pytest.raises(image.ImageError, match="found none"):
        image.read(connection, Path("/nowhere"))


def test_a_dockerfile_without_a_base_is_refused(folder):
    (folder / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(image.ImageError, match="ARG BASE_IMAGE"):
        name.base_image(name.read_files(folder))
