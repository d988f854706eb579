"""``python -m account_check.policies``: print a policy with its placeholders filled."""

import argparse
import json

from account_check import policies


def main(argv: list[str] | None = None) -> None:
    """Print one of the policies for an account."""
    parser = argparse.ArgumentParser(prog="python -m account_check.policies", description=main.__doc__)
    parser.add_argument("policy", choices=policies.NAMES)
    parser.add_argument("--account", required=True, help="the account's 12 digits")
    parser.add_argument("--region", required=True, help="such as us-east-1")
    parser.add_argument("--role", required=True, help="name of the execution role")
    parser.add_argument("--bucket", default="", help="default: mlagents-<region>-<account>")
    parser.add_argument("--user", default="", help="ARN of who uses the notebooks; default: user/mlagents")
    parser.add_argument("--kms-key", default="", help="ARN of the KMS key that is encrypted with")
    parser.add_argument("--vpc", action="store_true", help="jobs run in a VPC")
    given = parser.parse_args(argv)
    try:
        names = policies.Names(
            account=given.account,
            region=given.region,
            bucket=given.bucket or f"mlagents-{given.region}-{given.account}",
            role=given.role,
            user=given.user or f"arn:{policies.partition(given.region) or 'aws'}:iam::{given.account}:user/mlagents",
            key=given.kms_key,
            vpc=given.vpc,
        )
    except policies.PolicyError as error:
        parser.error(str(error))
    print(json.dumps(policies.fill(given.policy, names), indent=2))


if __name__ == "__main__":
    main()
