"""An AWS account for the notebooks: one CloudFormation stack that sets it up, and the deletion of everything."""

from account_setup.leftovers import KINDS, LeftoversError, delete, find
from account_setup.settings import Settings, SetUpError
from account_setup.stack import (
    STACK,
    ChangeSet,
    delete_stack,
    explain,
    explained,
    follow,
    make_request,
    wait_for_change_set,
)
from account_setup.template import TEMPLATE

__all__ = [
    "KINDS",
    "STACK",
    "TEMPLATE",
    "ChangeSet",
    "LeftoversError",
    "SetUpError",
    "Settings",
    "delete",
    "delete_stack",
    "explain",
    "explained",
    "find",
    "follow",
    "make_request",
    "wait_for_change_set",
]
