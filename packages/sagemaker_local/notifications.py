"""EventBridge events of jobs that ended, and the emails that they cause.

No email is sent: each is written to a file in ``<home>/mail/``.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

from sagemaker_local.record import Record
from sagemaker_local.tuning.record import Tuning

KINDS = {
    "training-job": ("Training Job", "TrainingJob"),
    "hyper-parameter-tuning-job": ("HyperParameter Tuning Job", "HyperParameterTuningJob"),
}
"""Resource type in a job's ARN -> what its event is called, and how the names of the event's details begin."""


class Notifier:
    """Sends the event of each job that ended to the targets of the matching rules in its region.

    Parameters
    ----------
    folder
        ``<home>/mail``.
    rules
        The journal of EventBridge's requests. If the file does not exist, there are no rules.
    client
        Returns the boto3 client of a service in a region, for this same server.
    """

    def __init__(self, folder: Path, rules: Path, client: Callable[..., BaseClient]):
        self.folder, self.rules, self.client = folder, rules, client

    def notify(self, job: Record | Tuning) -> None:
        """Send the event of a job that ended; a failure is only logged."""
        if not self.rules.is_file():
            return
        try:
            self._send(make_event(job), job.region)
        except Exception:
            logging.exception("the event of %s was not sent", job.name)

    def _send(self, event: dict[str, Any], region: str) -> None:
        from moto.events.models import EventPattern  # here, so that the embedded AWS starts without it

        events = self.client("events", region)
        for rule in events.list_rules()["Rules"]:
            pattern = rule.get("EventPattern")
            if rule["State"] != "ENABLED" or not pattern or not EventPattern.load(pattern).matches_event(event):
                continue
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                if ":sns:" in target["Arn"]:
                    self._publish(target["Arn"], transform(event, target.get("InputTransformer")), region)

    def _publish(self, topic: str, text: str, region: str) -> None:
        subscriptions = self.client("sns", region).list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        for each in subscriptions:
            if each["Protocol"] == "email":
                mail = EmailMessage()
                mail["From"], mail["To"] = "AWS Notifications <no-reply@sns.amazonaws.com>", each["Endpoint"]
                mail["Subject"] = "AWS Notification Message"
                mail.set_content(text)
                self.folder.mkdir(exist_ok=True)
                new = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.new"
                new.write_bytes(bytes(mail))
                new.rename(new.with_suffix(".eml"))


def make_event(job: Record | Tuning) -> dict[str, Any]:
    """Return the event that SageMaker sends when a job's status changes.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    detail_type, kind = KINDS[job.arn.split(":")[5].partition("/")[0]]
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": f"SageMaker {detail_type} State Change",
        "source": "aws.sagemaker",
        "account": job.arn.split(":")[4],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": job.region,
        "resources": [job.arn],
        "detail": {
            f"{kind}Name": job.name,
            f"{kind}Arn": job.arn,
            f"{kind}Status": job.status,
            "FailureReason": job.failure or "",
        },
    }


def transform(event: dict[str, Any], transformer: dict[str, Any] | None) -> str:
    """Return the text that a target gets: the event, or the output of its input transformer."""
    if not transformer:
        return json.dumps(event)
    values: dict[str, Any] = {}
    for name, path in transformer.get("InputPathsMap", {}).items():
        values[name] = event
        for part in path.removeprefix("$.").split("."):
            values[name] = values[name][part]
    return re.sub("<([^>]+)>", lambda found: str(values[found[1]]), transformer["InputTemplate"])
