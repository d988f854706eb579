"""A registry program for tests: implements the requests that the embedded AWS sends, with one file as its store.

Started as `registry serve CONFIG`, as the real ones are.
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

config = json.loads(Path(sys.argv[2]).read_text())
store = Path(config["storage"]["filesystem"]["rootdirectory"]) / "manifests.json"


def digest(manifest):
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def find(self):
        """Return the repository's manifests by tag, and the requested reference."""
        kept = json.loads(store.read_text()) if store.is_file() else {}
        _, _, *repository, kind, name = self.path.split("/")
        return kept, "/".join(repository), kind, name

    def do_GET(self):
        kept, repository, kind, name = self.find()
        if repository not in kept:
            self.answer(404, "{}")
        elif kind == "tags":
            self.answer(200, json.dumps({"name": repository, "tags": list(kept[repository]) or None}))
        else:
            by_digest = {digest(manifest): manifest for manifest in kept[repository].values()}
            manifest = {**by_digest, **kept[repository]}.get(name)
            if manifest is None:
                self.answer(404, "{}")
            else:
                self.answer(200, manifest, json.loads(manifest)["mediaType"])

    def do_PUT(self):
        kept, repository, _, name = self.find()
        kept.setdefault(repository, {})[name] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        store.write_text(json.dumps(kept))
        self.answer(201, "")

    def do_DELETE(self):
        kept, repository, _, name = self.find()
        kept[repository] = {tag: manifest for tag, manifest in kept[repository].items() if digest(manifest) != name}
        store.write_text(json.dumps(kept))
        self.answer(202, "")

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


host, port = config["http"]["addr"].split(":")
server = ThreadingHTTPServer((host, int(port)), Handler)
print(f'level=info msg="listening on {host}:{server.server_port}"', flush=True)
server.serve_forever()
