"""What S3 keeps on disk, and what happens when that is damaged. (Whole, it is seen in test_server.)"""

import logging

from moto.server import create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from helpers.embedded.store import SIGNED, Store


def send(app, method, path, body=b""):
    builder = EnvironBuilder(method=method, path=path, headers={"Authorization": SIGNED}, data=body)
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
