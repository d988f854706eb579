"""A web page against the embedded AWS: forms and fetches that Chromium really sends change nothing."""

import http.server
import threading

import pytest
from selenium.webdriver.support.ui import WebDriverWait

import sagemaker_local as embedded
from helpers import aws

FORM = """<form method=post enctype=multipart/form-data action="{url}{path}"><input name=key value=build/evil.so>
<input name=file value=evil></form><script>document.forms[0].submit()</script>"""
FETCH = """<script>
const body = '<Delete><Object><Key>build/player</Key></Object></Delete>';
Promise.allSettled([
  fetch('{url}{path}', {{method: 'POST', mode: 'no-cors', headers: {{'Content-Type': 'text/plain'}}, body}}),
  fetch('{url}{path}', {{method: 'PUT', body}}),
  fetch('{url}/', {{headers: {{'X-Amz-Target': 'SageMaker.CreateTrainingJob'}}, method: 'POST', body: '{{}}'}}),
]).then(all => {{ document.title = all.map(one => one.status + ' ' + (one.value?.type ?? '')).join() }});
</script>"""


@pytest.fixture
def connection(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "home"))
    made = aws.connect("embedded")
    made.client("s3").put_object(Bucket=made.bucket, Key="build/player", Body=b"build")
    yield made
    embedded.stop()


@pytest.fixture
def show(browser):
    """Return a function that opens a page of another origin on this machine."""
    pages = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(pages[-1].encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def open_page(page, host="127.0.0.1"):
        pages.append(page)
        browser.get(f"http://{host}:{server.server_port}/")

    yield open_page
    server.shutdown()
    server.server_close()


def objects(connection):
    found = connection.client("s3").list_objects_v2(Bucket=connection.bucket)["Contents"]
    return [(item["Key"], item["Size"]) for item in found]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("path", ["/{bucket}", "/moto-api/reset", "/"])
def test_a_form(connection, browser, show, host, path):
    show(FORM.format(url=connection.endpoint, path=path.format(bucket=connection.bucket)), host)
    WebDriverWait(browser, 30).until(lambda page: "Web pages may not call the embedded AWS" in page.page_source)
    assert objects(connection) == [("build/player", 5)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_fetch(connection, browser, show, host):
    show(FETCH.format(url=connection.endpoint, path=f"/{connection.bucket}?delete"), host)
    WebDriverWait(browser, 30).until(lambda page: page.title)
    assert browser.title == "fulfilled opaque,rejected ,rejected"  # what was sent, the page may not even read
    assert objects(connection) == [("build/player", 5)]
