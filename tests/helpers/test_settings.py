"""Where the notebooks work: parameters before the environment before the file, and never elsewhere without a word."""

import os
from dataclasses import astuple
from pathlib import Path

import pytest

import helpers
from common import ROOT
from common.aws_session import ConnectError
from helpers import settings

FILE = 'target = "aws"\nrole = "trainer"\nbucket = "theirs"\nregion = "eu-west-1"\n'


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINING_SETTINGS", str(tmp_path / "settings.toml"))
    return tmp_path / "settings.toml"


@pytest.mark.parametrize(
    ("text", "environment", "given", "found"),
    [
        ("", {}, {}, ("embedded", "", "", "", "because nothing else is set")),
        (FILE, {}, {}, ("aws", "trainer", "theirs", "eu-west-1", "as settings.toml says")),
        (
            FILE,
            {"BUCKET": "other", "REGION": "us-west-2"},
            {"region": "us-east-2"},
            ("aws", "trainer", "other", "us-east-2", "as settings.toml says"),
        ),
        # What is set for one target does not belong to another.
        (
            FILE,
            {"TARGET": "embedded", "BUCKET": "here"},
            {},
            (
                "embedded",
                "",
                "here",
                "",
                'as the environment variable TRAINING_TARGET says (not "aws" as settings.toml says)',
            ),
        ),
        (
            FILE,
            {"TARGET": "embedded", "BUCKET": "here"},
            {"target": "aws", "role": "mine"},
            (
                "aws",
                "mine",
                "theirs",
                "eu-west-1",
                'as this notebook\'s parameters say (not "embedded" as the environment variable TRAINING_TARGET says)',
            ),
        ),
        (
            'role = "trainer"\n',
            {"TARGET": "aws"},
            {},
            ("aws", "trainer", "", "", "as the environment variable TRAINING_TARGET says"),
        ),
    ],
)
def test_parameters_come_before_the_environment_and_that_before_the_file(
    file, monkeypatch, text, environment, given, found
):
    file.write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(f"TRAINING_{name}", value)
    assert astuple(settings.read(**given)) == found
    assert str(settings.read(**given)) == f'Target "{found[0]}", {found[4]}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('target = "amazon"', 'Expected target to be "embedded" or "aws", found \'amazon\', as settings.toml says.'),
        ("target = aws", "found a file that can't be read: Invalid value"),
        ('targt = "aws"', "each of them text, found targt = 'aws'. Correct it."),
        ("bucket = 1", "each of them text, found bucket = 1. Correct it."),
        (None, "found a file that can't be read: [Errno 21] Is a directory"),
    ],
)
def test_invalid_settings_are_an_error(file, text, complaint):
    file.mkdir() if text is None else file.write_text(text)
    with pytest.raises(ConnectError) as refused:
        settings.read()
    assert complaint in str(refused.value)


def test_written_settings_are_read(file, monkeypatch):
    values = ("aws", 'arn:aws:iam::1:role/a"\\ü', "bucket", "eu-west-1")
    assert settings.write(*values) == file
    assert astuple(settings.read()) == (*values, "as settings.toml says")
    written = file.stat().st_mtime_ns
    settings.write(*values)
    assert file.stat().st_mtime_ns == written
    monkeypatch.setenv("TRAINING_SETTINGS", os.devnull)
    settings.write(*values)
    assert Path(os.devnull).is_char_device()
    monkeypatch.setenv("TRAINING_SETTINGS", str(file / "below-a-file"))
    with pytest.raises(ConnectError, match=r"can't be written \(Not a directory\). Set TRAINING_SETTINGS to a file"):
        settings.write(*values)


def test_the_file_lies_beside_the_lessons_wherever_a_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("TRAINING_SETTINGS")
    lessons = ROOT / "notebooks"
    assert settings.settings_file() == helpers.LESSONS / "settings.toml" == lessons / "settings.toml"
    assert helpers.find_lessons(lessons / "solutions") == helpers.find_lessons(tmp_path) == lessons
    (tmp_path / "01_check_unity_build.ipynb").touch()
    assert helpers.find_lessons(tmp_path) == tmp_path


def test_a_relative_file_is_the_same_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINING_SETTINGS", "my.toml")
    monkeypatch.chdir(tmp_path)
    assert settings.settings_file() == ROOT / "my.toml"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRAINING_SETTINGS", "~/my.toml")
    assert settings.settings_file() == tmp_path / "my.toml"
