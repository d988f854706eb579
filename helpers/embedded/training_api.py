"""SageMaker's training-job calls, answered by the jobs that really run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers.embedded.jobs import Jobs
from helpers.embedded.record import Record
from helpers.embedded.schema import check, invalid
from helpers.embedded.search import search

Answer = dict[str, Any] | None


class TrainingApi:
    """Answers the calls about training jobs; `knows` says which those are."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self.calls: dict[str, Callable[[dict[str, Any], str], Answer]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": lambda request, _: jobs.get(request["TrainingJobName"]).describe(),
            "ListTrainingJobs": lambda request, _: jobs.list(request),
            "Search": lambda request, _: search(list(jobs.records.values()), request),
            "StopTrainingJob": lambda request, _: jobs.stop(request["TrainingJobName"]),
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def knows(self, call: str, request: dict[str, Any]) -> bool:
        """Say whether a call is one about training jobs."""
        if call == "Search":
            return request.get("Resource") == "TrainingJob"
        about_tags = call.endswith("Tags")
        return call in self.calls and (not about_tags or ":training-job/" in str(request.get("ResourceArn")))

    def answer(self, call: str, request: dict[str, Any], region: str) -> Answer:
        """Check a request against botocore's model and answer it.

        Raises
        ------
        AwsError
            With the code and sentence of the real service.
        """
        return self.calls[call](check(call, request), region)

    def _create(self, request: dict[str, Any], region: str) -> Answer:
        return {"TrainingJobArn": self.jobs.create(request, region).arn}

    def _by_arn(self, request: dict[str, Any]) -> Record:
        job = self.jobs.get(request["ResourceArn"].partition(":training-job/")[2])
        if job.arn != request["ResourceArn"]:
            raise invalid("Requested resource not found.")
        return job

    def _add_tags(self, request: dict[str, Any], _: str) -> Answer:
        job = self._by_arn(request)
        with job.lock:
            tags = {**job.tags, **{tag["Key"]: tag["Value"] for tag in request["Tags"]}}
            if len(tags) > 50:
                raise invalid(f"A resource can have 50 tags at most, this one would have {len(tags)}")
            job.tags = tags
            job.save()
        return self._list_tags(request, _)

    def _list_tags(self, request: dict[str, Any], _: str) -> Answer:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._by_arn(request).tags.items()]}

    def _delete_tags(self, request: dict[str, Any], _: str) -> Answer:
        job = self._by_arn(request)
        with job.lock:
            for key in request["TagKeys"]:
                job.tags.pop(key, None)
            job.save()
        return {}
