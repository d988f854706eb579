"""Sorted lists in pages, as SageMaker's List and Search calls return them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sagemaker_local.schema import invalid

T = TypeVar("T")
SIZE = 10
"""Entries on a page if the request does not set MaxResults."""


def write_token(query: dict[str, Any], *place: Any) -> str:
    """Return the NextToken for the entries after a place in a query's results."""
    return base64.urlsafe_b64encode(json.dumps([_mark(query), *place]).encode()).decode()


def read_token(query: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the place in a query's NextToken; None if it has no token.

    Raise `AwsError` if the token is not of the same query.
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

    The token names the last entry of a page, so that entries added meanwhile do not shift pages. Raise `AwsError` if
    the query's token is not of the same query.
    """
    size, down = query.get("MaxResults", SIZE), query.get("SortOrder", "Ascending") == "Descending"
    ordered = sorted(entries, key=key, reverse=down)
    if last := read_token(query):
        ordered = [entry for entry in ordered if (key(entry) < last if down else key(entry) > last)]
    if len(ordered) <= size:
        return ordered, None
    return ordered[:size], write_token(query, *key(ordered[size - 1]))


def _mark(query: dict[str, Any]) -> str:
    """Return a hash of a query's filters and order, which is the same for all pages of one list."""
    filters = {name: query[name] for name in sorted(query) if name not in ("NextToken", "MaxResults")}
    return hashlib.sha256(json.dumps(filters, default=str).encode()).hexdigest()[:16]
