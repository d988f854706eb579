"""The embedded AWS: moto's server on this machine, with training jobs that really run.

``start()`` returns the running server, and starts it if there is none. Set ``AWS_CONFIG_FILE`` to its ``config``,
which holds its address and keys, and boto3, the AWS CLI and the SageMaker SDK use it. It outlives the kernel that
started it; ``stop()`` or ``python -m sagemaker_local stop`` ends it and its jobs. A server that was killed can leave
containers behind; ``sweep()``, the command line's ``stop`` and the next start remove them. Its data is in
``EMBEDDED_HOME`` (``.embedded``).
"""

from sagemaker_local.control import EmbeddedError, Server, find, interrupt, start, stop, sweep
from sagemaker_local.runner_choice import Program

__all__ = ["EmbeddedError", "Program", "Server", "find", "interrupt", "start", "stop", "sweep"]
