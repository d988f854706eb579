"""The trainer environment: which Python is chosen, and what happens if there is none."""

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common import pip_settings, trainer_env

LOCKS_1_1_0 = sorted(trainer_env.LOCKS_1_1_0.glob("*.lock"))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TRAINER_PYTHON", "TRAINER_FLAVOUR"):
        monkeypatch.delenv(name, raising=False)


def write_python(path: Path, command: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


def test_the_environment_of_this_checkout_runs_the_unmodified_wheel():
    env = trainer_env.find()
    assert env.python.is_file()
    assert trainer_env.python_version(env.python) == env.version
    assert str(env).startswith(f"{env.flavour}: CPython {env.version}")


def test_a_shim_that_does_not_work_is_skipped(monkeypatch, tmp_path):
    write_python(tmp_path / "bin" / "python3.7", "echo 'pyenv: python3.7: command not found' >&2; exit 127")
    good = write_python(tmp_path / "pyenv/versions/3.7.9/bin/python3.7", "echo CPython 64 3.7.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert trainer_env.exact_python() == good
    assert trainer_env.choose() == ("exact", str(good))


@pytest.mark.parametrize("command", ["echo PyPy 64 3.7.9", "echo CPython 32 3.7.9", "exit 1"])
def test_only_a_64_bit_cpython_counts(tmp_path, command):
    assert trainer_env.python_version(write_python(tmp_path / "python3.7", command)) is None


def test_a_conda_environment_is_found(monkeypatch, tmp_path):
    good = write_python(tmp_path / "conda/envs/old/bin/python3.7", "echo CPython 64 3.7.1")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "conda/bin/conda"))
    assert good in list(trainer_env.candidates())


@pytest.mark.parametrize("machine", [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_compat_is_chosen_where_tensorflow_1_has_no_wheel(monkeypatch, machine):
    monkeypatch.setattr(platform, "system", lambda: machine[0])
    monkeypatch.setattr(platform, "machine", lambda: machine[1])
    assert trainer_env.choose() == ("compat", ">=3.9,<3.12")


def test_compat_can_be_required(monkeypatch):
    monkeypatch.setenv("TRAINER_FLAVOUR", "compat")
    assert trainer_env.choose() == ("compat", ">=3.9,<3.12")


def test_exact_required_but_not_available(monkeypatch):
    monkeypatch.setenv("TRAINER_FLAVOUR", "exact")
    monkeypatch.setattr(trainer_env, "candidates", lambda: iter(()))
    with pytest.raises(trainer_env.TrainerEnvError, match="found none on PATH, in pyenv or in conda"):
        trainer_env.choose()


def test_an_unknown_flavour(monkeypatch):
    monkeypatch.setenv("TRAINER_FLAVOUR", "new")
    with pytest.raises(trainer_env.TrainerEnvError, match="to be exact or compat, found 'new'"):
        trainer_env.choose()


@pytest.mark.parametrize(
    ("version", "flavour"), [("3.7.17", "exact"), ("3.9.1", "compat"), ("3.10.2", "compat"), ("3.11.9", "compat")]
)
def test_trainer_python_decides_the_flavour(monkeypatch, tmp_path, version, flavour):
    python = write_python(tmp_path / "python", f"echo CPython 64 {version}")
    monkeypatch.setenv("TRAINER_PYTHON", str(python))
    assert trainer_env.choose() == (flavour, str(python))


@pytest.mark.parametrize("version", ["3.8.1", "3.12.0", "2.7.18"])
def test_trainer_python_without_a_flavour(monkeypatch, tmp_path, version):
    python = write_python(tmp_path / "python", f"echo CPython 64 {version}")
    monkeypatch.setenv("TRAINER_PYTHON", str(python))
    with pytest.raises(trainer_env.TrainerEnvError, match=f"it is {version}. Name another"):
        trainer_env.choose()


def test_trainer_python_that_contradicts_the_flavour(monkeypatch, tmp_path):
    python = write_python(tmp_path / "python", "echo CPython 64 3.11.9")
    monkeypatch.setenv("TRAINER_PYTHON", str(python))
    monkeypatch.setenv("TRAINER_FLAVOUR", "exact")
    with pytest.raises(trainer_env.TrainerEnvError, match="TRAINER_FLAVOUR=exact asks for exact"):
        trainer_env.choose()


def test_a_missing_trainer_python(monkeypatch):
    monkeypatch.setenv("TRAINER_PYTHON", "/nowhere/python")
    with pytest.raises(trainer_env.TrainerEnvError, match="it is nothing that runs"):
        trainer_env.choose()


def test_no_environment(tmp_path):
    with pytest.raises(trainer_env.TrainerEnvError, match="found none that is complete. Run `make setup`"):
        trainer_env.find(folder=tmp_path)


def test_no_environment_of_1_1_0(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAINER_HOME", str(tmp_path / "trainer"))
    with pytest.raises(trainer_env.TrainerEnvError) as error:
        trainer_env.find("1.1.0")
    assert str(error.value) == (
        f"Expected an environment of the trainer 1.1.0 in {tmp_path}/.trainer-1.1.0, found none that is complete. "
        "Run `make setup TRAINER=1.1.0`."
    )


def test_1_1_0_takes_3_11_whatever_the_flavour_of_0_11_0(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAINER_FLAVOUR", "exact")
    assert trainer_env.choose("1.1.0") == ("cpu", "3.11")
    python = write_python(tmp_path / "python", "echo CPython 64 3.10.13")
    monkeypatch.setenv("TRAINER_PYTHON", str(python))
    assert trainer_env.choose("1.1.0") == ("cpu", str(python))
    write_python(python, "echo CPython 64 3.9.2")
    with pytest.raises(trainer_env.TrainerEnvError, match=r"out of 3\.10 \(cpu\), 3\.11 \(cpu\); it is 3\.9\.2"):
        trainer_env.choose("1.1.0")


@pytest.mark.parametrize("wheel", ["torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "other.whl"])
def test_torch_comes_from_where_pip_finds_a_wheel_without_cuda_else_from_its_own_index(monkeypatch, tmp_path, wheel):
    (tmp_path / wheel).touch()
    monkeypatch.setattr(pip_settings, "read", lambda: {"find-links": f"https://index.example {tmp_path}"})
    options = ("--find-links", str(tmp_path)) if "+cpu" in wheel else ("--torch-backend", "cpu")
    assert trainer_env.wheels_of_torch(trainer_env.FLAVOURS["cpu"]) == options
    assert trainer_env.wheels_of_torch(trainer_env.FLAVOURS["exact"]) == ()


def test_the_locks_of_1_1_0_are_hashed_and_only_that_for_cards_holds_cuda():
    assert [lock.name for lock in LOCKS_1_1_0] == [
        *("mlagents.lock", "protobuf.lock", "requirements.lock", "torch-cpu.lock", "torch-cuda.lock")
    ]
    packages = {}
    for lock in LOCKS_1_1_0:
        entries = lock.read_text().replace("\\\n", "").splitlines()
        entries = [entry for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), lock
        packages[lock.stem] = {entry.partition("==")[0] for entry in entries}
    cuda = {name for name in set().union(*packages.values()) if name.startswith(("nvidia", "cuda", "triton"))}
    assert cuda and cuda == packages["torch-cuda"] - {"torch"}
    assert packages["torch-cpu"] == {"torch"} and packages["mlagents"] == {"mlagents", "mlagents-envs"}
    assert packages["requirements"].isdisjoint(packages["torch-cuda"])


def test_the_environment_of_1_1_0_is_what_its_locks_say(v1_trainer):
    code = "import torch, mlagents.trainers.learn, mlagents.trainers as m; print(m.__version__, torch.version.cuda)"
    done = subprocess.run([v1_trainer.python, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1.1.0", "None"], done.stderr
    assert str(v1_trainer) == f"cpu: CPython {v1_trainer.version}, PyTorch 2.13 without CUDA, ML-Agents 1.1.0"


def test_an_environment_without_a_stamp_is_incomplete(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("version_info = 3.7.16\n")
    with pytest.raises(trainer_env.TrainerEnvError, match="found none that is complete"):
        trainer_env.find(folder=tmp_path)


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(trainer_env.TrainerEnvError, match="exists and is not a Python environment"):
        trainer_env.make(folder=tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_failed_installation_leaves_no_complete_environment(monkeypatch, tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("mlagents==0.11.0 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setitem(trainer_env.FLAVOURS, "compat", replace(trainer_env.FLAVOURS["compat"], locks=(lock,)))
    monkeypatch.setenv("TRAINER_PYTHON", sys.executable)
    monkeypatch.setattr(trainer_env, "python_version", lambda python: "3.11.0")
    with pytest.raises(trainer_env.TrainerEnvError, match="`uv pip sync .*` failed"):
        trainer_env.make(folder=tmp_path / "env")
    with pytest.raises(trainer_env.TrainerEnvError, match="Run `make setup`"):
        trainer_env.find(folder=tmp_path / "env")
