"""SageMaker's training-job calls, answered by the jobs that really run here."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from sagemaker_local.jobs import ACCOUNT, Jobs, require_in_progress
from sagemaker_local.record import Record
from sagemaker_local.schema import invalid

Answer = dict[str, Any] | None
PRINCIPAL = "sagemaker.amazonaws.com"


class TrainingApi:
    """The calls about training jobs: a checked request and the caller's region go in, the response comes out."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self.calls: dict[str, Callable[[dict[str, Any], str], Answer]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": lambda request, region: self._get(request, region).describe(),
            "ListTrainingJobs": jobs.list,
            "StopTrainingJob": lambda request, region: jobs.stop(self._get(request, region)),
            "UpdateTrainingJob": self._update,
            "DeleteTrainingJob": lambda request, region: jobs.delete(self._get(request, region)),
        }

    def _create(self, request: dict[str, Any], region: str) -> Answer:
        require_role(request["RoleArn"])
        return {"TrainingJobArn": self.jobs.create(request, region).arn}

    def _get(self, request: dict[str, Any], region: str) -> Record:
        return self.jobs.get(request["TrainingJobName"], region)

    def _update(self, request: dict[str, Any], region: str) -> Answer:
        """Update a running job's profiling and debugging settings, which have no effect here, and its warm pool.

        The pool of a job that has ended can be updated as long as it is kept. 0 seconds end it.
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
    """Make sure that a role is there and that SageMaker may assume it. Raise `AwsError` as SageMaker, if not."""
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
