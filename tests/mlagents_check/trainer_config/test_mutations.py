"""Spoilt and hostile files: the check always answers, with findings in bounded work, and so does the container."""

import json
import random
import subprocess

import pytest
import yaml

from common import ROOT
from mlagents_check import trainer_config
from mlagents_check.trainer_config import lessons
from mlagents_check.trainer_config.document import MAX_VALUES, BoundedLoader

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
    "1e999",
    "0x" + "f" * 300,
    "1:59:59.5",
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


@pytest.mark.parametrize(("count", "seed"), [(400, 0), pytest.param(4000, 1, marks=pytest.mark.slow)])
def test_damaged_configs_never_raise(tmp_path, count, seed):
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


def nested(levels, last, inner):
    """Write a mapping for each level that holds ten times the one before: `levels` of them stand for 10**levels."""
    lines = [f"a0: &a0 {{{last}}}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} " + inner.format(*([f"*a{level - 1}"] * 10)))
    return "\n".join(lines)


MANY = ", ".join(["{}"] * 10)
LARGE = "it holds more than 10,000 values, aliases counted"
DEEP = "it holds more than 40 levels of values, aliases counted"
HOSTILE = {
    "aliases in aliases": (nested(10, "x: 1", f"[{MANY}]"), 5, LARGE),
    "merges of merges": (nested(10, "x: 1, y: 2", f"{{{{<<: [{MANY}]}}}}"), 5, LARGE),
    "a wide file": ("a: b\n" * 9000, 5000, LARGE),
    "a long file": ("#" * 100_001, None, "it has 100,001 characters, more than 100,000"),
    "400 lists": ("[" * 400, 1, DEEP),
    "400 mappings": ("{a: " * 400 + "1" + "}" * 400, 1, DEEP),
    "400 dashes": ("- " * 400, 1, DEEP),
    "400 questions": ("? " * 400, 1, DEEP),
    "an anchor in itself": ("a: &a [*a]", 1, "the anchor a contains itself"),
    "an anchor in its merge": ("a: &a {b: 1, <<: *a}", 1, "the anchor a contains itself"),
    "5,000 digits": ("a:\n  x: " + "9" * 5000, 2, "'999999999999...9999999999999' can't be read as int"),
    "4,000 digits": ("x: " + "9" * 4000, 1, "'999999999999...9999999999999' can't be read as int"),
    "a large hexadecimal": ("x: 0x" + "f" * 5000, 1, "'0xffffffffff...fffffffffffff' can't be read as int"),
    "a long time": ("x: 1" + ":59" * 5000, 1, "'1:59:59:59:5...9:59:59:59:59' can't be read as int"),
    "a long fraction": ("x: 1" + ":59" * 5000 + ".5", 1, "'1:59:59:59:5...59:59:59:59.5' can't be read as float"),
    "no date": ("a: 1\nb: 2020-99-99", 2, "'2020-99-99' can't be read as timestamp"),
    "no int": ("a: !!int x", 1, "'x' can't be read as int"),
    "no bool": ("a: !!bool maybe", 1, "'maybe' can't be read as bool"),
    "a tag": ("a: !<tag:x> 1", 1, "could not determine a constructor for the tag 'tag:x'"),
    "a list as a key": ("? [1]\n: 3", 1, "found unhashable key"),
    "NUL": ("a: 1\nb: \0", 2, "it holds the character U+0000, which YAML does not allow"),
    "no such character": ('a: "\\U99999999"', 1, "it can't be parsed (OverflowError)"),
    "UTF-16": ("default: {}".encode("utf-16"), 1, "it is UTF-16, not UTF-8 text"),
    "Latin-1": ("a: 1\nö: 2".encode("latin-1"), 2, "it is not UTF-8 text"),
    "a large file": (b"\xc3\xa9" * 200_001, None, "it has more than 100,000 characters"),
}


@pytest.mark.parametrize(("text", "line", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_with_its_line(write, text, line, problem):
    path = write(text)
    (finding,) = trainer_config.check(path).errors
    assert (finding.line, finding.what) == (line, f"It can't be read as YAML: {problem}.")
    (finding,) = lessons.check_sampler(path, "sampler.yaml")
    assert (finding.line, finding.what) == (line, f"It can't be read as YAML: {problem}.")


IN_THE_CONTAINER = """
import json, sys
import trainer_config, trainers
from refusal import RefusalError
sys.setrecursionlimit(400)
outcomes = []
for path in json.load(sys.stdin):
    try:
        trainer_config.find_demonstrations(trainers.chosen().load(path), ".")
        outcomes.append("")
    except RefusalError as error:
        outcomes.append(str(error))
print(json.dumps(outcomes))
"""


def test_the_container_refuses_what_the_check_refuses(trainer, write):
    """In its own Python; of damaged files, too."""
    chance = random.Random(5)
    contents = [text for text, _, _ in HOSTILE.values()] + [mutate(chance) for _ in range(200)]
    paths = [write(text.encode() if isinstance(text, str) else text, f"{n}.yaml") for n, text in enumerate(contents)]
    done = subprocess.run(
        [trainer.python, "-c", IN_THE_CONTAINER],
        input=json.dumps([str(path) for path in paths]),
        cwd=ROOT / "container",
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == len(paths)
    for (name, (_, _, problem)), outcome in zip(HOSTILE.items(), outcomes, strict=False):
        assert "should be YAML, but cannot be read: " in outcome, name
        assert problem in outcome or name in DIFFERENT, name
    for path, outcome in zip(paths, outcomes, strict=True):
        read = any("read as YAML" in finding.what for finding in trainer_config.check(path).errors)
        assert read == ("should be YAML" in outcome), path.read_text()


DIFFERENT = {"aliases in aliases", "merges of merges", "a wide file", "400 lists", "400 mappings", "400 dashes"}
DIFFERENT |= {"400 questions", "a long file", "NUL", "no such character", "UTF-16", "Latin-1", "a large file"}
"""What Python or PyYAML says itself there."""


def test_reading_is_bounded_by_the_number_of_values():
    """The work is that of 10,000 values, whatever they stand for."""
    for text, _, problem in HOSTILE.values():
        if problem == LARGE:
            loader = BoundedLoader(text)
            with pytest.raises(yaml.YAMLError):
                loader.get_single_node()
            assert loader.values <= 2 * MAX_VALUES and loader.index <= len(text)
    text = "a: &a [" + "1, " * 90 + "]\nb: [" + "*a, " * 100 + "]"
    loader = BoundedLoader(text)
    assert len(loader.get_single_data()["b"]) == 100 and loader.values == 1 + 2 + 91 + 1 + 100 * 91


def test_each_section_of_a_long_chain_is_followed_once(write):
    text = "default: {}\n" + "".join(f"a{n}: a{n + 1}\n" for n in range(1000)) + "a1000: {}\n"
    assert trainer_config.check(write(text), brains=["a0"]).brains[0].section == "a1000"
