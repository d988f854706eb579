"""A recorded demonstration is what Unity's recorder writes, by the wheel's own loader and messages."""

import json
import subprocess

import pytest

from sample_env import SampleEnvError, make_sample_build, record_demonstrations

LOAD = """
import json, sys
from mlagents.envs.communicator_objects.demonstration_meta_pb2 import DemonstrationMetaProto
from mlagents.trainers import demo_loader

path, size = sys.argv[1], int(sys.argv[2])
brain, infos, expected = demo_loader.load_demonstration(path)
buffer = demo_loader.make_demo_buffer(infos, brain, 1).update_buffer
meta = DemonstrationMetaProto.FromString(open(path, "rb").read()[-size:])
print(json.dumps({
    "brain": [brain.brain_name, brain.vector_observation_space_size, brain.vector_action_space_type,
              list(brain.vector_action_space_size)],
    "steps": [len(infos), expected, meta.number_steps],
    "meta": [meta.api_version, meta.demonstration_name, meta.number_episodes, round(meta.mean_reward, 4)],
    "observations": [info.vector_observations[0].tolist() for info in infos[:3]],
    "actions": [action.tolist() for action in buffer["actions"][:2]],
    "rewards": sum(info.rewards[0] for info in infos),
    "ends": [number for number, info in enumerate(infos) if info.local_done[0]],
}))
"""


def load(python, file):
    """Return what the wheel reads of a demonstration; its end is the meta data once more, as its start."""
    data = file.read_bytes()
    size = data[0]
    assert data[1 : 1 + size] == data[-size:] and data[1 + size : 33] == bytes(32 - size)
    done = subprocess.run([python, "-c", LOAD, file, str(size)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_wheel_loads_a_recorded_demonstration(trainer_python, tmp_path):
    make_sample_build(tmp_path)
    (file,) = record_demonstrations(tmp_path, trainer_python, steps=1200)
    first = file.read_bytes()
    read = load(trainer_python, file)
    assert file == tmp_path / "3DBall.demo"
    assert read["brain"] == ["3DBall", 8, "continuous", [2]]
    assert read["steps"] == [1200, 1200, 1200]
    assert read["ends"] == list(range(50, 1200, 50))
    assert read["meta"] == [1, "3DBall", 24, pytest.approx(0.1 * 1199 / 24, abs=1e-3)]  # the ball was never dropped
    assert read["rewards"] == pytest.approx(0.1 * 1199)
    turn_z, turn_x, x, _, z, speed_x, _, speed_z = read["observations"][0]
    wanted = [6 * (0.06 * x + 0.09 * speed_x - turn_z), 6 * (-0.06 * z - 0.09 * speed_z - turn_x)]
    assert read["actions"][0] == pytest.approx([max(-1, min(1, value)) for value in wanted], abs=1e-5)
    record_demonstrations(tmp_path, steps=1200)  # the project's own trainer environment
    assert file.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3DBall.demo", "3DBall.x86_64", "3DBall_Data"]


def test_each_brain_of_a_scene_has_a_demonstration(trainer_python, tmp_path):
    make_sample_build(tmp_path, "Warehouse")
    files = record_demonstrations(tmp_path, trainer_python, steps=200)
    assert [file.name for file in files] == ["Seeker.demo", "Carrier.demo"]
    assert load(trainer_python, files[0])["brain"] == ["Seeker", 4, "discrete", [5]]
    carrier = load(trainer_python, files[1])
    assert carrier["brain"] == ["Carrier", 7, "discrete", [5, 2]]
    assert carrier["rewards"] > 5 and len(carrier["ends"]) > 5


def test_no_other_build_is_recorded(tmp_path, trainer_python):
    (tmp_path / "Game.x86_64").write_bytes(b"\x7fELF")
    (tmp_path / "Game_Data").mkdir()
    with pytest.raises(
        SampleEnvError, match="Expected a sample build in .*, found none. Record a build of your own in"
    ):
        record_demonstrations(tmp_path, trainer_python)


def test_a_failed_recording_reports_the_reason(tmp_path, trainer_python):
    make_sample_build(tmp_path)
    with pytest.raises(SampleEnvError, match="3DBall.x86_64 could not record .*expected 2 or more, got 1"):
        record_demonstrations(tmp_path, trainer_python, steps=1)
