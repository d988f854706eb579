"""Requests for tuning jobs: validation with AWS's messages, and the requests of their training jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sagemaker_local import jobs
from sagemaker_local.schema import invalid

MAX_RANGES = 30
OBJECTIVE = "_tuning_objective_metric"
"""The hyperparameter that SageMaker adds: the name of the metric that is tuned for."""
RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
COPIED = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "RetryStrategy",
    "Environment",
)
"""Members of the definition that are copied to each training's request."""


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Check what botocore's model does not cover, and return the request with SageMaker's defaults.

    Raise `AwsError` if it is invalid, or needs something that the embedded AWS does not support.
    """
    config = request["HyperParameterTuningJobConfig"]
    if problems := list(_unsupported(request, config)):
        raise invalid(f"The embedded AWS can't run this tuning job: {'; '.join(problems)}.")
    if "TrainingJobDefinition" not in request:
        raise invalid("You must provide either TrainingJobDefinition or TrainingJobDefinitions.")
    definition = request["TrainingJobDefinition"]
    resources = definition.get("HyperParameterTuningResourceConfig", {})
    if resources and "ResourceConfig" in definition:
        raise invalid("You can provide either ResourceConfig or HyperParameterTuningResourceConfig, not both.")
    if "InstanceConfigs" in resources and {"InstanceType", "InstanceCount", "VolumeSizeInGB"} & resources.keys():
        raise invalid("InstanceType, InstanceCount and VolumeSizeInGB can't be provided together with InstanceConfigs.")
    if "StrategyConfig" in config:
        raise invalid("StrategyConfig can be provided only if Hyperband is selected as the strategy.")
    objective = config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise invalid("HyperParameterTuningJobObjective is required when a single TrainingJobDefinition is provided.")
    known = [metric["Name"] for metric in definition["AlgorithmSpecification"].get("MetricDefinitions", ())]
    if objective["MetricName"] not in known:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            f"definitions. The objective is {objective['MetricName']}, the metric definitions have: "
            f"{', '.join(known) or 'none'}."
        )
    limits = {**config["ResourceLimits"], **_budget(config, definition)}
    early = config.get("TrainingJobEarlyStoppingType", "Off")
    request = {
        **request,
        "HyperParameterTuningJobConfig": {
            **config,
            "ResourceLimits": limits,
            "TrainingJobEarlyStoppingType": early,
        },
    }
    jobs.check(training_request(request, f"{request['HyperParameterTuningJobName']}-001-00000000", {}))
    return request


def training_request(request: dict[str, Any], name: str, tuned: dict[str, str]) -> dict[str, Any]:
    """Return the CreateTrainingJob request of one training."""
    definition = request["TrainingJobDefinition"]
    metric = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    training = {key: definition[key] for key in COPIED if key in definition}
    training["ResourceConfig"] = _resources(definition)
    training["TrainingJobName"] = name
    training["AlgorithmSpecification"] = definition["AlgorithmSpecification"]
    training["HyperParameters"] = {
        **definition.get("StaticHyperParameters", {}),
        **tuned,
        OBJECTIVE: metric,
    }
    if checkpoints := definition.get("CheckpointConfig"):  # separate, or a training would resume another one
        uri = f"{checkpoints['S3Uri'].rstrip('/')}/{name}"
        training["CheckpointConfig"] = {**checkpoints, "S3Uri": uri}
    return training


def describe_definition(request: dict[str, Any]) -> dict[str, Any]:
    """Return the TrainingJobDefinition as SageMaker describes it, with the values that it adds."""
    definition = request["TrainingJobDefinition"]
    metric = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    return {
        **definition,
        "StaticHyperParameters": {**definition.get("StaticHyperParameters", {}), OBJECTIVE: metric},
        "OutputDataConfig": {"KmsKeyId": "", **definition["OutputDataConfig"]},
        "ResourceConfig": _resources(definition),
    }


def _resources(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the ResourceConfig of a definition's trainings; of several instance types, the first is used."""
    resources = definition.get("HyperParameterTuningResourceConfig")
    if resources is None:
        return definition.get("ResourceConfig", {})
    first = {**resources, **next(iter(resources.get("InstanceConfigs", ())), {})}
    return {name: first[name] for name in RESOURCES if name in first}


def _unsupported(request: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    """Yield what the request needs that SageMaker supports and the embedded AWS does not."""
    if config["Strategy"] == "Hyperband":
        yield (
            "Strategy Hyperband is not supported, only Bayesian, Random and Grid are; set "
            "TrainingJobEarlyStoppingType to Auto to have weak trainings stopped"
        )
    if "TrainingJobDefinitions" in request:
        yield "TrainingJobDefinitions is not supported, only one TrainingJobDefinition is"
    if "WarmStartConfig" in request:
        yield "WarmStartConfig is not supported"
    if "Autotune" in request or config.get("ParameterRanges", {}).get("AutoParameters"):
        yield "Autotune is not supported: set the ranges"
    criteria = config.get("TuningJobCompletionCriteria", {})
    if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled":
        yield "ConvergenceDetected is not supported, TargetObjectiveMetricValue and BestObjectiveNotImproving are"
    definition = request.get("TrainingJobDefinition", {})
    if {"HyperParameterRanges", "TuningObjective"} & definition.keys():
        yield "ranges and objective must be in HyperParameterTuningJobConfig, not in the TrainingJobDefinition"


def _budget(config: dict[str, Any], definition: dict[str, Any]) -> dict[str, int]:
    """Check the ranges, and return the limit on the number of trainings."""
    from sagemaker_local.tuning import sampler  # Optuna: here, so that the embedded AWS starts without it

    given_ranges = config.get("ParameterRanges", {})
    try:
        ranges = sampler.read_ranges(given_ranges)
    except ValueError as error:
        raise invalid(f"The minimum and maximum of a parameter range must be numbers: {error}") from None
    if problems := list(_range_problems(ranges, definition.get("StaticHyperParameters", {}))):
        raise invalid("; ".join(problems))
    available, requested = sampler.combinations(ranges), config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid":
        if any(one.kind != "Categorical" for one in ranges):
            raise invalid("Grid search takes CategoricalParameterRanges only. List the values that are to be tried.")
        if requested not in (None, available):
            raise invalid(
                "MaxNumberOfTrainingJobs of a grid search must be equal to the number of distinct categorical "
                f"combinations, {available}, or left out. It is {requested}."
            )
        return {"MaxNumberOfTrainingJobs": int(available)}
    if (requested or 1) > available:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{float(available)}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{requested}]. Provide additional ranges."
        )
    return {"MaxNumberOfTrainingJobs": requested or 1}


def _range_problems(ranges: list[Any], static: dict[str, str]) -> Iterator[str]:
    if not 1 <= len(ranges) <= MAX_RANGES:
        yield f"A hyperparameter tuning job must have 1 to {MAX_RANGES} parameter ranges, this one has {len(ranges)}"
    for name, count in Counter(each.name for each in ranges).items():
        if count > 1:
            yield f"Hyperparameter {name} has {count} ranges, it may have one"
        if name in static:
            yield f"Hyperparameter {name} can't be both in StaticHyperParameters and in ParameterRanges"
    for each in ranges:
        if each.kind == "Categorical":
            if len(set(each.values)) < len(each.values):
                yield f"The values of parameter range {each.name} must be different: {', '.join(each.values)}"
        elif not each.low < each.high:
            yield (
                f"The minimum value of parameter range {each.name}, {each.low}, must be less than its maximum value, "
                f"{each.high}"
            )
        elif each.scale == "Logarithmic" and each.low <= 0:
            yield f"Logarithmic scaling of {each.name} works only for values greater than 0, it begins at {each.low}"
        elif each.scale == "ReverseLogarithmic" and each.kind == "Integer":
            yield f"ReverseLogarithmic scaling of {each.name} works only for continuous ranges"
        elif each.scale == "ReverseLogarithmic" and not (each.low >= 0 and each.high < 1):
            yield (
                f"ReverseLogarithmic scaling of {each.name} works only for ranges within 0 <= x < 1.0, this one is "
                f"{each.low} to {each.high}"
            )
