"""SageMaker's Search for training jobs: filters over the records, pages of whole descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from helpers.embedded import paging
from helpers.embedded.record import Record
from helpers.embedded.schema import invalid

TEXT = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus", "FailureReason", "RoleArn")
TIMES = {"CreationTime": "created", "LastModifiedTime": "modified", "TrainingStartTime": "started"}
TIMES["TrainingEndTime"] = "ended"
PREFIXES = ("Tags.", "HyperParameters.", "Metrics.")
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda found, wanted: found > wanted,
    "GreaterThanOrEqualTo": lambda found, wanted: found >= wanted,
    "LessThan": lambda found, wanted: found < wanted,
    "LessThanOrEqualTo": lambda found, wanted: found <= wanted,
}


def search(records: Iterable[Record], query: dict[str, Any]) -> dict[str, Any]:
    """Answer a checked Search request for training jobs.

    Raises
    ------
    AwsError
        If it asks for another resource, or in a way that the embedded AWS does not know.
    """
    if query["Resource"] != "TrainingJob":
        raise invalid(f"The embedded AWS can search for TrainingJob alone, not for {query['Resource']}.")
    by = query.get("SortBy", "LastModifiedTime")
    if by not in TIMES and by not in TEXT:
        raise invalid(f"Invalid SortBy: {by}")
    expression = query.get("SearchExpression")
    matches = (lambda _: True) if expression is None else _expression(expression)
    found = sorted((_order(job, by), job.name, job) for job in records if matches(job))
    if query.get("SortOrder", "Descending") == "Descending":
        found.reverse()
    (first,) = paging.read_token(query) or (0,)
    last = first + query.get("MaxResults", paging.SIZE)
    answer: dict[str, Any] = {"Results": [{"TrainingJob": _describe(job)} for _, _, job in found[first:last]]}
    answer["TotalHits"] = {"Value": len(found), "Relation": "EqualTo"}
    if last < len(found):
        answer["NextToken"] = paging.write_token(query, last)
    return answer


def _describe(job: Record) -> dict[str, Any]:
    return job.describe() | {"Tags": [{"Key": key, "Value": value} for key, value in job.tags.items()]}


def _order(job: Record, by: str) -> Any:
    found = _value(job, by)
    return (found is not None, found if found is not None else "")


def _expression(expression: dict[str, Any]) -> Callable[[Record], bool]:
    if expression.get("NestedFilters"):
        raise invalid("The embedded AWS knows no NestedFilters.")
    parts = [_filter(one) for one in expression.get("Filters", ())]
    parts += [_expression(one) for one in expression.get("SubExpressions", ())]
    if not parts:
        raise invalid("SearchExpression must have at least one subexpression, filter or nested filter")
    together = any if expression.get("Operator", "And") == "Or" else all
    return lambda job: together(part(job) for part in parts)


def _filter(one: dict[str, Any]) -> Callable[[Record], bool]:
    name, operator, wanted = one["Name"], one.get("Operator", "Equals"), one.get("Value")
    if name not in TEXT and name not in TIMES and not name.startswith(PREFIXES):
        raise invalid(f"Unknown property name: {name}")
    if operator in ("Exists", "NotExists"):
        return lambda job: (_value(job, name) is not None) == (operator == "Exists")
    if wanted is None:
        raise invalid(f"The operator {operator} of {name} needs a Value")
    if operator in ORDERED:
        if name in TEXT or name.startswith("Tags."):
            raise invalid(f"The operator {operator} is not supported for the text property {name}")
        bound, compare = _time(wanted) if name in TIMES else _number(wanted), ORDERED[operator]
        if bound is None:
            raise invalid(f"Invalid Value of {name}: {wanted}")
        return lambda job: (found := _number(_value(job, name))) is not None and compare(found, bound)
    if name in TIMES:
        raise invalid(f"The operator {operator} is not supported for the timestamp {name}")
    compare_text: dict[str, Callable[[str], bool]] = {
        "Equals": lambda found: found == wanted,
        "NotEquals": lambda found: found != wanted,
        "Contains": lambda found: wanted in found,
        "In": lambda found: found in wanted.split(","),
    }
    holds = compare_text[operator]
    return lambda job: (found := _value(job, name)) is not None and holds(str(found))


def _value(job: Record, name: str) -> Any:
    if name in TIMES:
        return getattr(job, TIMES[name])
    kind, _, key = name.partition(".")
    if kind == "Tags":
        return job.tags.get(key)
    if kind == "HyperParameters":
        return job.request.get("HyperParameters", {}).get(key)
    if kind == "Metrics":
        return job.metrics.get(key, {}).get("Value")
    own = {"TrainingJobName": job.name, "TrainingJobArn": job.arn, "RoleArn": job.request["RoleArn"]}
    own |= {"TrainingJobStatus": job.status, "SecondaryStatus": job.secondary, "FailureReason": job.failure}
    return own[name]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _time(value: str) -> float | None:
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
