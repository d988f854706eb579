"""Look at an AWS account before anything is sent there: is all there that a training needs, and if not, how to get it.

>>> from helpers import preflight
>>> preflight.check("aws", role="mlagents-training", instance_type="ml.c5.xlarge")  # doctest: +SKIP

One table tells of credentials, region, clock, bucket, role, rights, registry, quotas, Docker and disk. It changes
nothing, and it needs no right that `packages/account_check/policies/user.json` does not hold.
"""

from account_check.preflight.check import PreflightError, PreflightReport, check

__all__ = ["PreflightError", "PreflightReport", "check"]
