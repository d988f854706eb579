"""`.onnx` files that ML-Agents 1.1.0 exported: read, checked, and run as PyTorch runs the network that they are from."""

import contextlib
import json

import numpy as np
import pytest

from policy_files import model
from policy_files.inference import policy_of
from policy_files.model import ModelError

onnx = pytest.importorskip("onnx", reason="`make setup TRAINER=1.1.0` installs onnx")
pytestmark = pytest.mark.v1
KINDS = ["3DBall", "Team%2FRed", "Eyes", "Memory"]


def decisions(folder, kind):
    """Give what the agents see, in one vector and pictures, and what PyTorch decides."""
    said = json.loads((folder / "decisions.json").read_text())[kind]
    seen = [np.array(one, np.float32) for one in said["seen"]]
    vector = np.concatenate([one for one in seen if one.ndim == 2], axis=1)
    return (
        vector,
        tuple(one for one in seen if one.ndim == 4),
        [said[key] for key in ("numbers", "choices") if said[key]],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_likeliest_actions_match_pytorchs(onnx_models, kind):
    found = model.read(onnx_models / f"{kind}.onnx")
    vector, pictures, expected = decisions(onnx_models, kind)
    policy = policy_of(found, seed=1)
    inputs = policy._observations(vector, list(pictures))
    inputs |= {"action_masks": np.ones((3, sum(found.choices)), np.float32)} if "action_masks" in found.inputs else {}
    inputs |= {"recurrent_in": np.zeros((3, 1, found.memory_size), np.float32)} if found.memory_size else {}
    names = [name for name in found.outputs if name.startswith("deterministic")]
    for got, wanted in zip(policy.session.run(names, inputs), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_what_a_file_says(onnx_models):
    found = model.read(onnx_models / "Team%2FRed.onnx")
    assert (found.brain, found.continuous, found.actions, found.memory_size) == ("Team/Red", False, (3, 2), 0)
    assert found.facts == (
        ("brain", "Team/Red"),
        ("file", f"{len(found.content) / 1e3:.1f} kB, ONNX"),
        ("input obs_0", "agents x 4"),
        ("input obs_1", "agents x 3"),
        ("input action_masks", "agents x 5"),
        ("output discrete_actions", "3 + 2 choices"),
        ("network", "228 weights"),
    )
    assert found.verdict == "The model is complete, and has everything that com.unity.ml-agents 2.0 and later need."
    assert (model.read(onnx_models / "Eyes.onnx").actions, model.read(onnx_models / "Memory.onnx").memory_size) == (
        (1, 2),
        8,
    )


def test_a_policy_draws_by_its_seed_and_keeps_a_memory(onnx_models):
    found = model.read(onnx_models / "Memory.onnx")
    vector, _, _ = decisions(onnx_models, "Memory")
    policies = [policy_of(found, seed) for seed in (1, 1, 2)]
    first = policies[0].decide(vector)
    policies = [policy_of(found, 1), policy_of(found, 2)]
    assert np.array_equal(first, policies[0].decide(vector)) and first.shape == (3, 2)
    assert not np.array_equal(first, policies[1].decide(vector))
    kept = policies[0].memories.copy()
    assert kept.any()
    policies[0].decide(vector, begins=np.array([True, False, False]))
    fresh = policy_of(found, 1)
    fresh.decide(vector)
    assert np.array_equal(policies[0].memories[0], kept[0])  # as after its first decision
    assert not np.array_equal(policies[0].memories[1], kept[1])


def test_masked_choices_are_never_made(onnx_models):
    policy = policy_of(model.read(onnx_models / "Team%2FRed.onnx"), seed=3)
    vector = np.tile(decisions(onnx_models, "Team%2FRed")[0][:1], (200, 1))
    masks = np.tile([1, 0, 1, 0, 1], (200, 1))
    choices = policy.decide(vector, masks=masks)
    assert set(choices[:, 0]) == {0, 2} and set(choices[:, 1]) == {1}


def changed(content, change):
    proto = onnx.load_model_from_string(content)
    change(proto)
    return proto.SerializeToString()


def set_version(proto):
    (version,) = [one for one in proto.graph.initializer if one.name.startswith("version_number")]
    version.CopyFrom(onnx.numpy_helper.from_array(np.array([2], np.float32), version.name))


def spoil(proto):
    weight = next(one for one in proto.graph.initializer if "weight" in one.name)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def drop_actions(proto):
    kept = [one for one in proto.graph.output if "continuous" not in one.name]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def keep_outside(proto):
    proto.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda content: content[: len(content) // 2], "is truncated, damaged, or no ONNX file"),
        (lambda content: b"hello, this is text", "is truncated, damaged, or no ONNX file"),
        (
            lambda content: changed(content, set_version),
            "has version_number 2, but com.unity.ml-agents 2.0 and later expect 3",
        ),
        (lambda content: changed(content, spoil), "are not finite: the training diverged"),
        (lambda content: changed(content, drop_actions), "has no actions, which Unity's ML-Agents needs"),
        (lambda content: changed(content, keep_outside), "in another file"),
    ],
)
def test_a_file_that_is_no_complete_model(onnx_models, tmp_path, change, found):
    path = tmp_path / "3DBall.onnx"
    path.write_bytes(change((onnx_models / "3DBall.onnx").read_bytes()))
    with pytest.raises(ModelError, match=found):
        model.read(path)


def test_damaged_bits_raise_only_model_errors(onnx_models, tmp_path):
    content, random = (onnx_models / "Memory.onnx").read_bytes(), np.random.default_rng(1)
    path = tmp_path / "Memory.onnx"
    for place in random.integers(0, len(content), 150).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with contextlib.suppress(ModelError):
            assert np.isfinite(policy_of(model.read(path)).decide(np.zeros((2, 4)))).all()


def test_observations_of_another_environment(onnx_models):
    policy = policy_of(model.read(onnx_models / "Eyes.onnx"))
    with pytest.raises(ModelError, match=r"Eyes.onnx needs obs_0, agents x 3 x 20 x 24, which is not here"):
        policy.decide(np.zeros((3, 2)))
    with pytest.raises(ModelError, match="Expected 2 observations, as Eyes.onnx needs them, got 5"):
        policy.decide(np.zeros((3, 5)), (np.zeros((3, 3, 20, 24)),))
