"""A sample environment where there is no build, and its removal once there is one."""

import subprocess
import sys

import pytest

import sample_env
from helpers import build
from mlagents_check import unity_build


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def put_own_build(folder, name="Walker"):
    (folder / f"{name}_Data").mkdir(exist_ok=True)
    (folder / f"{name}_Data" / "level0").write_bytes(b"")
    (folder / f"{name}.x86_64").write_bytes(b"\x7fELF")


def test_a_sample_is_put_where_no_build_is(tmp_path):
    assert build.prepare(tmp_path, "Warehouse") == (
        f"No build in {tmp_path}. Made the sample environment Warehouse.x86_64."
    )
    assert build.prepare(tmp_path) == f"There is a build in {tmp_path}."
    assert unity_build.has_build(tmp_path)


def test_a_sample_for_another_trainer_is_made_anew(tmp_path):
    build.prepare(tmp_path, trainer="1.1.0")
    assert unity_build.check(tmp_path).trainer == "1.1.0"
    assert build.prepare(tmp_path) == build.prepare(tmp_path, trainer="1.1.0") == f"There is a build in {tmp_path}."
    assert build.prepare(tmp_path, "Warehouse", trainer="0.11.0") == (
        f"In {tmp_path} was the sample for ML-Agents 1.1.0. Made the sample environment 3DBall.x86_64."
    )
    assert unity_build.check(tmp_path).trainer == "0.11.0"


def test_the_sample_beside_an_own_build_is_named_and_removed(tmp_path):
    put_own_build(tmp_path)
    own = names(tmp_path)
    sample_env.make_sample_build(tmp_path / "elsewhere", "Warehouse")
    for path in list((tmp_path / "elsewhere").iterdir()):
        path.rename(tmp_path / path.name)
    (tmp_path / "elsewhere").rmdir()
    (found,) = unity_build.check(tmp_path).errors
    assert (found.what, found.todo) == (
        "Expected one build, found 2: Walker.x86_64, Warehouse.x86_64.",
        "Warehouse.x86_64 is the sample environment. To keep your own build alone, run `make remove-sample`, or notebook 1 "
        "with remove_sample = True.",
    )
    (tmp_path / "trainer_config.yaml").write_text("default: {}")  # changed, and so the reader's own
    message = build.prepare(tmp_path, remove_sample=True)
    assert message.startswith(f"Removed the sample environment from {tmp_path}: Warehouse.x86_64, Warehouse_Data, ")
    assert names(tmp_path) == sorted([*own, "trainer_config.yaml"])
    assert not (tmp_path / "curriculum").exists()
    assert build.prepare(tmp_path, remove_sample=True).endswith(": there was none.")


@pytest.mark.parametrize("scene", ["3DBall", "Walker"])
def test_an_own_build_stays_even_on_top_of_the_sample(tmp_path, scene):
    sample_env.make_sample_build(tmp_path)
    put_own_build(tmp_path, scene)
    command = [sys.executable, "-m", "sample_env", "remove", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if scene == "Walker":
        assert output == f"Removed {tmp_path}/3DBall.x86_64, {tmp_path}/3DBall_Data.\n"
        assert names(tmp_path) == ["Walker.x86_64", "Walker_Data/level0"]
    else:
        assert output == f"There is no sample environment in {tmp_path}.\n"
        assert (tmp_path / "3DBall.x86_64").read_bytes() == b"\x7fELF"
