"""Stands in the place of the trainer's `python`, and runs in the image what it is to run of the container's.

That is `container/train`, and `mlagents-learn` where it is called by that name; all else is run as it would be. So the
contract tests of the entrypoint, which start ``<trainer python> container/train``, test the image unchanged. The job's
folder lies at the same path inside, with the same mark, and the tests find its processes.
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
    if Path(sys.argv[0]).name == "mlagents-learn":  # in the job's folder for checkpoints
        run_in_image(["mlagents-learn", *sys.argv[1:]], Path.cwd().parents[1])
    if len(sys.argv) < 2 or Path(sys.argv[1]).parts[-2:] != ("container", "train"):
        os.execv(TRAINER, [TRAINER, *sys.argv[1:]])
    run_in_image(["train", *sys.argv[2:]], Path(os.environ["SAGEMAKER_BASE_DIR"]).parent)


def run_in_image(command, folder):
    """Run a command as SageMaker would, with a folder at its own path, and end with its exit code."""
    container = docker.from_env(timeout=600).containers.create(
        IMAGE,
        command,
        network_mode="none",
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp", **{k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}},
        volumes={str(folder): {"bind": str(folder), "mode": "rw"}},
        working_dir=str(Path.cwd()) if Path.cwd().is_relative_to(folder) else None,
    )
    lives = remove_at_my_end(container.id)

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
    os.close(lives)
    os.wait()
    sys.exit(code)


def remove_at_my_end(container):
    """Have another process remove the container when this one ends, also when it is killed. Return what to close."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        return writer
    os.close(writer)
    os.setsid()
    os.read(reader, 1)
    docker.from_env(timeout=600).containers.get(container).remove(force=True)
    os._exit(0)


if __name__ == "__main__":
    main()
