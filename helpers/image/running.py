"""Running a program in an image as a training job runs there: without a network, as who runs this."""

from collections.abc import Sequence
from pathlib import Path

from requests.exceptions import RequestException

from helpers.image import engine


def run(
    image: str, command: Sequence[str | Path], *, reads: Path, writes: Path, log: Path, seconds: float
) -> int | None:
    """Run a program to its end, or for so many seconds; afterwards nothing of it is left but what it wrote.

    Parameters
    ----------
    image : str
        Its name in this machine's engine.
    command : sequence of str or Path
    reads, writes : Path
        Folders of this machine that it sees under the same names; the second is also where it starts.
    log : Path
        File for what it prints.
    seconds : float

    Returns
    -------
    int or None
        Its exit code; None if its time was up.

    Raises
    ------
    UnavailableError
        If there is no engine.
    ImageError
        If the engine refuses, as where it does not hold the image.
    """
    client = engine.connect()
    try:
        container = client.containers.create(
            image,
            [str(word) for word in command],
            network_mode="none",
            # HOME, for the caller has none in the image.
            environment={"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108  the container's own
            volumes={str(reads): {"bind": str(reads), "mode": "ro"}, str(writes): {"bind": str(writes), "mode": "rw"}},
            working_dir=str(writes),
            security_opt=["no-new-privileges"],
            **engine.caller(client.info().get("SecurityOptions") or []),
        )
        try:
            container.start()
            try:
                return container.wait(timeout=seconds)["StatusCode"]
            except RequestException:  # what the SDK raises when time is up
                return None
            finally:
                log.write_bytes(container.logs())
        finally:
            container.remove(force=True)
    except engine.FAILURES as error:
        raise engine.explain(error, f"Running {command[0]} in {image}") from error
