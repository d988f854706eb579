"""The account that is checked, and findings about calls that AWS refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import code
from common.findings import Finding

# One retry and short timeouts, so that the report does not take long.
QUICK = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403")
POLICY = "packages/account_check/user.json"


@dataclass(frozen=True)
class CheckedAccount:
    """The account, region and names to check.

    Attributes
    ----------
    target : str
        ``"embedded"`` or ``"aws"``.
    session : boto3.Session
    account : str
        Its 12 digits.
    user : str
        ARN of the caller.
    region : str
    bucket : str
    role : str
        Name or ARN; may be empty.
    kms_key : str
        ARN of the key to encrypt with; empty for none.
    vpc : bool
        Whether jobs run in a VPC.
    """

    target: str
    session: Any
    account: str
    user: str
    region: str
    bucket: str
    role: str
    kms_key: str = ""
    vpc: bool = False

    def client(self, service: str) -> Any:
        """Return a client with short timeouts."""
        return self.session.client(service, config=QUICK)

    @property
    def role_name(self) -> str:
        """The role's name without its path."""
        return self.role.rpartition("/")[2]


def header(response: dict[str, Any], name: str) -> str:
    """Return a header of a response or of an error's response; empty if it is missing."""
    return response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(name, "")


def unanswered(place: CheckedAccount, name: str, error: BotoCoreError | ClientError) -> Finding:
    """Return a finding for a call that failed."""
    if not isinstance(error, ClientError):
        todo = "Check the network, a proxy and the region's name, then run this again."
        return Finding("error", f"AWS could not be reached: {error}.", todo, name)
    call = error.operation_name
    if place.target == "embedded":
        return Finding("note", f"The embedded AWS does not have {call}.", "On AWS this is checked.", name)
    if code(error) in DENIED:
        todo = f"Ask for the right to look ({POLICY} has it), or look in the console."
        return Finding("warning", f"Not known: your credentials may not call {call}.", todo, name)
    return Finding("warning", f"Not known: {error}", "Run this again; if it stays, look in the console.", name)
