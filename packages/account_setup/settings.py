"""What a reader chooses for the account, checked before AWS sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAIL = re.compile(r"[\w+%'-]+(?:\.[\w+%'-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}", re.ASCII)


class SetUpError(RuntimeError):
    """The account cannot be set up as asked; the message says why, what is there now, and what to do."""


@dataclass(frozen=True)
class Settings:
    """What the stack is to hold.

    Attributes
    ----------
    bucket : str
        Empty for ``mlagents-<region>-<account>``.
    role : str
        Name of the role that jobs run as.
    policy : str
        Name of the policy for whoever uses the notebooks.
    user : str
        ARN of whoever uses the notebooks; empty for who makes the stack.
    kms_key : str
        ARN of the KMS key that encrypts; empty for S3's own keys.
    vpc : bool
        Whether jobs run in a VPC.
    keep_days : int
        After how many days builds, checkpoints and results are deleted; 0 keeps them.
    mail : str
        Who learns of jobs that end or fail; empty for nobody.
    budget_usd : float
        Cost of a month at which `budget_mail` learns of it, USD; 0 for no budget.
    budget_mail : str
        Empty for `mail`.

    Raises
    ------
    SetUpError
        If one of them cannot be used, with all that is wrong. The names are checked once account and region are known.
    """

    bucket: str = ""
    role: str = "mlagents-training"
    policy: str = "mlagents-notebooks"
    user: str = ""
    kms_key: str = ""
    vpc: bool = False
    keep_days: int = 0
    mail: str = ""
    budget_usd: float = 0
    budget_mail: str = ""

    def __post_init__(self):
        days = isinstance(self.keep_days, int) and not isinstance(self.keep_days, bool)
        usd = isinstance(self.budget_usd, (int, float)) and not isinstance(self.budget_usd, bool)
        checks = (
            (days and 0 <= self.keep_days <= 36_500, "keep_days to be whole days, or 0 to keep", self.keep_days),
            (usd and 0 <= self.budget_usd < 1e9, "budget_usd to be a sum in USD, or 0 for no budget", self.budget_usd),
            (not self.mail or MAIL.fullmatch(self.mail), "mail to be an address such as me@example.com", self.mail),
            (
                not self.budget_mail or MAIL.fullmatch(self.budget_mail),
                "budget_mail to be an address such as me@example.com",
                self.budget_mail,
            ),
            (not self.budget_usd or self.mail or self.budget_mail, "an address for the budget's mail", ""),
            (re.fullmatch(r"[\w+=,.@-]{1,128}", self.policy, re.ASCII), "policy to be a policy's name", self.policy),
            ("/" not in self.role, "role to be a name without a path", self.role),
        )
        if problems := [f"Expected {wanted}, found {found!r}." for good, wanted, found in checks if not good]:
            raise SetUpError("\n".join(problems))
