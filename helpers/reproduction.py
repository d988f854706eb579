"""Write how to train a job again into its results folder: `README.md` and `curve.csv`."""

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from common.contract import DEFAULT_TRAINER, TRAINERS
from common.findings import printable
from reward_curves import RewardsError
from training_jobs import Job

FILES = {
    "*.nn": "the model, for Unity's Model field",
    "*.onnx": "the model, for Unity's Model field",
    "trainer_config.yaml": "the trainer's settings as they were used",
    "training.json": "versions, steps, last rewards, and why the training ended",
    "curve.csv": "every summary: one row a brain and step",
    "rewards.png": "the reward curve",
    "rewards.svg": "the same, for print",
    "watch.gif": "the model at work",
    "summaries": "TensorBoard's event files",
    "log.txt": "the job's log",
    "players": "the players' logs",
    "timers.json": "where ML-Agents spent its time",
}
REPRODUCE = """\
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import StoppingCondition
from sagemaker.core.training.configs import CheckpointConfig, Compute, InputData, Networking, OutputDataConfig
from sagemaker.train import ModelTrainer

import training_image as image
from helpers import aws, training, volume

connection = aws.connect("embedded")  # or "aws", with the name of your role as role=
with connection.sdk():
    trainer = ModelTrainer(
        sagemaker_session=Session(boto_session=connection.session, default_bucket=connection.bucket),
        training_image=image.locate(connection{variant}).uri,
        role=connection.role,
        hyperparameters={hyperparameters!r},
        compute=Compute(instance_type={instance_type!r}, instance_count=1, enable_managed_spot_training={spot}),
        stopping_condition=StoppingCondition({limits}),
        networking=Networking(enable_network_isolation=True),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{{connection.bucket}}/training"),{checkpoints}
    )
channels = [InputData(channel_name="unity-volume", data_source=volume.locate(connection, "unity-volume"))]
job = training.launch(connection, trainer, channels, folder="unity-volume"{start})
training.follow(connection, job.name)
"""
CHECKPOINTS = """
        checkpoint_config=CheckpointConfig(s3_uri=f"s3://{{connection.bucket}}/checkpoints/" {run!r} "/"),"""


def write_readme(job: Job, folder: str | Path, curve: pd.DataFrame) -> Path:
    """Write `README.md` and `curve.csv` into the results folder of a job.

    Parameters
    ----------
    job : Job
    folder : str or Path
        The folder into which `training_jobs.fetch` wrote it.
    curve : pandas.DataFrame
        See `reward_curves.table`.

    Returns
    -------
    Path
        The README.

    Raises
    ------
    RewardsError
        If `training.json` is missing or invalid.
    """
    folder = Path(folder)
    curve.to_csv(folder / "curve.csv", index=False)
    readme, path = folder / "README.md", folder / "training.json"
    try:
        text = _write_text(job, folder, json.loads(path.read_text(encoding="utf-8")), curve)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RewardsError(
            f"Expected the record of a training in {path}, but it can't be read ({type(error).__name__}: {error})."
        ) from error
    readme.write_text(text, encoding="utf-8")
    return readme


def _write_text(job: Job, folder: Path, record: dict, curve: pd.DataFrame) -> str:
    facts = [
        ("status", f"{job.status}. {record['reason']}"),
        ("created", f"{job.created:%Y-%m-%d %H:%M %Z}"),
        ("build", f"content hash {job.volume.rstrip('/').rpartition('/')[2]}"),
        ("image", job.image if "@" in job.image else f"{job.image} (no registry held it: the tag is its content hash)"),
        ("instance", f"{job.instance_type}, {job.training_seconds} s of training, {job.billable_seconds} s billed"),
        ("trainer", f"ML-Agents {record['mlagents']}, {_library(record)}, Python {record['python']}"),
        ("went on from", job.goes_on_from or "nothing"),
        ("interruptions", str(max(job.interruptions, len(record["restarts"])))),
    ]
    there = [
        (path.name, meaning)
        for pattern, meaning in FILES.items()
        for path in sorted(folder.glob(pattern))
        if path.name != "README.md"
    ]
    return "\n".join(
        [
            f"# {_as_markdown(job.name)}",
            "",
            *_table(("", ""), facts),
            "## How far it came",
            "",
            *_table(("brain", TRAINERS[job.trainer]["counts"], "mean reward"), _brains(record["brains"], curve)),
            "## Hyperparameters",
            "",
            *_table(("name", "value"), sorted(job.hyperparameters.items())),
            "## To train it again",
            "",
            "Take the same folder `unity-volume/`, and upload it with notebook 2, which prints its content hash: it",
            "must be the one above. Take the `container/` of which notebook 3 prints the image named above.",
            *_earlier(job),
            "Then, in the project's folder:",
            "",
            "```python",
            _code(job) + "```",
            "",
            "Two trainings with one seed come close and need not be equal to the last digit: the trainer adds up in",
            "the order in which its threads finish.",
            "",
            "## Files",
            "",
            *_table(("file", "what it is"), there),
        ]
    )


def _library(record: dict) -> str:
    """Return the name and version of what the trainer computes with."""
    return f"TensorFlow {record['tensorflow']}" if record["tensorflow"] else f"PyTorch {record['torch']}"


def _earlier(job: Job) -> list[str]:
    """Return the jobs that must be trained before this one."""
    kind, _, name = job.goes_on_from.partition(" ")
    name = printable(" ".join(name.split())).replace("`", "'")
    if kind == "job":
        return [f"Train `{name}` first, as its own README says, and put the name that it gets into `start_from`."]
    if kind == "run":
        return [f"Where jobs of the run `{name}` came before this one, train these first. Give the run a new name."]
    return []


def _code(job: Job) -> str:
    """Return the code that launches the job."""
    kind, _, name = job.goes_on_from.partition(" ")
    limits = {"max_runtime_in_seconds": job.max_seconds} if job.max_seconds else {}
    limits |= {"max_wait_time_in_seconds": job.max_wait_seconds} if job.spot else {}
    # A job with graphics uses the image with a screen, as in notebook 4.
    variant = ", graphics=True" if job.hyperparameters.get("no-graphics") == "false" else ""
    return REPRODUCE.format(
        variant=variant if job.trainer == DEFAULT_TRAINER else f"{variant}, trainer={job.trainer!r}",
        hyperparameters=dict(sorted(job.hyperparameters.items())),
        instance_type=job.instance_type,
        spot=job.spot,
        limits=", ".join(f"{name}={value}" for name, value in limits.items()),
        checkpoints=CHECKPOINTS.format(run=name) if kind == "run" else "",
        start=f", start_from={name!r}" if kind == "job" else "",
    )


def _brains(brains: dict, curve: pd.DataFrame) -> Iterable[tuple[str, ...]]:
    for name, brain in sorted(brains.items()):
        reward = brain["mean_reward"]
        trained = (curve["brain"] == name).any()
        last = "no episode ended" if reward is None else f"{reward:.3f}"
        yield name, f"{brain['steps']:,}", last if trained else "never trained"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(map(_as_markdown, line)) + " |" for line in lines] + [""]


def _as_markdown(text: str) -> str:
    """Return untrusted text as one line of Markdown that shows it verbatim."""
    text = html.escape(printable(" ".join(text.split())), quote=False)
    # Markdown does not interpret an underscore within a word.
    return re.sub(r"[\\`*|~$\[\]]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
