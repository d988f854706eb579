"""Jobs: launched through the real SDK, found, followed, stopped and fetched."""

import contextlib
import dataclasses
import re
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import botocore.session
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError, UnauthorizedSSOTokenError
from botocore.validate import ParamValidator

import training_jobs as training
from many_runs import experiment, tuning
from sample_env import make_sample_build
from training_jobs import following, launching, polling
from training_jobs.job import stop_once

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlagents-0.11.0:0123456789abcdef"
SUMMARY = "INFO:mlagents.trainers: run: 3DBall: Step: {}. Time Elapsed: 1.5 s Mean Reward: {}. Std of Reward: 0.250. Training."


@pytest.fixture
def volume(connection):
    connection.client("s3").put_object(Bucket=connection.bucket, Key="unity-volume/abc/3DBall.x86_64", Body=b"player")
    return f"s3://{connection.bucket}/unity-volume/abc/"


@pytest.fixture
def launch(make_trainer):
    """Return a function that launches a job whose program does what `do` says, and returns its name."""

    def launch_job(connection, volume, do, start_from="", folder=None, trainer=None, **hyperparameters):
        made = make_trainer(connection, volume, {"do": do, **hyperparameters}, **(trainer or {}))
        return training.launch(connection, *made, folder=folder, start_from=start_from).name

    return launch_job


def create(connection, volume, do, name="", **more):
    """Make a job as `launch` makes it, without the seconds that the SDK takes and without checkpoints."""
    name = name or f"mlagents-{uuid.uuid4().hex[:12]}"
    connection.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=connection.role,
        HyperParameters={"do": do},
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        InputDataConfig=[
            {
                "ChannelName": "unity-volume",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": volume}},
            }
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{connection.bucket}/training"},
        ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
        **more,
    )
    return name


def put_checkpoint(connection, job):
    """Put the file that tells a checkpoint of ML-Agents beside what the job itself has kept."""
    bucket, _, key = job.checkpoints.removeprefix("s3://").partition("/")
    key += "models/run-0/3DBall/model-20.cptk.index"
    connection.client("s3").put_object(Bucket=bucket, Key=key, Body=b"saved")


def wait_until_it_waits(connection, name):
    end = time.monotonic() + 30
    while "waiting" not in read_log(connection, name):
        assert time.monotonic() < end
        time.sleep(0.1)  # the log has no event to wait for


def read_log(connection, name):
    log = training.Log(connection, name)
    log.read()
    return log.lines


def follow(connection, name):
    return training.follow(connection, name, poll_seconds=0.1)


def test_a_job_matches_its_trainer(connection, volume, launch):
    do = f"say {SUMMARY.format(1000, '-0.953')};model trained"
    name = launch(connection, volume, do, max_steps=1000, **{"no-graphics": True})
    assert name.startswith("mlagents-")
    description = connection.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert description["HyperParameters"] == {"do": do, "max_steps": "1000", "no-graphics": "true"}
    assert description["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert description["EnableNetworkIsolation"] is True
    assert description["StoppingCondition"] == {"MaxRuntimeInSeconds": 120}
    assert description["EnableManagedSpotTraining"] is False
    assert description["TensorBoardOutputConfig"]["S3OutputPath"] == f"s3://{connection.bucket}/training"
    assert description.get("Environment", {}) == {}
    assert description["ResourceConfig"]["InstanceType"] == "ml.c5.xlarge"
    assert [channel["ChannelName"] for channel in description["InputDataConfig"]] == ["unity-volume"]
    tags = connection.client("sagemaker").list_tags(ResourceArn=description["TrainingJobArn"])["Tags"]
    assert {"Key": "project", "Value": "mlagents"} in tags
    job = follow(connection, name)
    assert job.status == "Completed"
    assert job.failure == ""
    assert job.metrics == {"mean_reward": pytest.approx(-0.953), "std_reward": 0.25, "step": 1000.0}
    assert (job.volume, job.image) == (volume, IMAGE)
    assert (job.max_seconds, job.max_wait_seconds) == (120, 0)
    assert re.fullmatch(rf"s3://{connection.bucket}/checkpoints/\d{{8}}-\d{{6}}-[0-9a-f]{{4}}/", job.checkpoints)
    assert (job.spot, job.interruptions, job.goes_on_from) == (False, 0, "")
    assert job.tensorboard == f"s3://{connection.bucket}/training/{name}/tensorboard-output"
    assert [phase.name for phase in job.phases] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_the_newest_job_is_found_without_a_name(connection, volume):
    name = create(connection, volume, "say newest")
    assert training.find(connection).name == name
    follow(connection, name)


def test_the_same_job_is_not_launched_twice_while_it_runs(connection, volume, capsys, launch):
    name = create(connection, volume, "term;wait")
    assert launch(connection, volume, "term;wait") == name
    assert "No second job is launched" in capsys.readouterr().out
    other = launch(connection, volume, "say other")
    assert other != name
    training.stop(connection, name)
    assert follow(connection, name).status == "Stopped"


def test_only_jobs_of_this_project_are_described(connection, volume, launch):
    others = [create(connection, volume, "term;wait", name=name) for name in ("team-mlagents-1", "mlagents2-1")]
    denied = {"Error": {"Code": "AccessDeniedException", "Message": "not yours"}}

    def deny(params, **_):
        if '"mlagents-' not in str(params["body"]):
            raise ClientError(denied, "DescribeTrainingJob")

    emitter = connection.session.events
    emitter.register("before-call.sagemaker.DescribeTrainingJob", deny, unique_id="deny")
    try:
        name = launch(connection, volume, "say mine")
        assert training.list_newest(connection.client("sagemaker"), 1000).count(name) == 1
        assert not set(others) & set(training.list_newest(connection.client("sagemaker"), 1000))
        assert training.find(connection).name == name
        with pytest.raises(training.TrainingError, match="whose names begin with mlagents-, found team-mlagents-1, wh"):
            training.find(connection, "team-mlagents-1")
    finally:
        emitter.unregister("before-call.sagemaker.DescribeTrainingJob", unique_id="deny")
    for other in [*others, name]:
        training.stop(connection, other)
        follow(connection, other)


KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {"Subnets": ["subnet-0a1b"], "SecurityGroupIds": ["sg-1", "sg-2"]}


class KeptError(Exception):
    """Keeps a request from AWS."""


@pytest.fixture
def keep(connection, request):
    """Keep every request that would create something, and give the parameters of the last."""
    parameters = {}

    def keep_request(params, model, **_):
        if model.name.startswith("Create"):
            wrong = ParamValidator().validate(params, model.input_shape).generate_report()
            parameters.update(params, wrong=wrong)
            raise KeptError

    events = connection.session.events
    events.register("provide-client-params.sagemaker", keep_request, unique_id="keep")
    request.addfinalizer(lambda: events.unregister("provide-client-params.sagemaker", unique_id="keep"))
    return parameters


def launch_kind(kind, connection, trainer, channels, folder):
    """Launch one job, many, or a tuning job."""
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.train.tuner import HyperparameterTuner

    if kind == "one":
        training.launch(connection, trainer, channels, folder=folder)
    elif kind == "many":
        experiment.launch_many(connection, trainer, channels, settings={"A": {}}, seeds=[1], folder=folder)
    else:
        metrics = [{"Name": name, "Regex": regex} for name, regex in training.METRICS.items()]
        tuner = HyperparameterTuner(trainer, "mean_reward", {"lambd": ContinuousParameter(0.9, 0.99)}, metrics)
        tuning.launch(connection, tuner, channels, folder=folder)


KINDS = pytest.mark.parametrize("kind", ["one", "many", "tuning"])


@KINDS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_stepz": 500},
            "max_stepz is not a hyperparameter. The job would fail immediately. Did you mean max_steps?",
        ),
        ({"max_steps": "many"}, "max_steps is 'many'. It must be a whole number of at most 2147483647."),
        ({"batch_size": 99999}, "batch_size 99999 is more than buffer_size 12032."),
        ({"max_steps": 100}, "3DBall trains 100 steps and writes a summary every 250: no training would report "),
        ({"max_steps": None}, "Expected a value for the hyperparameter max_steps, found None."),
    ],
)
def test_invalid_jobs_are_refused_before_anything_is_created(
    connection, volume, keep, make_trainer, tmp_path, kind, changes, message
):
    trainer, channels = make_trainer(connection, volume, changes)
    with pytest.raises(training.TrainingError) as refused:
        launch_kind(kind, connection, trainer, channels, tmp_path)
    assert str(refused.value).removeprefix("With A: ").startswith(message)
    assert keep == {}


@KINDS
def test_an_invalid_config_is_refused_before_anything_is_created(
    connection, volume, keep, make_trainer, tmp_path, kind
):
    (tmp_path / "trainer_config.yaml").write_text("default:\n  trainer: ppo\n  batch_size: [1\n")
    trainer, channels = make_trainer(connection, volume, {})
    with pytest.raises(training.TrainingError, match="It can.t be read as YAML"):
        launch_kind(kind, connection, trainer, channels, tmp_path)
    assert keep == {}


@KINDS
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("instance_type", ["ml.c5.xlarge", "ml.g4dn.xlarge"])
def test_vpc_and_key_reach_the_job(connection, volume, keep, make_trainer, kind, changes, instance_type):
    """What is sent has the shape that AWS takes; a disk of the instance's own takes no key."""
    place = {"subnets": tuple(VPC["Subnets"]), "security_groups": tuple(VPC["SecurityGroupIds"]), "kms_key": KEY}
    there = replace(connection, **(place if changes else {}))
    trainer, channels = make_trainer(there, volume, {}, instance_type=instance_type)
    with pytest.raises(KeptError):
        launch_kind(kind, there, trainer, channels, None)
    job = keep.get("TrainingJobDefinition", keep)
    assert keep["wrong"] == ""
    assert job["EnableNetworkIsolation"] is True
    assert job.get("VpcConfig") == (VPC if changes else None)
    assert job["OutputDataConfig"].get("KmsKeyId") == (KEY if changes else None)
    encrypted = changes and instance_type == "ml.c5.xlarge"
    assert job["ResourceConfig"].get("VolumeKmsKeyId") == (KEY if encrypted else None)


def test_instances_with_local_storage():
    types = botocore.session.get_session().get_service_model("sagemaker").shape_for("TrainingInstanceType").enum
    families = {each.split(".")[1] for each in types if launching.LOCAL_STORAGE.match(each)}
    accelerated = "g4dn g5 g6 g6e g7 g7e p3dn p4d p4de p5 p5e p5en p6-b200 p6-b300 p6e-gb200 trn1 trn1n trn2"
    assert families == {"r5d", *accelerated.split()}


LOST = ReadTimeoutError(endpoint_url="https://sagemaker")


@pytest.mark.parametrize(
    "event, answers, pauses",
    [
        ("before-call.sagemaker.ListTrainingJobs", [("ThrottlingException", 400)] * 3 + [None], [6.0, 12.0, 24.0]),
        ("before-call.sagemaker.ListTrainingJobs", [("InternalFailure", 500), LOST, None], [3.0, 3.0]),
        ("before-call.sagemaker.CreateTrainingJob", [("ThrottlingException", 400), LOST, None], [6.0, 6.0]),
        # The job is made, and its answer is lost: asked again, SageMaker says that the name is in use.
        ("after-call.sagemaker.CreateTrainingJob", [LOST, None], [3.0]),
    ],
)
def test_launching_retries_and_launches_once(connection, volume, failing, monkeypatch, event, answers, pauses, launch):
    slept, run = [], {"run-id": uuid.uuid4().hex}
    with monkeypatch.context() as patch, failing(event, *answers) as aws:
        patch.setattr(polling.time, "sleep", slept.append)
        name = launch(aws, volume, "say patient", **run)
    assert slept == pauses
    names = training.list_newest(connection.client("sagemaker"), 1000)
    jobs = [training.find(connection, found) for found in names]
    assert [job.name for job in jobs if job.hyperparameters == {"do": "say patient", **run}] == [name]
    follow(connection, name)


def test_a_name_of_another_job_is_refused(connection, volume, failing, monkeypatch, launch):
    taken = create(connection, volume, "say another")
    monkeypatch.setattr(launching.places, "make_name", lambda: taken.removeprefix("mlagents-"))
    with pytest.raises(training.TrainingError, match="SageMaker refused the job, nothing was started: .*ResourceInUse"):
        launch(connection, volume, "say this")
    follow(connection, taken)


def test_the_launch_lock_is_in_the_users_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with launching.launch_lock():
        (folder,) = tmp_path.iterdir()
        (lock,) = folder.iterdir()
        assert (folder.stat().st_mode & 0o777, lock.stat().st_mode & 0o777) == (0o700, 0o600)
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    refused = pytest.raises(training.TrainingError, match=f"Expected to keep a lock in {folder}, .* Set XDG_CACHE_HOME")
    with refused, launching.launch_lock():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_concurrent_launches_create_one_job(connection, volume, launch):
    with ThreadPoolExecutor(2) as pool:
        names = set(pool.map(lambda _: launch(connection, volume, "term;wait", max_steps=7), range(2)))
    (name,) = names
    training.stop(connection, name)
    follow(connection, name)


def test_a_kernel_that_is_killed_while_it_follows_leaves_the_job_running(connection, volume):
    name = create(connection, volume, "term;wait")
    code = "import sys; from helpers import aws, training; training.follow(aws.connect('embedded'), sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE) as kernel:
        while b"waiting" not in kernel.stdout.readline():
            assert kernel.poll() is None
        kernel.kill()
    assert training.find(connection, name).status == "InProgress"
    training.stop(connection, name)
    assert follow(connection, name).status == "Stopped"


def test_a_named_run_continues_from_its_checkpoints(connection, volume, launch, capsys):
    run = f"balance-{uuid.uuid4().hex[:6]}"
    first = follow(connection, launch(connection, volume, "count", trainer={"run": run}))
    assert first.checkpoints == f"s3://{connection.bucket}/checkpoints/{run}/"
    assert first.goes_on_from == f"run {run}"
    second = follow(connection, launch(connection, volume, "count", trainer={"run": run}, max_steps=200))
    assert second.checkpoints == first.checkpoints
    assert read_log(connection, first.name) == ["count 1"]
    assert read_log(connection, second.name) == ["count 2"]
    capsys.readouterr()
    fresh = follow(connection, launch(connection, volume, "count"))
    assert read_log(connection, fresh.name) == ["count 1"]
    assert "Completed, with the same" not in capsys.readouterr().out  # that one began with checkpoints
    launch(connection, volume, "count")
    assert capsys.readouterr().out == (
        f"{fresh.name} is Completed, with the same volume, image and hyperparameters. This launches another job; to look "
        f'at the results of that one, set job_name = "{fresh.name}".\n'
    )


def test_two_jobs_never_write_to_the_same_checkpoints(connection, volume, capsys, launch):
    run = f"balance-{uuid.uuid4().hex[:6]}"
    name = launch(connection, volume, "term;wait", trainer={"run": run})
    assert launch(connection, volume, "term;wait", trainer={"run": run}) == name
    assert f"{name} is running with the same volume, image and hyperparameters" in capsys.readouterr().out
    refused = rf"{name} is InProgress and keeps its checkpoints at s3://.*/{run}/\. Wait for its end"
    with pytest.raises(training.TrainingError, match=refused):
        launch(connection, volume, "term;wait", trainer={"run": run}, max_steps=200)
    new = launch(connection, volume, "term;wait")  # the same, but from the beginning
    assert new != name
    for job in (name, new):
        training.stop(connection, job)
        follow(connection, job)


def test_a_job_starts_from_an_earlier_one(connection, volume, capsys, launch):
    first = follow(connection, launch(connection, volume, "count"))
    put_checkpoint(connection, first)
    name = launch(connection, volume, "count;term;wait", start_from=first)
    assert launch(connection, volume, "count;term;wait", start_from=first.name) == name
    output = capsys.readouterr().out
    assert output.count(f"Starting from {first.name}: 2 files copied to s3://{connection.bucket}/checkpoints/") == 1
    wait_until_it_waits(connection, name)
    training.stop(connection, name)
    second = follow(connection, name)
    assert second.goes_on_from == f"job {first.name}"
    assert second.checkpoints != first.checkpoints
    assert read_log(connection, name)[0] == "count 2"
    third = follow(connection, launch(connection, volume, "count", start_from=first))
    assert read_log(connection, third.name) == ["count 2"]  # what the first one kept is as it was


def test_nothing_to_start_from(connection, volume, launch):
    plain = follow(connection, create(connection, volume, "count"))
    with pytest.raises(training.TrainingError, match=f"{plain.name} kept no checkpoints, so nothing can start from it"):
        launch(connection, volume, "", start_from=plain)
    empty = follow(connection, launch(connection, volume, "count"))
    message = rf"{empty.name} \(Completed\) saved nothing to start from. Expected checkpoints at {empty.checkpoints}"
    with pytest.raises(training.TrainingError, match=message):
        launch(connection, volume, "", start_from=empty)
    with pytest.raises(training.TrainingError, match="Expected a training job named mlagents-never, found none"):
        launch(connection, volume, "", start_from="mlagents-never")
    running = launch(connection, volume, "term;wait")
    with pytest.raises(training.TrainingError, match=f"{running} is still InProgress. Wait for its end, or stop it"):
        launch(connection, volume, "", start_from=running)
    training.stop(connection, running)
    follow(connection, running)


def test_checkpoints_of_another_version_are_refused(connection, volume, launch):
    """Those of an earlier job, and those in the folder of a named run."""
    earlier = follow(connection, launch(connection, volume, "count", trainer={"run": "versions"}))
    bucket, _, key = earlier.checkpoints.removeprefix("s3://").partition("/")
    connection.client("s3").put_object(Bucket=bucket, Key=f"{key}results/run/3DBall/3DBall-20.pt", Body=b"saved")
    found = f"of ML-Agents 0.11.0 at {earlier.checkpoints}, found those of 1.1.0, which it can't read."
    for options in ({"start_from": earlier}, {"trainer": {"run": "versions"}}):
        with pytest.raises(training.TrainingError, match=found):
            launch(connection, volume, "", **options)
    later = IMAGE.replace("0.11.0", "1.1.0")
    name = launch(connection, volume, "count", start_from=earlier, trainer={"image": later})
    job = follow(connection, name)
    assert (job.trainer, job.model_suffix) == ("1.1.0", ".onnx")
    assert (earlier.trainer, earlier.model_suffix) == ("0.11.0", ".nn")


def test_a_job_whose_image_names_no_version_says_that_of_its_build(connection, volume, make_trainer, tmp_path):
    make_sample_build(tmp_path, trainer="1.1.0")
    given = {"max_steps": "20000"}
    for image, said in (("my-own:7", {"trainer-version": "1.1.0"}), (IMAGE.replace("0.11.0", "1.1.0"), {})):
        made = make_trainer(connection, volume, {"max_steps": 20000}, image=image)
        assert launching.make_request(connection, *made, tmp_path)["HyperParameters"] == given | said


def test_an_interrupted_spot_job_continues(connection, volume, capsys, launch):
    do = f"count;say {SUMMARY.format(20, '0.5')};wait 0.5;say {SUMMARY.format(40, '0.5')};until 2"
    name = launch(connection, volume, do, trainer={"spot": True})
    description = connection.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert description["EnableManagedSpotTraining"] is True
    assert description["StoppingCondition"] == {"MaxRuntimeInSeconds": 120, "MaxWaitTimeInSeconds": 240}
    training.interrupt(connection, name, after_step=40, seconds=0.2, poll_seconds=0.05)
    assert f"{name}: the instance was taken away after step 40. There is no other for 0.2 s." in capsys.readouterr().out
    job = follow(connection, name)
    assert (job.status, job.spot, job.interruptions) == ("Completed", True, 1)
    assert job.saved_seconds == job.training_seconds - job.billable_seconds
    assert job.saved_percent == pytest.approx(100 * (1 - job.billable_seconds / job.training_seconds))
    assert f"spot saved {job.saved_percent:.0f} %), interrupted once" in str(job)
    assert [line for line in read_log(connection, name) if line.startswith("count")] == ["count 1", "count 2"]


def test_jobs_that_cannot_be_interrupted(connection, volume, capsys):
    name = create(connection, volume, "say none;wait 0.1")
    with pytest.raises(training.TrainingError, match="Completed after .*\nIt ended before it could be interrupted aft"):
        training.interrupt(connection, name, after_step=40, poll_seconds=0.05)
    name = create(connection, volume, "term;wait")
    with pytest.raises(training.TrainingError, match="it was not created with EnableManagedSpotTraining"):
        training.interrupt(connection, name, poll_seconds=0.05)
    with pytest.raises(training.TrainingError, match="whole number of steps, 0 or more, found -1"):
        training.interrupt(connection, name, after_step=-1)
    training.stop(connection, name)
    follow(connection, name)
    capsys.readouterr()
    training.interrupt(dataclasses.replace(connection, target="aws", endpoint=None), name)
    assert capsys.readouterr().out == ("AWS takes spot instances away when it needs them. It can't be requested.\n")


def test_a_failed_job_says_why(connection, volume):
    job = follow(connection, create(connection, volume, "failure The player crashed at step 5.;exit 1"))
    assert job.status == "Failed"
    assert "The player crashed at step 5." in job.failure
    assert str(job).startswith(f"{job.name}: Failed after ")
    assert str(job).endswith(job.failure)


def test_a_completed_job_reports_why_it_did_not_learn(connection, volume):
    reason = "Every brain reached its max_steps. No episode of Test ended."
    job = follow(connection, create(connection, volume, f"say train: completed. {reason}"))
    assert (job.status, job.reason) == ("Completed", reason)
    assert (
        str(job)
        == f"{job.name}: Completed after {job.training_seconds} s of training, {job.billable_seconds} s billed\n{reason}"
    )


def test_the_error_for_an_unknown_job_names_the_newest(connection, volume):
    name = create(connection, volume, "say hello")
    follow(connection, name)
    with pytest.raises(training.TrainingError) as error:
        training.find(connection, "mlagents-nowhere")
    assert str(error.value).startswith("Expected a training job named mlagents-nowhere, found none on embedded.")
    assert name in str(error.value)


def test_a_refused_job_is_an_error(connection, volume, launch):
    with pytest.raises(training.TrainingError) as error:
        launch(connection, volume, "", trainer={"instance_type": "ml.c5.xlarg"})
    assert str(error.value).startswith(
        "SageMaker refused the job, nothing was started: it does not know the instance type ml.c5.xlarg. The nearest: "
        "ml.c5.xlarge, "
    )


def test_stopping_needs_a_name(connection):
    with pytest.raises(training.TrainingError, match="Expected the name of the job to stop, found none"):
        training.stop(connection, "")


def test_interrupting_leaves_the_job_running(connection, volume, monkeypatch, capsys):
    name = create(connection, volume, "term;wait")

    def interrupt(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(following.time, "sleep", interrupt)
        job = training.follow(connection, name)
    assert job.status == "InProgress"
    output = capsys.readouterr().out
    assert f'training.follow(connection, "{name}")' in output
    assert f'training.stop(connection, "{name}")' in output
    assert training.find(connection, name).status == "InProgress"
    training.stop(connection, name)
    follow(connection, name)


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": code}}, "Any")


@pytest.mark.parametrize(
    ("statuses", "output"),
    [
        (["Completed"], "has ended already: Completed."),
        (["Stopping"], "is stopping already."),
        (["InProgress", "Completed"], "has ended already: Completed."),  # between the look at it and the request
        (["InProgress", "Stopping"], "is stopping already."),
        (["InProgress", "InProgress"], None),  # refused for another reason
    ],
)
def test_stopping_an_ended_job_changes_nothing(connection, capsys, statuses, output):
    def refuse():
        raise refusal("ValidationException")

    jobs = (SimpleNamespace(status=status, ended=status == "Completed") for status in statuses)
    with pytest.raises(ClientError) if output is None else contextlib.nullcontext():
        stop_once(connection, "x", lambda: next(jobs), refuse, str)
    assert capsys.readouterr().out == ("" if output is None else f"x {output}\n")


WORDS = following.StatusHint("x goes on", "again(x)", "stop(x)")
GONE = EndpointConnectionError(endpoint_url="https://sagemaker")
THROTTLED = refusal("ThrottlingException")


def follow_answers(connection, monkeypatch, answers, endpoint=None):
    """Follow something whose looks end as given: an error, or whether it has ended. Return the pauses between."""
    remaining, pauses = iter(answers), []

    def look():
        outcome = next(remaining)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(following.time, "sleep", pauses.append)
    following.Follower(replace(connection, endpoint=endpoint), lambda: WORDS, 20.0).until(look)
    return pauses


def test_throttling_slows_polling_down(connection, monkeypatch):
    looks = [THROTTLED, False, THROTTLED, THROTTLED, True]
    assert follow_answers(connection, monkeypatch, looks) == [40.0, 20.0, 40.0, 60.0]


@pytest.mark.parametrize(
    ("answers", "endpoint", "error", "message"),
    [
        ([GONE], "here", training.TrainingError, "no longer answers.*Run the notebook again from its first cell"),
        ([GONE] * 21, None, training.TrainingError, r"AWS cannot be reached.* x goes on, and is billed meanwhile\."),
        ([False, refusal("AccessDeniedException")], None, ClientError, "AccessDenied"),
        (
            [refusal("ExpiredToken")],
            None,
            training.TrainingError,
            "credentials have expired.*To follow it again:\n    again",
        ),
    ],
)
def test_a_lost_target_ends_following(connection, monkeypatch, answers, endpoint, error, message):
    with pytest.raises(error, match=message):
        follow_answers(connection, monkeypatch, answers, endpoint)


def test_temporary_network_failures_are_tolerated(connection, monkeypatch):
    looks = [*[GONE] * 20, False, *[GONE] * 20, True]
    assert follow_answers(connection, monkeypatch, looks) == [20.0] * 41


EXPIRED = ("ExpiredTokenException", 400)


@pytest.mark.parametrize("error", [EXPIRED, UnauthorizedSSOTokenError()])
def test_credentials_that_expire_while_a_job_runs(connection, volume, failing, error):
    name = create(connection, volume, "term;wait")
    goes_on = re.escape(
        f'{name} goes on, and is billed meanwhile. To follow it again:\n    training.follow(connection, "{name}")'
    )
    with (
        failing("before-call.sagemaker.DescribeTrainingJob", None, error) as aws,
        pytest.raises(training.TrainingError, match=f"Your AWS credentials have expired.*aws sso login.*{goes_on}"),
    ):
        training.follow(aws, name, poll_seconds=0.1)
    with failing("before-call.sagemaker.DescribeTrainingJob", error) as aws:
        for ask, message in (
            (training.follow, f"{name} goes on, and is billed meanwhile"),
            (training.find, f"{name} goes on while it runs, and is billed."),
            (training.stop, f"{name} was not stopped. It goes on, and is billed until it ends."),
        ):
            with pytest.raises(training.TrainingError, match=f"credentials have expired.*aws sso login.*{message}"):
                ask(aws, name)
    assert training.find(connection, name).status == "InProgress"
    training.stop(connection, name)
    follow(connection, name)


@pytest.mark.parametrize(
    "call, message",
    [
        ("ListTrainingJobs", "Nothing was launched"),
        ("CreateTrainingJob", r"It is unknown whether (mlagents-\S+) was launched.*job_name = \"\1\""),
    ],
)
def test_credentials_that_expire_before_a_launch(connection, volume, failing, call, message, launch):
    with (
        failing(f"before-call.sagemaker.{call}", EXPIRED) as aws,
        pytest.raises(training.TrainingError, match=f"credentials have expired.*aws sso login.*{message}"),
    ):
        launch(aws, volume, "say never", **{"run-id": call})


def test_the_log_is_read_as_it_grows(connection, volume):
    name = create(connection, volume, "say one;say two;model x")
    follow(connection, name)
    log = training.Log(connection, name)
    log.read()
    log.read()
    assert [line for line in log.lines if line in ("one", "two")] == ["one", "two"]


def test_a_long_log_is_read_completely(connection, volume):
    name = create(connection, volume, "flood 25000")
    follow(connection, name)
    log = training.Log(connection, name)
    log.read()
    assert [line for line in log.lines if line.startswith("line ")] == [f"line {number}" for number in range(25000)]


def test_fetch_gets_model_output_and_log(connection, volume, tmp_path):
    job = follow(connection, create(connection, volume, "say hello;model trained;data summed"))
    place = training.fetch(connection, job, tmp_path)
    assert place == tmp_path / job.name
    assert (place / "model.nn").read_text() == "trained"
    assert (place / "summary.txt").read_text() == "summed"
    assert "hello" in (place / "log.txt").read_text().splitlines()
    assert [path.name for path in tmp_path.iterdir()] == [job.name]
    (place / "model.nn").write_text("mine")
    assert training.fetch(connection, job, tmp_path) == place  # again, nothing is fetched
    assert (place / "model.nn").read_text() == "mine"


@pytest.mark.parametrize("event", ["logs.DescribeLogStreams", "s3.HeadObject"])
def test_credentials_that_expire_during_a_fetch(connection, volume, tmp_path, failing, event):
    job = follow(connection, create(connection, volume, "model trained"))
    message = f"credentials have expired.*aws sso login.*{job.name} has ended and is not billed; fetch it again later"
    with failing(f"before-call.{event}", EXPIRED) as aws, pytest.raises(training.TrainingError, match=message):
        training.fetch(aws, job, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fetch_of_a_running_job(connection, volume, tmp_path):
    name = create(connection, volume, "term;wait")
    with pytest.raises(training.TrainingError, match="is still InProgress. Follow it to its end"):
        training.fetch(connection, training.find(connection, name), tmp_path)
    training.stop(connection, name)
    follow(connection, name)


def test_fetch_of_a_failed_job_gets_its_output(connection, volume, tmp_path):
    job = follow(connection, create(connection, volume, "data summed;failure It broke.;exit 1"))
    place = training.fetch(connection, job, tmp_path)
    assert (place / "summary.txt").read_text() == "summed"


def test_fetch_of_a_job_without_results(connection, volume, tmp_path):
    job = follow(connection, create(connection, volume, "failure It broke.;exit 1"))
    s3 = connection.client("s3")
    for listed in s3.list_objects_v2(Bucket=connection.bucket, Prefix=job.output.split("/", 3)[3]).get("Contents", []):
        s3.delete_object(Bucket=connection.bucket, Key=listed["Key"])
    with pytest.raises(training.TrainingError, match=r"\(Failed\) left neither model nor output\. .*It broke\."):
        training.fetch(connection, job, tmp_path)
    assert list(tmp_path.iterdir()) == []
