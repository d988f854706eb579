"""SageMaker's calls about training jobs and tuning jobs alike: their tags, and the search for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagemaker_local.jobs import Jobs
from sagemaker_local.record import Record
from sagemaker_local.schema import AwsError, check, invalid, read_tags
from sagemaker_local.search import RECORDS, Found, find_limits, search, suggest
from sagemaker_local.tuning.jobs import TuningJobs
from sagemaker_local.tuning.record import Tuning

Answer = dict[str, Any] | None
MOST_TAGS = 50
KINDS = (":training-job/", ":hyper-parameter-tuning-job/")


class ResourceApi:
    """The calls that are about both; see `TrainingApi`."""

    def __init__(self, jobs: Jobs, tunings: TuningJobs):
        self.jobs, self.tunings = jobs, tunings
        self.calls: dict[str, Callable[[dict[str, Any], str], Answer]] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
            "Search": lambda request, region: search(self._all(request, region), request),
            "GetSearchSuggestions": lambda request, region: suggest(self._all(request, region), request),
        }

    def knows(self, call: str, request: dict[str, Any]) -> bool:
        """Return whether a call is one about training jobs or tuning jobs.

        Raise `AwsError` if it is a search for something else, with what moto passes over.
        """
        about_kind = any(kind in str(request.get("ResourceArn")) for kind in KINDS)
        ours = about_kind or request.get("Resource") in RECORDS
        if call == "Search" and not ours and (limits := find_limits(check(call, request))):
            raise invalid(
                f"The embedded AWS searches for {' and '.join(RECORDS)} alone with {', '.join(limits)}; for "
                f"{request['Resource']} it knows Filters that must all hold."
            )
        return call in self.calls and ours

    def _by_arn(self, arn: str, region: str) -> Record | Tuning:
        records = self.jobs.records if KINDS[0] in arn else self.tunings.records
        found = next((one for one in list(records.values()) if one.arn == arn and one.region == region), None)
        if found is None and KINDS[0] in arn:
            raise invalid("Requested resource not found.")
        if found is None:
            raise AwsError("ResourceNotFound", "Requested resource not found.")
        return found

    def _list_tags(self, request: dict[str, Any], region: str) -> Answer:
        return {"Tags": _tags(self._by_arn(request["ResourceArn"], region))}

    def _add_tags(self, request: dict[str, Any], region: str) -> Answer:
        owner = self._by_arn(request["ResourceArn"], region)
        with owner.lock:
            tags = {**owner.tags, **read_tags(request["Tags"])}
            if len(tags) > MOST_TAGS:
                raise invalid(f"A resource can have {MOST_TAGS} tags at most, this one would have {len(tags)}")
            owner.tags = tags
            owner.save()
        return {"Tags": _tags(owner)}

    def _delete_tags(self, request: dict[str, Any], region: str) -> Answer:
        owner = self._by_arn(request["ResourceArn"], region)
        with owner.lock:
            for key in request["TagKeys"]:
                owner.tags.pop(key, None)
            owner.save()
        return {}

    def _all(self, request: dict[str, Any], region: str) -> list[Found]:
        """Return all that a search is to look at, as Search gives it."""
        if request["Resource"] == "TrainingJob":
            jobs = [job for job in list(self.jobs.records.values()) if job.region == region]
            return [Found(job.name, job.tags, job.describe, _known(job)) for job in jobs]
        tunings = [one for one in list(self.tunings.records.values()) if one.region == region]
        return [Found(one.name, one.tags, lambda one=one: one.describe(self.tunings.trainings(one))) for one in tunings]


def _known(job: Record) -> dict[str, Any]:
    known = {"TrainingJobName": job.name, "TrainingJobStatus": job.status}
    return {**known, "CreationTime": job.created, "LastModifiedTime": job.modified}


def _tags(owner: Record | Tuning) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in owner.tags.items()]
