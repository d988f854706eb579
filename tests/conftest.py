"""Settings for all rooms. No test can reach an AWS account, nor uses the reader's embedded AWS, settings or caches."""

import atexit
import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = tempfile.mkdtemp(prefix="settings-")
atexit.register(shutil.rmtree, SETTINGS, ignore_errors=True)

# Set before anything imports boto3, and for every process that a test starts.
os.environ.update(
    AWS_ACCESS_KEY_ID="TESTING",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    # A port that nothing listens on: what is not meant for the embedded AWS fails at once.
    AWS_ENDPOINT_URL="http://127.0.0.1:9",
    MPLBACKEND="agg",
    TRAINING_SETTINGS=f"{SETTINGS}/settings.toml",
    # One for all runs of the tests, because Matplotlib takes seconds to list the fonts of a machine.
    XDG_CACHE_HOME=str(TESTS.parent / ".pytest_cache" / "xdg"),
)
for _name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
    os.environ.pop(_name, None)
for _name in ("TRAINING_TARGET", "TRAINING_ROLE", "TRAINING_BUCKET", "TRAINING_REGION"):
    os.environ.pop(_name, None)

import pytest  # noqa: E402
from botocore.awsrequest import AWSResponse  # noqa: E402

import sagemaker_local as embedded  # noqa: E402
from common import cores, trainer_env  # noqa: E402
from common.contract import METRICS  # noqa: E402
from helpers import aws  # noqa: E402

PROGRAM = TESTS / "sagemaker_local" / "program.py"
LONG_FILES_FIRST = ["notebooks", "container", "many_runs", "training_jobs", "sagemaker_local", "helpers"]
"""Rooms whose test files take longest. Begun last, one of them would keep a single worker busy at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "v1_trainer" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.v1)
    ranks = {room: rank for rank, room in enumerate(LONG_FILES_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(TESTS).parts[0], len(ranks)))


def pytest_xdist_auto_num_workers(config):
    """Take a worker more than there are cores, because some tests wait for servers and jobs."""
    return min(cores.cores_here() + 1, 8)


@pytest.fixture
def failing(connection):
    """Return a context in which calls get the answers that a test lays down: an error, a code of AWS's, or none.

    ``"before-call"`` keeps the call from AWS, ``"after-call"`` only its answer from the caller.
    """

    @contextlib.contextmanager
    def fail(event, *answers):
        left = iter(answers) if len(answers) > 1 else itertools.repeat(*answers)  # one is for all calls

        def answer(**_):
            given = next(left, None)
            if isinstance(given, Exception):
                raise given
            if given:
                code, status = given
                return AWSResponse("", status, {}, None), {
                    "Error": {"Code": code, "Message": code},
                    "ResponseMetadata": {"HTTPStatusCode": status},
                }
            return None

        emitter = connection.session.events
        emitter.register(event, answer, unique_id=event)
        try:
            yield replace(connection, endpoint=None)  # as AWS would be asked
        finally:
            emitter.unregister(event, unique_id=event)

    return fail


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlagents-0.11.0:0123456789abcdef"


@pytest.fixture(scope="session")
def make_trainer():
    """Return a function that returns a trainer of the SDK and its channels, as notebook 4 builds them."""
    # The SDK takes seconds to import: only tests that launch wait for it.
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import MetricDefinition, StoppingCondition, Tag, TensorBoardOutputConfig
    from sagemaker.core.training.configs import CheckpointConfig, Compute, InputData, Networking, OutputDataConfig
    from sagemaker.train import ModelTrainer

    def make(
        connection,
        volume,
        hyperparameters,
        *,
        image=IMAGE,
        instance_type="ml.c5.xlarge",
        max_minutes=2,
        spot=False,
        max_wait_minutes=None,
        run="",
        **more,
    ):
        output = f"s3://{connection.bucket}/training"
        with connection.sdk():
            trainer = ModelTrainer(
                sagemaker_session=Session(boto_session=connection.session, default_bucket=connection.bucket),
                training_image=image,
                role=connection.role,
                base_job_name="mlagents",
                hyperparameters=dict(hyperparameters),
                compute=Compute(
                    instance_type=instance_type,
                    instance_count=1,
                    volume_size_in_gb=30,
                    volume_kms_key_id=connection.kms_key or None,
                    enable_managed_spot_training=spot,
                ),
                stopping_condition=StoppingCondition(
                    max_runtime_in_seconds=int(60 * max_minutes),
                    max_wait_time_in_seconds=int(60 * (max_wait_minutes or 2 * max_minutes)) if spot else None,
                ),
                networking=Networking(
                    enable_network_isolation=True,
                    subnets=list(connection.subnets) or None,
                    security_group_ids=list(connection.security_groups) or None,
                ),
                checkpoint_config=CheckpointConfig(s3_uri=f"s3://{connection.bucket}/checkpoints/{run}/")
                if run
                else None,
                output_data_config=OutputDataConfig(s3_output_path=output, kms_key_id=connection.kms_key or None),
                tags=[Tag(key="project", value="mlagents")],
                **more,
            )
        metrics = [MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()]
        board = TensorBoardOutputConfig(s3_output_path=output)
        channels = [InputData(channel_name="unity-volume", data_source=volume)]
        return trainer.with_metric_definitions(metrics).with_tensorboard_output_config(board), channels

    return make


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    home = str(tmp_path_factory.mktemp("embedded"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", home)
        with pytest.MonkeyPatch.context() as for_the_server:
            for_the_server.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {PROGRAM}")
            for_the_server.setenv("EMBEDDED_MAX_JOBS", "6")
            embedded.start()
        yield aws.connect("embedded")
        embedded.stop()


@pytest.fixture(scope="session")
def export_policies(tmp_path_factory):
    """Return a function that lets ML-Agents export policies, see `policy_files/policies.py`, and returns their folder.

    Workers share what one of them exported, because each export takes seconds of processor time.
    """

    def export(*kinds):
        python, name = trainer_env.find().python, f"policies-{'-'.join(kinds)}"
        return export_once(tmp_path_factory, name, python, TESTS / "policy_files" / "policies.py", *kinds)

    return export


def export_once(tmp_path_factory, name, python, script, *arguments):
    """Run a script that fills a folder, unless another worker has; return the folder."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            done = subprocess.run([python, script, folder, *arguments], capture_output=True, text=True, timeout=200)
            assert done.returncode == 0, done.stderr
            (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def v1_trainer():
    """Return the environment of ML-Agents 1.1.0; skip the test where it is not set up."""
    return find_trainer("1.1.0")


def find_trainer(version):
    """Return the environment of a version of ML-Agents; skip the test where it is not set up."""
    try:
        return trainer_env.find(version)
    except trainer_env.TrainerEnvError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def onnx_models(tmp_path_factory, v1_trainer):
    """Return a folder with models that ML-Agents 1.1.0 exported, see `policy_files/export_onnx.py`."""
    python = v1_trainer.python
    pytest.importorskip("onnxruntime", reason="`make setup TRAINER=1.1.0` installs onnxruntime")
    return export_once(tmp_path_factory, "onnx", python, TESTS / "policy_files" / "export_onnx.py")
