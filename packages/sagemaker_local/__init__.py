"""The embedded AWS: moto's server on this machine, with training jobs that really run.

``embedded.start()`` gives the running server or starts it; set ``AWS_CONFIG_FILE`` to its ``config``, which holds its
address and keys, and boto3, the AWS CLI and the SageMaker SDK talk to it. It outlives the kernel that started it;
``embedded.stop()`` or ``python -m sagemaker_local stop`` ends it and its jobs. One that was killed can leave
containers behind; ``embedded.sweep()``, the command line's ``stop`` and the next start remove them. What it keeps is in
``EMBEDDED_HOME`` (``.embedded``).
"""

from sagemaker_local.control import EmbeddedError, Server, find, interrupt, start, stop, sweep
from sagemaker_local.runner_choice import Program

__all__ = ["EmbeddedError", "Program", "Server", "find", "interrupt", "start", "stop", "sweep"]
