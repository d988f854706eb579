"""Checks of the quotas: how many instances of a type the account may use at once for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from account_check.checked_account import CheckedAccount, code
from account_check.policies import partition
from common.findings import Finding

# In the partition "aws"; the others have consoles elsewhere.
CONSOLE = "https://{region}.console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas/{code}"
KINDS = {
    "quota": "{} for training job usage",
    "quota, spot": "{} for spot training job usage",
    "quota, warm pool": "{} for training warm pool usage",
}


def check_quota(place: CheckedAccount, instance_type: str, spot: bool, keep_alive: bool = False) -> Iterator[Finding]:
    """Check the quotas for on-demand and spot instances and, with `keep_alive`, for warm pools.

    A zero quota that the job does not use is only a note. So is one for warm pools: SageMaker trains without one. New
    accounts have zero for most types, and an increase takes hours to days.
    """
    names = {kind: name.format(instance_type) for kind, name in KINDS.items() if keep_alive or "pool" not in kind}
    found = find_quotas(place.client("service-quotas"), set(names.values()))
    for kind, name in names.items():
        used = kind == ("quota, spot" if spot else "quota")
        quota = found.get(name)
        if quota is None:
            todo = f"Is the type's name right, and is it offered in {place.region}? https://aws.amazon.com/sagemaker/pricing/"
            yield Finding("error" if used else "note", f"SageMaker has no quota '{name}'.", todo, kind)
        elif quota["Value"] >= 1:
            yield Finding("ok", f"{quota['Value']:.0f} x {name}.", "", kind)
        else:
            console = CONSOLE.format(region=place.region, code=quota["QuotaCode"])
            todo = (
                f"Ask for 1: `aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code "
                f"{quota['QuotaCode']} --desired-value 1 --region {place.region}`"
                f"{f', or {console}' if partition(place.region) == 'aws' else ''}. It takes hours to days."
            )
            yield Finding("error" if used else "note", f"0 x {name}.", todo, kind)


def find_quotas(client: Any, names: set[str]) -> dict[str, dict[str, Any]]:
    """Return quotas by name: the account's value, or else AWS's default, which another call lists.

    Raises
    ------
    botocore.exceptions.ClientError
        If they cannot be listed.
    """
    found: dict[str, dict[str, Any]] = {}
    for listing in ("list_service_quotas", "list_aws_default_service_quotas"):
        try:
            for page in client.get_paginator(listing).paginate(ServiceCode="sagemaker"):
                found = {q["QuotaName"]: q for q in page["Quotas"] if q["QuotaName"] in names} | found
                if found.keys() >= names:
                    return found
        except ClientError as error:
            if not found or code(error) == "TooManyRequestsException":
                raise
    return found
