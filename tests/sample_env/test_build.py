"""The sample as a build: which files, the same each time, nothing of anybody else's touched."""

import json
import os
import stat
from pathlib import Path

import pytest

from mlagents_check import trainer_config, unity_build
from sample_env import SampleEnvError, make_sample_build
from sample_env.player.scenes import SCENES


def files(folder):
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def sample(tmp_path):
    make_sample_build(tmp_path)
    return tmp_path


def test_a_build_is_an_executable_and_its_data(tmp_path):
    executable = make_sample_build(tmp_path / "new" / "unity-volume")
    assert executable == tmp_path / "new" / "unity-volume" / "3DBall.x86_64"
    assert executable.read_text().startswith("#!/usr/bin/env python3\n")
    assert stat.S_IMODE(executable.stat().st_mode) == 0o755
    assert sorted(path.name for path in executable.parent.iterdir()) == ["3DBall.x86_64", "3DBall_Data"]
    assert json.loads((executable.parent / "3DBall_Data" / "sample_env.json").read_text()) == {
        "scene": "3DBall",
        "trainer": "0.11.0",
        "protocol": "API-11",
        "brains": ["3DBall"],
    }


def test_the_files_are_the_same_each_time(tmp_path):
    umask = os.umask(0o077)
    try:
        make_sample_build(tmp_path / "private")
    finally:
        os.umask(umask)
    make_sample_build(str(tmp_path / "shared"))
    assert files(tmp_path / "private") == files(tmp_path / "shared")
    assert all(name.endswith((".py", ".x86_64", ".json")) for name in files(tmp_path / "shared"))


def test_making_it_again_writes_nothing(sample):
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*") if path != sample}
    assert make_sample_build(sample) == sample / "3DBall.x86_64"
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*") if path != sample} == before


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "no executable", "not executable"])
def test_a_damaged_or_older_sample_is_replaced(sample, damage):
    whole = files(sample)
    module = sample / "3DBall_Data" / "player" / "ball3d.py"
    if damage == "changed":
        module.write_text("older")
    elif damage == "missing":
        module.unlink()
    elif damage == "added":
        (module.parent / "extra.py").write_text("")
    elif damage == "no executable":
        (sample / "3DBall.x86_64").unlink()
    else:
        (sample / "3DBall.x86_64").chmod(0o644)
    make_sample_build(sample)
    assert files(sample) == whole


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "trainer_config.yaml").write_text("default: {}")
    make_sample_build(tmp_path)
    assert (tmp_path / "trainer_config.yaml").read_text() == "default: {}"


@pytest.mark.parametrize(
    "other",
    [
        {"3DBall.x86_64": b"\x7fELF", "3DBall_Data/level0": b""},
        {"Walker.x86_64": b"\x7fELF", "Walker_Data/level0": b""},
        {"Walker.x86": b"\x7fELF"},
        {"3DBall_Data/level0": b""},
    ],
    ids=["same name", "other name", "32 bits", "data alone"],
)
def test_another_build_is_not_touched(tmp_path, other):
    for name, content in other.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(SampleEnvError, match=r"of another build\. Use that build, choose another folder, or move"):
        make_sample_build(tmp_path)
    assert files(tmp_path) == before


def test_a_unity_build_on_top_of_the_sample_is_not_touched(sample):
    (sample / "3DBall.x86_64").write_bytes(b"\x7fELF")
    with pytest.raises(SampleEnvError, match=r"found 3DBall\.x86_64 of another build"):
        make_sample_build(sample)
    assert (sample / "3DBall.x86_64").read_bytes() == b"\x7fELF"


def test_an_interrupted_call_leaves_no_executable_and_can_be_repeated(sample, monkeypatch):
    whole = files(sample)
    (sample / "3DBall_Data" / "player" / "ball3d.py").write_text("older")
    rename = Path.rename

    def interrupted(self, target):
        if self.name == "3DBall.x86_64":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_sample_build(sample)
    assert [path.name for path in sample.iterdir()] == ["3DBall_Data"]
    monkeypatch.undo()
    make_sample_build(sample)
    assert files(sample) == whole


def test_an_unknown_scene_is_named(tmp_path):
    with pytest.raises(SampleEnvError, match="Expected a scene out of 3DBall, Warehouse, got 'Walker'"):
        make_sample_build(tmp_path, "Walker")
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_the_folder_is_reported(tmp_path):
    (tmp_path / "unity-volume").write_text("")
    with pytest.raises(SampleEnvError, match="Expected a folder, found the file .*unity-volume"):
        make_sample_build(tmp_path / "unity-volume")


def test_the_warehouse_comes_with_config_and_curriculum(tmp_path):
    assert make_sample_build(tmp_path, "Warehouse") == tmp_path / "Warehouse.x86_64"
    assert {name.split("/")[0] for name in files(tmp_path)} == {
        *("Warehouse.x86_64", "Warehouse_Data", "curriculum", "trainer_config.yaml")
    }
    before = files(tmp_path)
    build = unity_build.check(tmp_path)
    assert build.ok and build.build.is_sample and build.build.brains == ("Seeker", "Carrier")
    assert {(other.kind, other.path) for other in build.others} == {
        *(("trainer config", "trainer_config.yaml"), ("curriculum", "curriculum"))
    }
    known = [name for kind in SCENES["Warehouse"] for name in kind.parameters]
    settings = trainer_config.check_folder(
        tmp_path, build.build.brains, {"curriculum": "curriculum"}, reset_parameters=known
    )
    assert settings.findings == ()
    make_sample_build(tmp_path, "Warehouse")
    assert files(tmp_path) == before


def test_the_users_own_config_and_lessons_stay(tmp_path):
    (tmp_path / "curriculum").mkdir()
    (tmp_path / "curriculum/Seeker.json").write_text("mine")
    (tmp_path / "trainer_config.yaml").write_text("mine too")
    make_sample_build(tmp_path, "Warehouse")
    assert (tmp_path / "curriculum/Seeker.json").read_text() == "mine"
    assert (tmp_path / "trainer_config.yaml").read_text() == "mine too"
    assert (tmp_path / "curriculum/Carrier.json").is_file()


def test_a_second_scene_is_refused(sample):
    before = files(sample)
    with pytest.raises(SampleEnvError, match=r"the sample Warehouse, found 3DBall\.x86_64 of another build"):
        make_sample_build(sample, "Warehouse")
    assert files(sample) == before
