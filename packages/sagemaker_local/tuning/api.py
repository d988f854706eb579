"""SageMaker's calls for tuning jobs, which really run here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sagemaker_local.paging import page
from sagemaker_local.record import Record
from sagemaker_local.training_api import require_role
from sagemaker_local.tuning.jobs import TuningJobs
from sagemaker_local.tuning.record import objective

Response = dict[str, Any] | None
NAME = "HyperParameterTuningJobName"


class TuningApi:
    """The calls for tuning jobs; see `TrainingApi`."""

    def __init__(self, tunings: TuningJobs):
        self.tunings = tunings
        self.calls: dict[str, Callable[[dict[str, Any], str], Response]] = {
            "CreateHyperParameterTuningJob": self._create,
            "DescribeHyperParameterTuningJob": self._describe,
            "ListHyperParameterTuningJobs": self._list,
            "StopHyperParameterTuningJob": lambda request, region: tunings.stop(tunings.get(request[NAME], region)),
            "DeleteHyperParameterTuningJob": lambda request, region: tunings.delete(tunings.get(request[NAME], region)),
            "ListTrainingJobsForHyperParameterTuningJob": self._list_trainings,
        }

    def _create(self, request: dict[str, Any], region: str) -> Response:
        if definition := request.get("TrainingJobDefinition"):  # `create` refuses a request without one
            require_role(definition["RoleArn"])
        return {"HyperParameterTuningJobArn": self.tunings.create(request, region).arn}

    def _describe(self, request: dict[str, Any], region: str) -> Response:
        tuning = self.tunings.get(request[NAME], region)
        return tuning.describe(self.tunings.trainings(tuning))

    def _list(self, query: dict[str, Any], region: str) -> Response:
        by = {"CreationTime": "created", "Status": "status"}.get(query.get("SortBy", "Name"), "name")
        summaries = [
            (tuning, tuning.summary(self.tunings.trainings(tuning)))
            for tuning in list(self.tunings.records.values())
            if tuning.region == region
            and query.get("NameContains", "").lower() in tuning.name.lower()
            and query.get("StatusEquals", tuning.status) == tuning.status
        ]
        found = [one for one in summaries if _in_time(one[1], query)]
        entries, token = page(found, query, lambda one: (getattr(one[0], by), one[0].name))
        return _paged({"HyperParameterTuningJobSummaries": [summary for _, summary in entries]}, token)

    def _list_trainings(self, query: dict[str, Any], region: str) -> Response:
        tuning = self.tunings.get(query[NAME], region)
        jobs = [job for job in self.tunings.trainings(tuning) if query.get("StatusEquals", job.status) == job.status]
        by = query.get("SortBy", "Name")
        if by == "FinalObjectiveMetricValue":  # per the API reference, jobs without a value are left out
            jobs = [job for job in jobs if objective(job) is not None]
        entries, token = page(jobs, query, lambda job: (_sorted_by(job, by), job.name))
        return _paged({"TrainingJobSummaries": [tuning.summarise(job) for job in entries]}, token)


def _sorted_by(job: Record, by: str) -> Any:
    return {
        "Name": job.name,
        "CreationTime": job.created,
        "Status": job.status,
        "FinalObjectiveMetricValue": objective(job),
    }[by]


def _in_time(summary: dict[str, Any], query: dict[str, Any]) -> bool:
    return all(
        query.get(f"{time}After", -math.inf) < summary[time] < query.get(f"{time}Before", math.inf)
        for time in ("CreationTime", "LastModifiedTime")
    )


def _paged(response: dict[str, Any], token: str | None) -> dict[str, Any]:
    return response if token is None else {**response, "NextToken": token}
