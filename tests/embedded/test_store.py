"""What S3 keeps on disk, and what happens when that is damaged. (Whole, it is seen in test_server.)"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.server import create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from helpers.embedded.store import SIGNED, Store

TAGS = b"<Tagging><TagSet><Tag><Key>colour</Key><Value>blue</Value></Tag></TagSet></Tagging>"


def send(app, method, path, body=b"", headers=None):
    headers = {"Authorization": SIGNED, **(headers or {})}
    builder = EnvironBuilder(method=method, path=path, headers=headers, data=body)
    answer, status, _ = run_wsgi_app(app, builder.get_environ(), buffered=True)
    return int(status.split()[0]), b"".join(answer)


def test_damage_costs_no_more_than_what_is_damaged(tmp_path, caplog):
    app = Store(tmp_path, create_backend_app("s3"))
    assert send(app, "PUT", "/damaged-bucket")[0] == 200
    for key in ("a", "b", "c"):
        assert send(app, "PUT", f"/damaged-bucket/{key}", key.encode())[0] == 200
    assert send(app, "PUT", "/no-such-bucket/key", b"x")[0] == 404
    objects = tmp_path / "damaged-bucket" / "objects"
    files = {file.read_bytes()[-1:]: file for file in objects.iterdir()}
    assert set(files) == {b"a", b"b", b"c"}
    assert not (tmp_path / "no-such-bucket").exists()

    files[b"a"].write_bytes(b'{"method": "PU')
    half = objects / "half.new"
    half.write_bytes(b"half written when the server was killed")
    for key in "abc":
        send(app.moto, "DELETE", f"/damaged-bucket/{key}")
    with caplog.at_level(logging.ERROR):
        assert Store(tmp_path, create_backend_app("s3")).restore() == 2
    assert f"S3: {files[b'a']} can't be restored" in caplog.text
    assert send(app, "GET", "/damaged-bucket/b") == (200, b"b")
    assert send(app, "GET", "/damaged-bucket/a")[0] == 404
    assert not half.exists()


def test_a_deleted_bucket_stays_deleted(tmp_path):
    app = Store(tmp_path, create_backend_app("s3"))
    send(app, "PUT", "/short-lived")
    send(app, "PUT", "/short-lived/key", b"x")
    assert send(app, "DELETE", "/short-lived")[0] == 409  # not empty: nothing happens
    assert (tmp_path / "short-lived" / "bucket" / "create").exists()
    assert send(app, "DELETE", "/short-lived/key")[0] == 204
    assert send(app, "DELETE", "/short-lived")[0] == 204
    assert not (tmp_path / "short-lived").exists()


@pytest.fixture
def earlier(tmp_path):
    """Give the store of a server that finds three objects of an earlier one, none of them restored yet."""
    before = Store(tmp_path, create_backend_app("s3"))
    send(before, "PUT", "/early-bucket")
    for key in ("a", "b", "c"):
        send(before, "PUT", f"/early-bucket/{key}", key.encode())
    send(before, "PUT", "/early-bucket/b?tagging", TAGS)
    for key in ("a", "b", "c"):
        send(before.moto, "DELETE", f"/early-bucket/{key}")
    found = Store(tmp_path, create_backend_app("s3")).restore_buckets()
    assert len(found.left) == 3
    yield found
    found.finish()
    for key in ("a", "b", "c", "d"):
        send(found, "DELETE", f"/early-bucket/{key}")
    assert send(found, "DELETE", "/early-bucket")[0] == 204


def test_an_object_is_restored_when_it_is_asked_for(earlier):
    assert send(earlier, "HEAD", "/early-bucket")[0] == 200
    assert len(earlier.left) == 3
    assert send(earlier, "GET", "/early-bucket/b") == (200, b"b")
    assert len(earlier.left) == 2
    assert b"<Value>blue</Value>" in send(earlier, "GET", "/early-bucket/b?tagging")[1]
    assert send(earlier, "GET", "/early-bucket/d")[0] == 404
    assert earlier.finish() == 2
    assert earlier.left == {}
    assert send(earlier, "GET", "/early-bucket/c") == (200, b"c")


def test_a_listing_waits_for_all_objects(earlier):
    status, listed = send(earlier, "GET", "/early-bucket?list-type=2")
    assert status == 200
    assert [b"<Key>%s</Key>" % key in listed for key in (b"a", b"b", b"c")] == [True] * 3
    assert earlier.left == {}


def test_what_was_deleted_or_replaced_meanwhile_does_not_come_back(earlier):
    assert send(earlier, "DELETE", "/early-bucket/a")[0] == 204
    assert send(earlier, "PUT", "/early-bucket/b", b"new")[0] == 200
    assert earlier.finish() == 1
    assert send(earlier, "GET", "/early-bucket/a")[0] == 404
    assert send(earlier, "GET", "/early-bucket/b") == (200, b"new")


def test_the_source_of_a_copy_is_restored(earlier):
    assert send(earlier, "PUT", "/early-bucket/d", headers={"x-amz-copy-source": "/early-bucket/c"})[0] == 200
    assert len(earlier.left) == 2
    assert send(earlier, "GET", "/early-bucket/d") == (200, b"c")


def test_a_bucket_with_objects_to_restore_is_not_empty(earlier):
    assert send(earlier, "DELETE", "/early-bucket")[0] == 409


def test_all_are_restored_in_the_background(tmp_path, earlier):
    assert earlier.restore_meanwhile() == 3
    wait_until_done = threading.Event()
    while earlier.left:
        wait_until_done.wait(0.01)
    assert send(earlier.moto, "GET", "/early-bucket/c") == (200, b"c")


def test_an_object_that_is_being_restored_is_waited_for(earlier, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    replay = earlier._replay

    def slow(file):
        begun.set()
        assert go_on.wait(10)
        replay(file)

    monkeypatch.setattr(earlier, "_replay", slow)
    background = threading.Thread(target=earlier.finish)
    background.start()
    assert begun.wait(10)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(send, earlier, "GET", f"/early-bucket/{key}") for key in "abc"]
        assert not any(answer.done() for answer in asked)
        go_on.set()
        assert [answer.result(10) for answer in asked] == [(200, b"a"), (200, b"b"), (200, b"c")]
    background.join(10)
