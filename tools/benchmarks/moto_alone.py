"""moto's server without anything of ours. It is imported where it serves: nothing else may count as its start."""

import logging


def serve(tell) -> None:
    """Serve moto on a free port, and tell its address."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    tell.send(f"http://127.0.0.1:{server.port}")
    server.serve_forever()
