"""`container/trainers/v1/keys.json` says what the settings classes of the 1.1.0 wheel say."""

import json
import subprocess
from pathlib import Path

import pytest

from common import ROOT

KEYS = json.loads((ROOT / "container/trainers/v1/keys.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(trainer_v1):
    script = Path(__file__).with_name("wheel_settings.py")
    return json.loads(subprocess.run([trainer_v1.python, script], capture_output=True, text=True, check=True).stdout)


def test_every_key_with_its_type_choices_and_default(wheel):
    names = ("group", "choices", "default", "may_be_empty", "required")
    table = {
        name: {key: row[key] for key in names if key in row} | {"read_as": row["in_config"]["read_as"]}
        for name, row in KEYS.items()
        if row["in_config"]["read_as"] != "mapping" or "default" in row
    }
    assert table == wheel["rows"]


def test_what_becomes_of_unknown_keys(wheel):
    assert {name: row["unknown"] for name, row in KEYS.items() if "unknown" in row} == wheel["unknown"]


def test_a_key_that_a_job_may_set_has_the_type_that_the_wheel_reads(wheel):
    types = {"whole number": "int()", "number": "float()", "switch": "truth"}
    for name, row in KEYS.items():
        if "type" in row:
            assert row["in_config"]["read_as"] == types.get(row["type"], "choice" if "choices" in row else "path"), name
