"""The check of a model file: what it says of good ones, and that it finds every damaged one."""

import json
import random
import struct
import sys

import numpy as np
import pytest

from policy_files import model
from policy_files.inference import Network, Policy
from policy_files.model import ModelError


@pytest.fixture
def whole(exported, tmp_path):
    """Return a copy of a model."""
    path = tmp_path / "Brain.nn"
    path.write_bytes((exported / "ppo_discrete/Brain.nn").read_bytes())
    return path


def test_a_model_of_continuous_actions_is_described(exported):
    read = model.read(exported / "ppo_continuous/Brain.nn")
    assert (read.brain, read.continuous, read.actions, read.observations) == ("Brain", True, (3,), 6)
    assert read.inputs == {"vector_observation": (-1, 1, 1, 6), "epsilon": (-1, 1, 1, 3)}
    assert read.outputs == ("action", "action_probs")
    assert read.size == (exported / "ppo_continuous/Brain.nn").stat().st_size
    # Two hidden layers of 24, and the means; the deviations are constants.
    assert read.weights == (6 + 1) * 24 + (24 + 1) * 24 + (24 + 1) * 3
    assert (read.memories, read.trained) == ((), {})


def test_a_model_of_discrete_actions_is_described(whole):
    read = model.read(whole)
    assert (read.continuous, read.actions) == (False, (5, 2, 3))
    assert read.inputs == {"vector_observation": (-1, 1, 1, 6), "action_masks": (-1, 1, 1, 10)}
    assert str(read).splitlines()[:6] == [
        "Model Brain.nn",
        "  brain                     Brain",
        f"  file                      {whole.stat().st_size / 1e3:,.1f} kB, Barracuda format 16",
        "  input vector_observation  agents x 6",
        "  input action_masks        agents x 10",
        "  output action             5 + 2 + 3 choices",
    ]
    assert str(read).endswith("The model is complete, and has everything that Unity's ML-Agents 0.11.0 needs.")


def test_in_a_notebook_it_is_a_table(whole):
    html = model.read(whole)._repr_html_()
    assert "<table" in html
    for text in ("Model Brain.nn", "input action_masks", "agents x 10", "5 + 2 + 3 choices", "The model is complete"):
        assert text in html


def test_the_record_of_the_training_is_shown(whole):
    record = {"brains": {"Brain": {"steps": 12500, "mean_reward": 0.75}, "Other": {"steps": 3, "mean_reward": None}}}
    whole.with_name("training.json").write_text(json.dumps(record))
    assert dict(model.read(whole).facts)["trained for"] == "12,500 steps, last mean reward 0.750"
    other = whole.rename(whole.with_name("Other.nn"))
    assert dict(model.read(other).facts)["trained for"] == "3 steps"
    slash = other.rename(whole.with_name("Balls%2FRed.nn"))
    slash.with_name("training.json").write_text('{"brains": {"Balls/Red": {"steps": 5, "mean_reward": null}}}')
    assert (model.read(slash).brain, model.read(slash).trained["steps"]) == ("Balls/Red", 5)


def test_a_model_of_another_training_is_refused(whole):
    whole.with_name("training.json").write_text('{"brains": {"Walker": {"steps": 1, "mean_reward": 1.0}}}')
    with pytest.raises(ModelError, match=r"one of the brains Walker, .* found Brain\.nn\. Was it renamed"):
        model.read(whole)


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{}", '{"brains": {"Brain": {}}}', '{"brains": 3}', "\xff", "[" * 100_000]
    + [
        f'{{"brains": {{"Brain": {{"steps": {steps}, "mean_reward": {reward}}}}}}}'
        for steps, reward in [
            ("1e999", 1),
            ("NaN", 1),
            ("9" * 5000, 1),
            ("[]", 1),
            (1, '"x"'),
            (1, "[]"),
            (1, "9" * 400),
        ]
    ],
    ids=range(14),
)
def test_a_damaged_record_is_named(whole, record):
    whole.with_name("training.json").write_bytes(record.encode("latin-1"))
    with pytest.raises(ModelError, match=r"Expected the record of a training in .*training\.json, but it cannot be"):
        model.read(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"but it can't be read: No such file or directory\."),
        ("folder", r"but it can't be read: Is a directory\."),
        (b"", r"found the empty file .*\. The job ended before its export\."),
        (b"\x10", r"Brain\.nn is truncated\."),
        (b"PK\x03\x04" + bytes(100), r"Brain\.nn does not begin with Barracuda's format number 16\."),
        (struct.pack("<q", 17) + bytes(100), r"does not begin with Barracuda's format number 16\."),
        (struct.pack("<qi", 16, 2**31 - 1), r"is damaged: it declares 2147483647 items, more than fit"),
        (struct.pack("<qi", 16, -1), r"is damaged: it declares -1 items"),
        (
            struct.pack("<qiiii", 16, 0, 0, 0, 0),
            r"has no version_number, no is_continuous_control, no memory_size, no action_output_shape, no output action, "
            r"no observation, which Unity's ML-Agents needs\.",
        ),
    ],
    ids=["none", "folder", "empty", "a byte", "zip", "format 17", "huge", "negative", "nothing in it"],
)
def test_anything_else_is_refused(tmp_path, content, message):
    path = tmp_path / "Brain.nn"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        model.read(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x06\0\0\0action", b"\x06\0\0\0Action", r"has no output action, which Unity's ML-Agents needs\."),
        (b"memory_size", b"memory-size", "has no memory_size, which"),
        (
            b"\x01\0\0\0\x12\0\0\0vector_observation\x02",
            b"\x01\0\0\0\x12\0\0\0vector_obserxation\x02",
            r"is damaged: its layer \S+ needs vector_obserxation, which does not exist",
        ),
    ],
    ids=["action", "constant", "input"],
)
def test_an_incomplete_model_is_refused(whole, old, new, message):
    content = whole.read_bytes()
    assert old in content
    whole.write_bytes(content.replace(old, new))
    with pytest.raises(ModelError, match=message):
        model.read(whole)


def test_weights_that_are_not_finite_mean_a_diverged_training(whole):
    content = bytearray(whole.read_bytes())
    content[-4:] = struct.pack("<f", np.nan)
    whole.write_bytes(content)
    with pytest.raises(ModelError, match=r"that are not finite: the training diverged\. Lower its learning_rate\."):
        model.read(whole)


def test_every_truncation_is_refused(whole):
    content = whole.read_bytes()
    for length in range(len(content)):
        if length < 1500 or length % 97 < 3:
            whole.write_bytes(content[:length])
            with pytest.raises(ModelError):
                model.read(whole)
    whole.write_bytes(content + b"\0\0\0\0")
    with pytest.raises(ModelError, match="is damaged: its layers have"):
        model.read(whole)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged weights overflow
@pytest.mark.parametrize("flips", [1, 20])
def test_damaged_bits_raise_only_model_errors(whole, flips):
    content, draw = whole.read_bytes(), random.Random(flips)
    head = len(content) - 4 * sum(t.size for layer in model.read(whole).layers for t in layer.tensors.values())
    refused = 0
    for number in range(1500):
        damaged = bytearray(content)
        for _ in range(flips):
            # Every other time in the head, where it can do the most.
            damaged[draw.randrange(head if number % 2 else len(content))] ^= 1 << draw.randrange(8)
        whole.write_bytes(damaged)
        try:
            read = model.read(whole)
            str(read), read._repr_html_()
            Network(read)
            Policy(read).decide(np.zeros((3, read.observations)))
        except ModelError:
            refused += 1
    assert refused > 500


def test_what_reads_an_onnx_file_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "3DBall.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"found them not installed. Run `make setup TRAINER=1.1.0`.$"):
        model.read(tmp_path / "3DBall.onnx")
