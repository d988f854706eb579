"""Checks requests against botocore's model of SageMaker, with AWS's own error messages."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import botocore.loaders
from botocore.model import OperationModel, OperationNotFoundError, ServiceModel, Shape

TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
    "structure": dict,
    "map": dict,
    "list": list,
}


class AwsError(Exception):
    """An error as AWS returns it: a code, a message, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> AwsError:
    """Return a ValidationException with this message."""
    return AwsError("ValidationException", message)


def not_emulated(call: str, cause: Exception | None = None) -> AwsError:
    """Return the error, which no client retries, for an unsupported call such as ``sagemaker:CreateCluster``.

    `cause` is moto's exception; NotImplementedError or None means that moto does not implement the call.
    """
    known = cause is not None and not isinstance(cause, NotImplementedError)
    form = f" with these parameters ({type(cause).__name__}: {cause})" if known else ""
    return AwsError("UnknownOperationException", f"The embedded AWS does not emulate {call}{form}.")


def read_tags(entries: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return a request's tags as a dict. Raise `AwsError` if a key has the prefix that AWS reserves."""
    tags = {tag["Key"]: tag["Value"] for tag in entries}
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    return tags


@functools.cache
def service(name: str = "sagemaker") -> ServiceModel:
    """Return botocore's model of a service."""
    loader = botocore.loaders.create_loader()
    return ServiceModel(loader.load_service_model(name, "service-2"), name)


@functools.cache
def operation(name: str, of: str = "sagemaker") -> OperationModel:
    """Return botocore's model of one call. Raise `AwsError` if the service has no such call."""
    try:
        return service(of).operation_model(name)
    except OperationNotFoundError:
        raise not_emulated(f"{of}:{name}") from None


def check(name: str, request: dict[str, Any], of: str = "sagemaker") -> dict[str, Any]:
    """Check the request of a call and return it without members that the call does not have.

    Raise `AwsError`: SerializationException for a value of the wrong type, ValidationException (all complaints at once)
    for a missing member or a value outside its limits.
    """
    complaints: list[str] = []
    shape = operation(name, of).input_shape
    known = _checked(shape, request, "", complaints) if shape else {}
    if complaints:
        count = f"{len(complaints)} validation error{'s' if len(complaints) > 1 else ''} detected: "
        raise invalid(count + "; ".join(complaints))
    return known


def _checked(shape: Shape, value: Any, path: str, complaints: list[str]) -> Any:
    kind = shape.type_name
    expected = TYPES.get(kind, object)
    if not isinstance(value, expected) or (kind != "boolean" and isinstance(value, bool)):
        raise AwsError(
            "SerializationException", f"{_camel(path) or 'request'} must be a {kind}, not {type(value).__name__}"
        )
    if kind == "structure":
        for member in shape.required_members:
            if value.get(member) is None:
                where = _camel(f"{path}.{member}" if path else member)
                complaints.append(f"Value null at '{where}' failed to satisfy constraint: Member must not be null")
        return {
            member: _checked(inner, value[member], f"{path}.{member}" if path else member, complaints)
            for member, inner in shape.members.items()
            if value.get(member) is not None
        }
    _limit(shape, value, path, complaints)
    if kind == "list":
        return [
            _checked(shape.member, inner, f"{path}.{number}.member", complaints)
            for number, inner in enumerate(value, start=1)
        ]
    if kind == "map":
        return {
            _checked(shape.key, key, f"{path}.key", complaints): _checked(
                shape.value, inner, f"{path}.{key}.member", complaints
            )
            for key, inner in value.items()
        }
    return value


def _limit(shape: Shape, value: Any, path: str, complaints: list[str]) -> None:
    limits, kind = shape.metadata, shape.type_name
    size = value if kind in ("integer", "long", "float", "double") else len(value) if hasattr(value, "__len__") else 0
    about = "value" if size is value else "length"
    failed = []
    if "min" in limits and size < limits["min"]:
        failed.append(f"Member must have {about} greater than or equal to {limits['min']}")
    if "max" in limits and size > limits["max"]:
        failed.append(f"Member must have {about} less than or equal to {limits['max']}")
    if "enum" in limits and value not in limits["enum"]:
        failed.append(f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]")
    if "pattern" in limits and kind == "string" and not _pattern(limits["pattern"]).fullmatch(value):
        failed.append(f"Member must satisfy regular expression pattern: {limits['pattern']}")
    complaints += [f"Value '{value}' at '{_camel(path)}' failed to satisfy constraint: {failure}" for failure in failed]


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the model. Its syntax is Java's, with Unicode categories, which Python lacks.

    A pattern that Python can't compile (none of the usual members of training jobs has one) matches everything.
    """
    for theirs, ours in ((r"\p{L}", r"\w"), (r"\p{N}", r"\w"), (r"\p{Z}", r"\s")):
        pattern = pattern.replace(theirs, ours)
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(".*", re.DOTALL)


def _camel(path: str) -> str:
    """Write a path as AWS does, each name with a lower-case first letter."""
    return ".".join(part[:1].lower() + part[1:] for part in path.split("."))
