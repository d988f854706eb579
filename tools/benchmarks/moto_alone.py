"""moto's server alone. It has its own module, so that the process that serves imports nothing else."""

import logging


def serve(pipe) -> None:
    """Serve moto on a free port; send its URL."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    pipe.send(f"http://127.0.0.1:{server.port}")
    server.serve_forever()
