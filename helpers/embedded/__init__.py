"""The embedded AWS: moto's server on this machine, with training jobs that really run.

``embedded.start()`` gives the running server or starts it; set ``AWS_ENDPOINT_URL`` to its ``url`` and any keys, and
boto3, the AWS CLI and the SageMaker SDK talk to it. It outlives the kernel that started it; ``embedded.stop()`` or
``python -m helpers.embedded stop`` ends it and its jobs. What it keeps is in ``EMBEDDED_HOME`` (``.embedded``).
"""

from helpers.embedded.control import EmbeddedError, Server, find, interrupt, start, stop

__all__ = ["EmbeddedError", "Server", "find", "interrupt", "start", "stop"]
