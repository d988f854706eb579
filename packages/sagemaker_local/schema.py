"""Checks requests against botocore's own model of SageMaker, and says no in AWS's words."""

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
    """An error as AWS answers it: a code, a sentence, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> AwsError:
    """Return a ValidationException with this message."""
    return AwsError("ValidationException", message)


def not_emulated(call: str, why: Exception | None = None) -> AwsError:
    """Return the error, which no client retries, for a call such as ``sagemaker:CreateCluster`` that nothing answers.

    `why` is what moto raised; NotImplementedError, or None, where it does not know the call.
    """
    known = why is not None and not isinstance(why, NotImplementedError)
    form = f" in the form that was asked for ({type(why).__name__}: {why})" if known else ""
    return AwsError("UnknownOperationException", f"The embedded AWS does not emulate {call}{form}.")


def read_tags(given: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return a request's tags by their keys. Raises `AwsError` where a key is of those that AWS keeps to itself."""
    tags = {tag["Key"]: tag["Value"] for tag in given}
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
    """Check the request of a call and return it without the members that the call does not know.

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
    complaints += [f"Value '{value}' at '{_camel(path)}' failed to satisfy constraint: {what}" for what in failed]


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the model, which is Java's: Python knows no Unicode categories.

    One that Python can't read at all (none of those of training jobs' usual members) lets everything pass.
    """
    for theirs, ours in ((r"\p{L}", r"\w"), (r"\p{N}", r"\w"), (r"\p{Z}", r"\s")):
        pattern = pattern.replace(theirs, ours)
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(".*", re.DOTALL)


def _camel(path: str) -> str:
    """Write a path as AWS does, each name beginning small."""
    return ".".join(part[:1].lower() + part[1:] for part in path.split("."))
