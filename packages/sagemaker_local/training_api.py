"""SageMaker's calls for training jobs, which really run here."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from sagemaker_local.jobs import ACCOUNT, Jobs, require_in_progress
from sagemaker_local.record import Record
from sagemaker_local.schema import invalid

Response = dict[str, Any] | None
PRINCIPAL = "sagemaker.amazonaws.com"


class TrainingApi:
    """The calls for training jobs: each takes a checked request and the caller's region, and returns the response."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self.calls: dict[str, Callable[[dict[str, Any], str], Response]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": lambda request, region: self._get(request, region).describe(),
            "ListTrainingJobs": jobs.list,
            "StopTrainingJob": lambda request, region: jobs.stop(self._get(request, region)),
            "UpdateTrainingJob": self._update,
            "DeleteTrainingJob": lambda request, region: jobs.delete(self._get(request, region)),
        }

    def _create(self, request: dict[str, Any], region: str) -> Response:
        require_role(request["RoleArn"])
        return {"TrainingJobArn": self.jobs.create(request, region).arn}

    def _get(self, request: dict[str, Any], region: str) -> Record:
        return self.jobs.get(request["TrainingJobName"], region)

    def _update(self, request: dict[str, Any], region: str) -> Response:
        """Update a running job's profiling and debugging settings, which have no effect here, and its warm pool.

        The pool of a job that has ended can be updated while it is kept; 0 seconds end it.
        """
        job = self._get(request, region)
        with job.lock:
            pool = job.warm_pool() or {}
            if pool.get("Status") != "Available" or request.keys() != {"TrainingJobName", "ResourceConfig"}:
                require_in_progress(job)
            else:
                job.kept_until = max(job.now(), job.ended + request["ResourceConfig"]["KeepAlivePeriodInSeconds"])
            for name in ("ProfilerConfig", "RemoteDebugConfig", "ResourceConfig"):
                if name in request:
                    job.request[name] = {**job.request.get(name, {}), **request[name]}
            if rules := request.get("ProfilerRuleConfigurations"):
                job.request["ProfilerRuleConfigurations"] = rules
            job.modified = job.now()
            job.save()
        return {"TrainingJobArn": job.arn}


def require_role(arn: str) -> None:
    """Raise SageMaker's `AwsError` unless a role exists and SageMaker may assume it."""
    if arn.split(":")[4] != ACCOUNT:
        raise invalid("RoleArn: Cross-account pass role is not allowed.")
    if not trusts(arn, PRINCIPAL):
        raise invalid(
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal '{PRINCIPAL}' to "
            "assume the role."
        )


def trusts(arn: str, principal: str) -> bool:
    """Return whether a role is there whose trust policy lets a service assume it."""
    from moto.iam.models import iam_backends  # here, so that the embedded AWS starts without it

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    document = next((role.assume_role_policy_document for role in roles if role.arn == arn), "{}")
    statements = _list(json.loads(document).get("Statement"))
    effects = {
        one.get("Effect")
        for one in statements
        if any(fnmatchcase("sts:assumerole", action.lower()) for action in _list(one.get("Action")))
        and {principal, "*"} & set(_services(one.get("Principal")))
    }
    return effects == {"Allow"}


def _services(principal: Any) -> list[str]:
    return _list(principal.get("Service")) if isinstance(principal, dict) else _list(principal)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
