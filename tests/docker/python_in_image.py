"""Stands in the place of the trainer's `python`: runs `container/train` in the image, and all else as it would be run.

So the contract tests of the entrypoint, which start ``<trainer python> container/train``, test the image unchanged.
The job's folder lies at the same path inside, with the same mark, and the tests find its processes.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import docker
from docker.errors import APIError

IMAGE, TRAINER = os.environ["CONTRACT_IMAGE"], os.environ["CONTRACT_TRAINER"]
PASSED_ON = ("SAGEMAKER_", "TRAINING_", "EMBEDDED_")


def main():
    if len(sys.argv) < 2 or Path(sys.argv[1]).parts[-2:] != ("container", "train"):
        os.execv(TRAINER, [TRAINER, *sys.argv[1:]])
    base = Path(os.environ["SAGEMAKER_BASE_DIR"])
    container = docker.from_env(timeout=600).containers.create(
        IMAGE,
        ["train", *sys.argv[2:]],
        network_mode="none",
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp", **{k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}},
        volumes={str(base.parent): {"bind": str(base.parent), "mode": "rw"}},
    )

    def pass_on(number, _):
        with contextlib.suppress(APIError):  # it has ended
            container.kill(signal=number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    said = container.attach(stream=True, stdout=True, stderr=True, logs=True)
    container.start()
    for chunk in said:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    code = container.wait()["StatusCode"]
    container.remove(force=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
