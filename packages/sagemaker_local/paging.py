"""Sorted lists in pages, as SageMaker's List and Search calls give them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sagemaker_local.schema import invalid

T = TypeVar("T")
SIZE = 10
"""Entries on a page, unless the request says how many."""


def write_token(query: dict[str, Any], *place: Any) -> str:
    """Return the NextToken that leads from a place in a query's answer to what follows."""
    return base64.urlsafe_b64encode(json.dumps([_mark(query), *place]).encode()).decode()


def read_token(query: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the place that a query's NextToken leads on from; None where it has none.

    Raise `AwsError` if the token was not given for the same query.
    """
    if "NextToken" not in query:
        return None
    try:
        mark, *place = json.loads(base64.urlsafe_b64decode(query["NextToken"]))
    except (ValueError, TypeError):
        mark, place = None, []
    if mark != _mark(query) or not place:
        raise invalid("Invalid NextToken: it is not one that was given for these filters and this order")
    return tuple(place)


def page(
    entries: Iterable[T], query: dict[str, Any], key: Callable[[T], tuple[Any, str]]
) -> tuple[list[T], str | None]:
    """Return one page of `entries`, sorted by `key` (which no two share), and the token of the next page.

    The token names the last entry of a page, so that entries added meanwhile shift nothing. Raise `AwsError` if the
    query's own token is not one of this query's.
    """
    size, down = query.get("MaxResults", SIZE), query.get("SortOrder", "Ascending") == "Descending"
    found = sorted(entries, key=key, reverse=down)
    if last := read_token(query):
        found = [one for one in found if (key(one) < last if down else key(one) > last)]
    if len(found) <= size:
        return found, None
    return found[:size], write_token(query, *key(found[size - 1]))


def _mark(query: dict[str, Any]) -> str:
    """Tell queries apart whose answers are not pages of one list."""
    same = {name: query[name] for name in sorted(query) if name not in ("NextToken", "MaxResults")}
    return hashlib.sha256(json.dumps(same, default=str).encode()).hexdigest()[:16]
