"""Sorted lists in pages, as SageMaker's List calls give them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from helpers.embedded.schema import invalid

T = TypeVar("T")
SIZE = 10


def page(
    entries: Iterable[T], query: dict[str, Any], key: Callable[[T], tuple[Any, str]]
) -> tuple[list[T], str | None]:
    """Give one page of `entries` and the token of the next.

    The token names the last entry of the page before, so that entries added meanwhile shift nothing.

    Parameters
    ----------
    entries
        What matches the query, in any order.
    query
        The request: SortOrder, MaxResults, NextToken, and whatever else must be the same on every page.
    key
        What is sorted by, and a name that no two entries share.

    Raises
    ------
    AwsError
        If the token is not one of this query's.
    """
    same = {name: query[name] for name in sorted(query) if name not in ("NextToken", "MaxResults")}
    mark = hashlib.sha256(json.dumps(same, default=str).encode()).hexdigest()[:16]
    size, down = query.get("MaxResults", SIZE), query.get("SortOrder", "Ascending") == "Descending"
    found = sorted(entries, key=key, reverse=down)
    if "NextToken" in query:
        last = _read(query["NextToken"], mark)
        found = [one for one in found if (key(one) < last if down else key(one) > last)]
    if len(found) <= size:
        return found, None
    token = json.dumps([mark, *key(found[size - 1])]).encode()
    return found[:size], base64.urlsafe_b64encode(token).decode()


def _read(token: str, mark: str) -> tuple[Any, ...]:
    try:
        given, *last = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        given, last = None, []
    if given != mark or len(last) != 2:
        raise invalid("Invalid NextToken: it is not one that was given for these filters and this order")
    return tuple(last)
