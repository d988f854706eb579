"""Ten thousand spoilt configs: the check always answers, with findings, and never with an exception."""

import random

import pytest
import yaml

from helpers import trainer_config
from helpers.trainer_config import document
from helpers.trainer_config.document import UnreadableError, read_document

TEXT = """\
default:
  trainer: ppo
  batch_size: 16
  beta: 5.0e-3
  buffer_size: 64
  epsilon: 0.2
  hidden_units: 8
  lambd: 0.95
  learning_rate: 3.0e-4
  max_steps: 1000
  memory_size: 16
  normalize: false
  num_epoch: 1
  num_layers: 1
  time_horizon: 5
  sequence_length: 4
  summary_freq: 10
  use_recurrent: true
  reward_signals:
    extrinsic: {strength: 1.0, gamma: 0.99}
Ball: Other
Other: &anchor
  beta: 0.1
  pretraining: {strength: 1, demo_path: a.demo, steps: 1}
"""
PIECES = [
    "Ball",
    "default",
    "ppo",
    "sac",
    "offline_bc",
    "null",
    "~",
    "[]",
    "{}",
    "1e3",
    ".nan",
    ".inf",
    "-1",
    "0",
    "0x10",
]
PIECES += [
    "true",
    "*anchor",
    "&anchor",
    "<<: *anchor",
    "!!python/none",
    "!!int x",
    "? ",
    ": ",
    "- ",
    "|",
    ">",
    "%",
    "@",
]
PIECES += [
    "\t",
    "\n",
    "\n  ",
    "\n    ",
    "'",
    '"',
    "#",
    ",",
    "2020-01-01",
    "é",
    "\x00",
    "\ufeff",
    "\U0001f600",
    "1:30",
    "---",
]
PIECES += [
    "gail",
    "curiosity",
    "behaviors:",
    "9" * 400,
    "!!binary x",
    "!!set {a, b}",
    "? [1, 2]\n: 3",
    "=",
    "!!omap [a: 1]",
]


def mutate(chance):
    """Spoil the text in one to five places: pieces put in, parts taken out, doubled or exchanged, lines moved."""
    text = TEXT
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.randint(0, 12))
        how = chance.randrange(5)
        if how == 0:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif how == 1:
            text = text[:at] + text[end:]
        elif how == 2:
            text = text[:at] + chance.choice(PIECES) + text[end:]
        elif how == 3:
            text = text[:end] + text[at:]
        else:
            lines = text.splitlines(keepends=True)
            if lines:
                lines.insert(chance.randrange(len(lines)), lines.pop(chance.randrange(len(lines))))
            text = "".join(lines)
    return text


@pytest.mark.parametrize(
    ("loader", "count", "seed"),
    [
        (yaml.SafeLoader, 200, 0),
        (yaml.CSafeLoader, 800, 1),
        pytest.param(yaml.SafeLoader, 800, 2, marks=pytest.mark.slow),
        pytest.param(yaml.CSafeLoader, 8200, 3, marks=pytest.mark.slow),
    ],
)
def test_spoilt_configs_never_raise(tmp_path, monkeypatch, loader, count, seed):
    """Parsing takes six seventh of the time, so most configs are parsed by the faster parser."""
    monkeypatch.setattr(document, "LOADER", loader)
    chance = random.Random(seed)
    path = tmp_path / "trainer_config.yaml"
    passed = 0
    for number in range(count):
        path.write_bytes(mutate(chance).encode())
        report = trainer_config.check(path, brains=["Ball"] if number % 2 else None)
        passed += report.ok
        if number % 25 == 0:
            assert str(report) and report._repr_html_()
    assert passed < count / 2  # a.demo is missing, so what passes has lost it


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [" + "*a," * 3 + "]",
        "[" * 500,
        "{a: " * 500,
        "- " * 500,
        "x: " + "9" * 5000,
        "&a a: &b {<<: *a}",
        "? {a: b}\n: c",
        "a: !!timestamp 2020-99-99",
        "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    ],
)
def test_hostile_yaml_is_unreadable_or_read(text):
    try:
        read_document(text)
    except UnreadableError as error:
        assert str(error)


def test_nested_aliases_are_not_unfolded(write):
    """Nine levels of ten aliases each stand for a billion values."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, 10):
        lines.append(f"a{level}: &a{level} {{{', '.join(f'k{n}: *a{level - 1}' for n in range(10))}}}")
    report = trainer_config.check(write("default: {}\n" + "\n".join(lines)))
    assert not report.ok
