"""SageMaker's calls for both training jobs and tuning jobs: tags and search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagemaker_local.jobs import Jobs
from sagemaker_local.record import Record
from sagemaker_local.schema import AwsError, check, invalid, read_tags
from sagemaker_local.search import RECORDS, Found, find_limits, search, suggest
from sagemaker_local.tuning.jobs import TuningJobs
from sagemaker_local.tuning.record import Tuning

Response = dict[str, Any] | None
MAX_TAGS = 50
KINDS = (":training-job/", ":hyper-parameter-tuning-job/")


class ResourceApi:
    """The calls for both kinds of jobs; see `TrainingApi`."""

    def __init__(self, jobs: Jobs, tunings: TuningJobs):
        self.jobs, self.tunings = jobs, tunings
        self.calls: dict[str, Callable[[dict[str, Any], str], Response]] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
            "Search": lambda request, region: search(self._all(request, region), request),
            "GetSearchSuggestions": lambda request, region: suggest(self._all(request, region), request),
        }

    def knows(self, call: str, request: dict[str, Any]) -> bool:
        """Return whether a call is about training jobs or tuning jobs.

        Raise `AwsError` if it is a search for other resources with options that moto ignores.
        """
        about_kind = any(kind in str(request.get("ResourceArn")) for kind in KINDS)
        is_ours = about_kind or request.get("Resource") in RECORDS
        if call == "Search" and not is_ours and (limits := find_limits(check(call, request))):
            raise invalid(
                f"The embedded AWS supports {', '.join(limits)} only in a search for {' or '.join(RECORDS)}; for "
                f"{request['Resource']} it supports only Filters that must all hold."
            )
        return call in self.calls and is_ours

    def _by_arn(self, arn: str, region: str) -> Record | Tuning:
        records = self.jobs.records if KINDS[0] in arn else self.tunings.records
        found = next((one for one in list(records.values()) if one.arn == arn and one.region == region), None)
        if found is None and KINDS[0] in arn:
            raise invalid("Requested resource not found.")
        if found is None:
            raise AwsError("ResourceNotFound", "Requested resource not found.")
        return found

    def _list_tags(self, request: dict[str, Any], region: str) -> Response:
        return {"Tags": _tags(self._by_arn(request["ResourceArn"], region))}

    def _add_tags(self, request: dict[str, Any], region: str) -> Response:
        owner = self._by_arn(request["ResourceArn"], region)
        with owner.lock:
            tags = {**owner.tags, **read_tags(request["Tags"])}
            if len(tags) > MAX_TAGS:
                raise invalid(f"A resource can have {MAX_TAGS} tags at most, this one would have {len(tags)}")
            owner.tags = tags
            owner.save()
        return {"Tags": _tags(owner)}

    def _delete_tags(self, request: dict[str, Any], region: str) -> Response:
        owner = self._by_arn(request["ResourceArn"], region)
        with owner.lock:
            for key in request["TagKeys"]:
                owner.tags.pop(key, None)
            owner.save()
        return {}

    def _all(self, request: dict[str, Any], region: str) -> list[Found]:
        """Return all resources that a search covers."""
        if request["Resource"] == "TrainingJob":
            jobs = [job for job in list(self.jobs.records.values()) if job.region == region]
            return [Found(job.name, job.tags, job.describe, _known(job)) for job in jobs]
        tunings = [tuning for tuning in list(self.tunings.records.values()) if tuning.region == region]
        return [
            Found(tuning.name, tuning.tags, lambda tuning=tuning: tuning.describe(self.tunings.trainings(tuning)))
            for tuning in tunings
        ]


def _known(job: Record) -> dict[str, Any]:
    known = {"TrainingJobName": job.name, "TrainingJobStatus": job.status}
    return {**known, "CreationTime": job.created, "LastModifiedTime": job.modified}


def _tags(owner: Record | Tuning) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in owner.tags.items()]
