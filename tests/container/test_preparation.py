"""What is laid out before the learner starts, and what is refused instead."""

import json
import os
import re
import shutil
import subprocess

import cores
import player_build
import pytest
import trainer_config
from refusal import RefusalError
from trainers import v0_11

from common import ROOT
from common.contract import LIST_OF_HASHES, VOLUME_HASH
from helpers import volume


@pytest.fixture
def sums(tmp_path):
    """Return a channel as notebook 2 uploads it, and its content hash."""
    channel = tmp_path / "channel"
    for name in ("Ball.x86_64", "Ball_Data/level0", "Ball_Data/größe", "config.yaml"):
        path = channel / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (channel / "README.md").touch()
    found = volume.read(channel)
    (channel / "README.md").unlink()  # which stays behind
    (channel / LIST_OF_HASHES).write_bytes(found.sums.content)
    (channel / "folders have no hash").mkdir()
    return channel, found.digest


def test_both_sides_use_the_same_list_and_hash(sums):
    channel, digest = sums
    assert (player_build.SUMS, player_build.HASH) == (LIST_OF_HASHES, VOLUME_HASH)
    assert player_build.check(str(channel), digest) == 4
    (channel / LIST_OF_HASHES).unlink()
    assert player_build.check(str(channel), digest) == 4  # the list only names what differs


def rewrite(channel):
    (channel / "Ball_Data/level0").write_text("x")
    (channel / LIST_OF_HASHES).write_bytes(volume.read(channel).sums.content)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda channel: (channel / "Ball_Data/größe").write_text("x"), "changed: Ball_Data/größe"),
        (lambda channel: (channel / "Ball_Data/evil.so").touch(), "added: Ball_Data/evil.so"),
        (lambda channel: (channel / "README.md").touch(), "added: README.md"),
        (lambda channel: (channel / "config.yaml").unlink(), "missing: config.yaml"),
        (lambda channel: (channel / "config.yaml").rename(channel / "c"), "added: c; missing: config.yaml"),
        (lambda channel: (channel / "link").symlink_to(channel / "Ball_Data"), "added: link"),
        (lambda channel: os.mkfifo(str(channel / "pipe")), "added: pipe"),
        (lambda channel: [(channel / str(n)).touch() for n in range(5)], "added: 0, 1, 2 and 2 more"),
        (rewrite, "which file differs is unknown, because the list SHA256SUMS is different as well"),
    ],
)
def test_a_channel_with_other_files_is_refused(sums, change, message):
    channel, digest = sums
    change(channel)
    with pytest.raises(RefusalError) as refusal:
        player_build.check(str(channel), digest)
    assert f"(content hash {digest}): {message}. Upload the build again" in str(refusal.value)


def test_an_override_applies_to_every_brain_and_hides_nothing():
    config = {
        "default": {"max_steps": 5, "reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.99}}},
        "own": {"reward_signals": {"curiosity": {"strength": 0.1, "gamma": 0.9}}, "max_steps": 7},
        "plain": {"num_layers": 1},
        "alias": "own",
    }
    v0_11.override(config, {"max_steps": 9, "reward_signals.extrinsic.gamma": 0.5})
    assert config == {
        "default": {"max_steps": 9, "reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.5}}},
        "own": {
            "reward_signals": {"curiosity": {"strength": 0.1, "gamma": 0.9}, "extrinsic": {"gamma": 0.5}},
            "max_steps": 9,
        },
        "plain": {"num_layers": 1},
        "alias": "own",
    }


@pytest.mark.parametrize(
    "content, complaint",
    [
        (
            "behaviors: {}",
            "but has behaviors. It is in the format of ML-Agents 0.17 and later: notebook 1 shows it as ",
        ),
        ("", "should have a section `default:`"),
        ("default: 3", "should have a section `default:`"),
        ("default: {a: [}", "should be YAML, but cannot be read"),
        ("default: {}\nx: y", "section x refers to 'y', which leads nowhere"),
        ("default: {}\nx: y\ny: x", "refers to 'x', which leads nowhere"),
        ("default: {}\nx: y\ny: z\nz: 3", "section x should hold keys and values, but holds 3"),
        ("default: {}\nx: 3", "section x should hold keys and values, but holds 3"),
    ],
)
def test_invalid_configurations_are_refused(tmp_path, content, complaint):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(RefusalError) as refusal:
        v0_11.load(str(tmp_path / "c.yaml"))
    assert complaint in str(refusal.value)
    assert str(refusal.value).startswith("c.yaml")


def test_the_channels_own_configuration_has_precedence(tmp_path):
    assert trainer_config.choose(str(tmp_path), None) == trainer_config.paths.shipped_trainer_config()
    (tmp_path / "trainer_config.yaml").touch()
    (tmp_path / "other.yaml").touch()
    assert trainer_config.choose(str(tmp_path), None) == str(tmp_path / "trainer_config.yaml")
    assert trainer_config.choose(str(tmp_path), "other.yaml") == str(tmp_path / "other.yaml")
    with pytest.raises(RefusalError, match=r"names third.yaml, .* \(it holds: other.yaml, trainer_config.yaml\)"):
        trainer_config.choose(str(tmp_path), "third.yaml")


def test_demonstrations_are_found_in_the_channel(tmp_path):
    (tmp_path / "a.demo").touch()
    config = {"default": {"demo_path": "a.demo", "reward_signals": {"gail": {"demo_path": "a.demo"}}}}
    trainer_config.find_demonstrations(config, str(tmp_path))
    found = str(tmp_path / "a.demo")
    assert config == {"default": {"demo_path": found, "reward_signals": {"gail": {"demo_path": found}}}}
    with pytest.raises(RefusalError, match="demo_path"):
        trainer_config.find_demonstrations({"default": {"demo_path": "b.demo"}}, str(tmp_path))


def test_the_only_build_is_found_and_made_executable(tmp_path):
    channel = tmp_path / "channel"
    (channel / "sub/Ball_Data").mkdir(parents=True)
    (channel / "sub/Ball.x86_64").touch(0o444)
    (channel / "sub/._Ball.x86_64").touch()  # what macOS leaves beside it
    found = player_build.find(str(channel), None)
    assert found == str(channel / "sub/Ball.x86_64")
    assert player_build.find(str(channel), "sub/Ball") == player_build.find(str(channel), "sub/Ball.x86_64") == found
    copied = player_build.copy(found, str(tmp_path / "work"))
    assert copied == str(tmp_path / "work/Ball.x86_64")
    assert (tmp_path / "work/Ball.x86_64").stat().st_mode & 0o100
    assert (tmp_path / "work/Ball_Data").is_dir()


def test_missing_ambiguous_and_badly_named_builds_are_refused(tmp_path):
    with pytest.raises(RefusalError, match=r"Expected one \*.x86_64 in the channel unity-volume, found none."):
        player_build.find(str(tmp_path), None)
    (tmp_path / "A.x86_64").touch()
    (tmp_path / "B.app.x86_64").touch()
    with pytest.raises(RefusalError, match=r"found A.x86_64, B.app.x86_64."):
        player_build.find(str(tmp_path), None)
    with pytest.raises(RefusalError, match=r"env names C.x86_64, which is not .* it holds A.x86_64, B.app.x86_64."):
        player_build.find(str(tmp_path), "C")
    with pytest.raises(RefusalError, match=r"removes .app wherever it stands"):
        player_build.copy(str(tmp_path / "B.app.x86_64"), str(tmp_path / "work"))


def test_a_failed_copy_is_reported_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "Ball.x86_64").touch()
    work = tmp_path / "work"
    full = "[Errno 28] No space left on device"
    for error in (OSError(28, "No space left on device"), shutil.Error([("a", "b", full), ("c", "d", full)])):
        monkeypatch.setattr(player_build.shutil, "copytree", raiser(error))
        with pytest.raises(RefusalError) as refused:
            player_build.copy(str(tmp_path / "Ball.x86_64"), str(work))
        assert str(refused.value) == f"The build could not be copied to {work}: {full}. {player_build.ELSEWHERE}"


def raiser(error):
    def raise_it(*_):
        raise error

    return raise_it


def test_a_folder_without_execute_permission_is_refused(tmp_path, monkeypatch):
    (tmp_path / "channel").mkdir()
    (tmp_path / "channel/Ball.x86_64").touch()
    monkeypatch.setattr(player_build.os, "access", lambda path, mode: mode != os.X_OK)
    with pytest.raises(RefusalError, match=r"No program may be started from .+/work, which is mounted noexec\. Name"):
        player_build.copy(str(tmp_path / "channel/Ball.x86_64"), str(tmp_path / "work"))


def test_missing_space_for_temporary_files(job):
    """As on a disk that is read-only."""
    code = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']\n"
    program = f"{code}import runpy; runpy.run_path({str(ROOT / 'container/train')!r}, run_name='__main__')"
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(job.root), "PYTHONPATH": str(ROOT / "container")}
    done = subprocess.run([job.trainer.python, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert job.failure.startswith("No folder for temporary files can be written to: No usable temporary directory")
    assert job.training["status"] == "failed"
    assert "Traceback" not in done.stderr


def test_a_reason_that_cannot_be_written_is_in_the_log(job):
    (job.root / "output").symlink_to("/proc")  # where nobody can write, root neither
    assert job.run() == 1
    assert "Traceback" not in job.log
    first, second = job.log.splitlines()
    assert first.startswith("train: failed. A file or a process of this job could not be used: ")
    assert second.startswith(f"train: this could not be written to {job.root}/output/failure: ")


def test_auto_means_the_available_cores(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "_quota", lambda: 3)
    assert cores.available() == 3
    monkeypatch.setattr(cores, "_quota", lambda: 1 << 30)
    assert cores.available() == 8


@pytest.mark.parametrize(
    ("files", "cores_given"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "400000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "many\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu.max": "100000 0\n"}, 64),
        ({"cpu.max": "broken"}, 64),
        ({"cpu.max": ""}, 64),
        ({}, 64),
    ],
)
def test_the_control_groups_limit(monkeypatch, tmp_path, files, cores_given):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "CGROUP", str(tmp_path))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cores.available() == cores_given


def test_unwritable_checkpoints_are_detected_before_training(job):
    (job.root / "checkpoints").symlink_to("/proc")  # where nobody can write, root neither
    assert job.run() == 1
    assert re.fullmatch(
        rf"Checkpoints cannot be written to {job.root}/checkpoints: .+\. Mount it writable, and with room\.",
        job.failure,
    )
    assert job.training["reason"] == job.failure
    assert "CommandLineOptions" not in job.log


def test_refusals_end_the_job_before_anything_starts(job):
    def refused(**hyperparameters):
        assert job.run(**hyperparameters) == 1
        assert job.training["status"] == "failed"
        assert job.training["reason"].startswith(job.failure)  # which SageMaker cuts
        assert job.training["brains"] == {}
        return job.failure

    assert refused(bacth_size=3).startswith("Hyperparameter bacth_size is not known. The nearest names: batch_size,")
    assert refused(curriculum="lessons").startswith(
        "Hyperparameter curriculum names lessons, which is not in the channel"
    )
    assert refused(lesson=1).startswith("Hyperparameter lesson is 1, but there is no curriculum. Name its folder in")
    merges = [f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, 30)]  # ML-Agents' loader makes 2^29 of it
    (job.channel / "sampler.yaml").write_text("\n".join(["resampling-interval: 5", "b0: &b0 {k: 1}", *merges]))
    assert refused(sampler="sampler.yaml").startswith(
        "sampler.yaml should be YAML, but cannot be read: it holds more than 10000 values or 40 levels of them, aliases "
    )
    (job.run_folder.with_name("earlier-0") / "Test").mkdir(parents=True)
    (job.run_folder.with_name("earlier-0") / "Test/model-5.cptk.index").touch()
    assert refused().startswith("The checkpoints hold the run earlier, but run-id is run.")
    (job.root / "input/config/resourceconfig.json").write_text(json.dumps({"hosts": ["algo-1", "algo-2"]}))
    assert refused().startswith("ML-Agents 0.11 trains on one machine, but this job has 2.")
    job.channel.rename(job.channel.with_name("training"))
    assert refused().startswith("Expected a channel unity-volume at ")
    assert "CommandLineOptions" not in job.log
