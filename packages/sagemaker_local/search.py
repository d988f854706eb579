"""SageMaker's Search: filters on all properties of training jobs and tuning jobs, with pages of full descriptions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from botocore.model import Shape

from sagemaker_local import paging
from sagemaker_local.schema import invalid, service

RECORDS = {"TrainingJob": "TrainingJob", "HyperParameterTuningJob": "HyperParameterTuningJobSearchEntity"}
"""Resources that can be searched for, and the shapes of their records in botocore's model."""
MAX_CONDITIONS = 50
KINDS = {"string": "text", "boolean": "boolean", "timestamp": "timestamp"}
KINDS |= dict.fromkeys(("integer", "long", "float", "double"), "number")
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
TEXT_ONLY = ("Contains", "In")

Test = Callable[["Found"], bool]


@dataclass(frozen=True)
class Found:
    """A resource to search, with cheap properties of its record in `known`.

    `describe` returns the record, and is called only for properties that are neither tags nor `known`.
    """

    name: str
    tags: Mapping[str, str]
    describe: Callable[[], dict[str, Any]]
    known: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """Its record, including tags."""
        return {**self.describe(), "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}


@dataclass(frozen=True)
class Property:
    """A property, by its name in requests, with the kind of its values and how to find them.

    `kind` is ``text``, ``number``, ``timestamp``, ``boolean``; ``hyperparameter`` for text that may be a number,
    ``object`` for a property that can only exist or not. `values` yields several values for a property within a list.
    """

    name: str
    kind: str
    values: Callable[[Found], Iterator[Any]]


def search(resources: Sequence[Found], query: dict[str, Any]) -> dict[str, Any]:
    """Return the response to a checked Search request.

    Raise `AwsError` if it is invalid, or uses something that the embedded AWS does not support.
    """
    if query.get("CrossAccountFilterOption") == "CrossAccount":
        raise invalid("The embedded AWS has one account: CrossAccountFilterOption CrossAccount is not emulated.")
    shape = service().shape_for(RECORDS[query["Resource"]])
    tests = [_visible(one["Key"], one["Value"]) for one in query.get("VisibilityConditions", ())]
    if "SearchExpression" in query:
        _check_size(query["SearchExpression"])
        tests.append(_expression(query["SearchExpression"], shape))
    by = query.get("SortBy", "LastModifiedTime")
    sorted_by = _property(by, shape, "Invalid SortBy")
    if sorted_by.kind == "object":
        raise invalid(f"Invalid SortBy: {by}")
    found = sorted(
        (one for one in resources if all(test(one) for test in tests)),
        key=lambda one: (_rank(next(sorted_by.values(one), None)), one.name),
        reverse=query.get("SortOrder", "Descending") == "Descending",
    )
    (first,) = paging.read_token(query) or (0,)
    last = first + query.get("MaxResults", paging.SIZE)
    response: dict[str, Any] = {"Results": [{query["Resource"]: one.record} for one in found[first:last]]}
    response["TotalHits"] = {"Value": len(found), "Relation": "EqualTo"}
    if last < len(found):
        response["NextToken"] = paging.write_token(query, last)
    return response


def suggest(resources: Iterable[Found], query: dict[str, Any]) -> dict[str, Any]:
    """Return the response to a checked GetSearchSuggestions request: names of properties that begin with the hint."""
    hint = query.get("SuggestionQuery", {}).get("PropertyNameQuery", {}).get("PropertyNameHint", "").lower()
    names = set(_scalars(service().shape_for(RECORDS[query["Resource"]])))
    for one in resources:
        names |= {f"Tags.{key}" for key in one.tags}
        names |= {f"HyperParameters.{key}" for key in one.record.get("HyperParameters", ())}
        names |= {f"Metrics.{metric['MetricName']}" for metric in one.record.get("FinalMetricDataList", ())}
    fitting = sorted(name for name in names if name.lower().startswith(hint))
    return {"PropertyNameSuggestions": [{"PropertyName": name} for name in fitting]}


def find_limits(query: dict[str, Any]) -> list[str]:
    """Return the options of a Search for another resource that moto would ignore."""
    expression = query.get("SearchExpression", {})
    unsupported = [key for key in ("NestedFilters", "SubExpressions") if key in expression]
    unsupported += ["Operator Or"] if expression.get("Operator") == "Or" else []
    return unsupported + [key for key in ("SortBy", "VisibilityConditions", "CrossAccountFilterOption") if key in query]


def _check_size(expression: dict[str, Any]) -> None:
    conditions = list(_conditions(expression))
    if len(conditions) > MAX_CONDITIONS:
        raise invalid(
            f"A SearchExpression can have {MAX_CONDITIONS} SubExpressions, NestedFilters and Filters at most, this "
            f"one has {len(conditions)}"
        )
    if sum(one.get("Operator") == "Contains" for one in conditions) > 1:
        raise invalid("'CONTAINS' operator usage limit of 1 exceeded.")


def _conditions(expression: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from expression.get("Filters", ())
    for one in expression.get("NestedFilters", ()):
        yield from ({}, *one["Filters"])
    for one in expression.get("SubExpressions", ()):
        yield {}
        yield from _conditions(one)


def _expression(expression: dict[str, Any], shape: Shape) -> Test:
    parts = [_filter(one, _property(one["Name"], shape)) for one in expression.get("Filters", ())]
    parts += [_nested(one, shape) for one in expression.get("NestedFilters", ())]
    parts += [_expression(one, shape) for one in expression.get("SubExpressions", ())]
    if not parts:
        raise invalid("SearchExpression must have at least one subexpression, filter or nested filter")
    together = any if expression.get("Operator", "And") == "Or" else all
    return lambda found: together(part(found) for part in parts)


def _nested(nested: dict[str, Any], shape: Shape) -> Test:
    """Return a test that passes if one object in a list satisfies all filters."""
    name = nested["NestedPropertyName"]
    inner = _walk(name, shape)
    if inner is None or inner.type_name != "list" or inner.member.type_name != "structure":
        raise invalid(f"Invalid NestedPropertyName: {name}. It must be a property that is a list of objects")
    tests = []
    for one in nested["Filters"]:
        if not one["Name"].startswith(f"{name}."):
            raise invalid(f"Unknown property name: {one['Name']}. It must be a property of {name}")
        below = one["Name"].removeprefix(f"{name}.")
        tests.append(_filter(one, _plain(below, one["Name"], inner.member, "Unknown property name")))
    return lambda found: any(
        all(test(element) for test in tests)
        for element in (Found(found.name, {}, dict(one).copy) for one in _find(found.record, name.split(".")))
    )


def _visible(key: str, value: str) -> Test:
    """Return a test that passes if the resource has the tag with this value, or does not have the tag."""
    if not key.startswith("Tags."):
        raise invalid(f"Invalid key of a visibility condition: {key}. It must be Tags.<key>")
    return lambda found: found.tags.get(key.removeprefix("Tags."), value) == value


def _property(name: str, shape: Shape, unknown: str = "Unknown property name") -> Property:
    kind, _, key = name.partition(".")
    if kind == "Tags" and key:
        return Property(name, "text", lambda found: iter([found.tags[key]] if key in found.tags else ()))
    if kind == "Metrics" and key and "FinalMetricDataList" in shape.members:
        return Property(name, "number", lambda found: _metric(found.record, key))
    return _plain(name, name, shape, unknown)


def _plain(path: str, name: str, shape: Shape, unknown: str) -> Property:
    found = _walk(path, shape)
    if found is None:
        raise invalid(f"{unknown}: {name}")
    kind = KINDS.get(found.type_name, "object")
    if path.startswith("HyperParameters."):
        kind = "hyperparameter"
    parts = path.split(".")
    return Property(name, kind, lambda one: iter([one.known[path]]) if path in one.known else _find(one.record, parts))


def _walk(path: str, shape: Shape) -> Shape | None:
    """Return the shape of a property; None if there is no such property."""
    parts = path.split(".")
    while parts:
        while shape.type_name == "list":
            shape = shape.member
        if shape.type_name == "map":
            return shape.value
        if shape.type_name != "structure" or parts[0] not in shape.members:
            return None
        shape = shape.members[parts.pop(0)]
    return shape


def _scalars(shape: Shape, path: str = "") -> Iterator[str]:
    """Yield the names of all properties that are not objects."""
    while shape.type_name == "list":
        shape = shape.member
    if shape.type_name == "structure":
        for name, inner in shape.members.items():
            yield from _scalars(inner, f"{path}.{name}" if path else name)
    elif shape.type_name != "map" and not path.startswith("Tags."):
        yield path


def _find(record: Any, parts: Sequence[str]) -> Iterator[Any]:
    """Yield all values at a path. Lists are flattened, and the keys of a map may contain dots."""
    if isinstance(record, list):
        for one in record:
            yield from _find(one, parts)
    elif not parts:
        yield record
    elif isinstance(record, dict) and (whole := ".".join(parts)) in record:
        yield from _find(record[whole], ())
    elif isinstance(record, dict) and parts[0] in record:
        yield from _find(record[parts[0]], parts[1:])


def _metric(record: dict[str, Any], name: str) -> Iterator[float]:
    return (one["Value"] for one in record.get("FinalMetricDataList", ()) if one["MetricName"] == name)


def _filter(condition: dict[str, Any], target: Property) -> Test:
    kind, name, value = target.kind, condition.get("Operator", "Equals"), condition.get("Value")
    if name in ("Exists", "NotExists"):
        return lambda found: (next(target.values(found), None) is not None) == (name == "Exists")
    if value is None:
        raise invalid(f"The operator {name} of {target.name} needs a Value")
    textual = kind in ("text", "hyperparameter")
    if kind == "object" or (name in TEXT_ONLY and not textual) or (name in ORDERED and kind in ("text", "boolean")):
        raise invalid(f"The operator {name} is not supported for the {kind} property {target.name}")
    if name == "Contains":
        return lambda found: any(value in text for text in target.values(found))
    if name == "In":
        listed = value.split(",")
        return lambda found: any(text in listed for text in target.values(found))
    read = functools.partial(_read, kind, value)
    bound = read(value)
    if bound is None:
        raise invalid(f"Invalid Value of {target.name}: {value}")
    if name in ORDERED:
        return lambda found: any(_compare(ORDERED[name], read(each), bound) for each in target.values(found))

    def equals(found: Found) -> bool | None:
        values = [read(each) for each in target.values(found)]
        if kind == "timestamp":  # requests have whole seconds
            return int(bound) in map(int, values) if values else None
        return bound in values if values else None

    return lambda found: equals(found) is (name == "Equals")


def _read(kind: str, operand: str, value: Any) -> Any:
    """Convert a value for a comparison with `operand`; return None if it is not of this kind."""
    if kind == "timestamp":
        return _time(value) if isinstance(value, str) else value
    if kind == "boolean":
        return {"true": True, "false": False}.get(str(value).lower())
    if kind == "text" or (kind == "hyperparameter" and _number(operand) is None):
        return value
    number = _number(value)
    if kind == "hyperparameter" and number is not None and operand.strip().lstrip("+-").isdigit():
        return int(number)  # per the API reference, integers are compared as integers
    return number


def _compare(holds: Callable[[Any, Any], bool], found: Any, bound: Any) -> bool:
    return found is not None and type(found) in (type(bound), int, float) and holds(found, bound)


def _rank(value: Any) -> tuple[int, Any]:
    """Return a sort key: missing values before numbers, numbers before text."""
    if value is None:
        return (0, 0)
    number = _number(value)
    return (2, str(value)) if number is None else (1, number)


def _number(value: Any) -> float | None:
    try:
        read = float(value)
    except (TypeError, ValueError):
        return None
    return read if abs(read) < float("inf") else None


def _time(value: str) -> float | None:
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
