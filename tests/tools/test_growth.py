"""The measurements that need a server: small, but with the real embedded AWS and the real moto."""

import os

import pytest

import sagemaker_local as embedded
from tools.benchmarks import growth, upload


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(growth, "JOBS", (12,))
    monkeypatch.setattr(growth, "OBJECTS", (3,))


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch, tmp_path):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "other"))
    before = variables()
    yield
    assert variables() == before
    assert embedded.find() is None
    assert not (tmp_path / "other").exists()


def variables():
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def test_existing_jobs_are_described_and_listed():
    measurements = growth.in_embedded(1)
    assert set(measurements) == {"start 12", "describe 12", "page 12", "all 12"}
    assert min(measurements.values()) > 0


def test_moto_gets_the_same_requests():
    assert set(growth.in_moto(1)) == {"describe 12", "page 12", "all 12"}


def test_existing_objects_are_listed_after_a_start():
    measurements = growth.start_embedded(1)
    assert set(measurements) == {"3", "all 3"}
    assert measurements["3"] < measurements["all 3"]


def test_an_upload_is_measured_first_and_repeated():
    measurements = upload.measure(upload.upload, 3, 3000)
    assert set(measurements) == {"first", "again"}
