"""The SDK's requests, read without sending them: held to what the installed version of the SDK sends."""

import pytest

from training_jobs import TrainingError, sdk_request


def test_the_request_is_the_one_that_the_sdk_sends(connection, make_trainer):
    """Fails where a new SDK no longer ends in this call, or no longer takes its client from the trainer's session."""
    trainer, channels = make_trainer(connection, f"s3://{connection.bucket}/unity-volume/abc/", {"do": "", "x": True})
    read = sdk_request.read_training(connection, trainer, channels, {"do": "", "x": "true"})
    sent = {}
    events = connection.session.events
    events.register("provide-client-params.sagemaker.CreateTrainingJob", lambda params, **_: sent.update(params))
    events.register("before-send.sagemaker.CreateTrainingJob", lambda **_: 1 / 0, unique_id="unsent")
    with connection.sdk(), pytest.raises(ZeroDivisionError):
        trainer.train(input_data_config=channels, wait=False, logs=False)
    events.unregister("before-send.sagemaker.CreateTrainingJob", unique_id="unsent")
    names = {read.pop("TrainingJobName"), sent.pop("TrainingJobName")}  # made of the second
    assert all(name.startswith("mlagents-2") for name in names)
    assert read == sent
    assert trainer.sagemaker_session.boto_session is connection.session  # it is as it was


def test_nothing_can_be_created_while_a_request_is_read(connection, make_trainer, tmp_path):
    (tmp_path / "player").write_bytes(b"player")
    trainer, channels = make_trainer(connection, str(tmp_path), {})
    with pytest.raises(
        TrainingError, match=r"found that the SDK would first call (s3|sts)\.\w+\. Upload with volume.upload"
    ):
        sdk_request.read_training(connection, trainer, channels, {})
    client = sdk_request._open_session("us-east-1", "b").boto_session.client("sts")
    with pytest.raises(sdk_request._UploadError, match="sts.GetCallerIdentity"):
        client.get_caller_identity()


def test_refusals_of_the_sdk_are_reported(connection, make_trainer):
    trainer, _ = make_trainer(connection, "s3://b/v/", {})
    with pytest.raises(TrainingError, match="The SageMaker SDK refuses the trainer or its channels: "):
        sdk_request.read_training(connection, trainer, ["unity-volume"], {})


def test_telemetry_is_off_while_a_request_is_read(connection, make_trainer, monkeypatch):
    """No use of the SDK is reported that the reader did not make."""
    sent = []
    telemetry = "sagemaker.core.telemetry.telemetry_logging._send_telemetry_request"
    monkeypatch.setattr(telemetry, lambda *given: sent.append(given))
    trainer, channels = make_trainer(connection, "s3://b/v/", {})
    sdk_request.read_training(connection, trainer, channels, {})
    assert sent == []
