"""CloudFormation: stacks and change sets of the few types of resources that training needs.

moto's own CloudFormation bypasses everything that stores resources here, ignores most of their settings (a bucket's
lifecycle, a repository's rules, budgets) and has no rollback. This one creates each resource with the requests that
a user would send, to this same server. Stacks are stored in ``<home>/cloudformation/``.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID

from sagemaker_local.home import write_whole
from sagemaker_local.schema import AwsError

XMLNS = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
NO_VALUE = object()
AT_REST = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
Properties = dict[str, Any]
Clients = Callable[[str, str], BaseClient]


class _Loader(yaml.SafeLoader):
    """Loads YAML with CloudFormation's short forms, such as ``!Ref``."""


def _short_form(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def invalid(message: str) -> AwsError:
    """Return CloudFormation's ValidationError."""
    return AwsError("ValidationError", message)


class Template:
    """A template with its parameters' values.

    Parameters
    ----------
    text
        YAML or JSON.
    given
        Values of its parameters.
    region
        The value of ``AWS::Region``.
    """

    def __init__(self, text: str, parameters: dict[str, str], region: str):
        try:
            content = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
            self.resources: dict[str, Any] = content["Resources"]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise invalid(f"Template format error: {error}") from error
        self.conditions, self.outputs = content.get("Conditions", {}), content.get("Outputs", {})
        declared = content.get("Parameters", {})
        if unknown := sorted(parameters.keys() - declared.keys()):
            raise invalid(f"Parameters: {unknown} do not exist in the template")
        values = {name: parameters.get(name, str(each.get("Default", NO_VALUE))) for name, each in declared.items()}
        if missing := [name for name, each in declared.items() if name not in parameters and "Default" not in each]:
            raise invalid(f"Parameters: {missing} must have values")
        for name, each in declared.items():
            _check_parameter(name, values[name], each)
        self.values = values | {
            "AWS::AccountId": DEFAULT_ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::NoValue": NO_VALUE,
        }
        self.made: dict[str, dict[str, Any]] = {}  # logical name -> resource, whose `id` is its Ref

    def active_resources(self) -> dict[str, Any]:
        """Return the resources whose conditions hold, sorted so that each follows those that it refers to."""
        named = {
            name: each
            for name, each in self.resources.items()
            if "Condition" not in each or self.holds(each["Condition"])
        }
        order: dict[str, Any] = {}

        def add(name: str) -> None:
            if name in named and name not in order:
                after = named[name].get("DependsOn", [])
                for other in [*([after] if isinstance(after, str) else after), *_find_references(named[name])]:
                    if other != name:
                        add(other)
                order[name] = named[name]

        for name in named:
            add(name)
        return order

    def holds(self, name: str) -> bool:
        """Evaluate a condition."""
        return bool(self.resolve(self.conditions[name]))

    def resolve(self, value: Any) -> Any:
        """Replace CloudFormation's functions by their values."""
        if isinstance(value, list):
            return [found for each in value if (found := self.resolve(each)) is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._resolve_ref(argument)
            if name == "Condition" and isinstance(argument, str) and argument in self.conditions:
                return self.holds(argument)
            if name.startswith("Fn::"):
                return self._call(name, argument)
        found = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not NO_VALUE}

    def _resolve_ref(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name in self.made:
            return self.made[name]["id"]
        if name in self.resources:
            return name  # not created yet, so it has no physical id
        raise invalid(f"Template format error: Unresolved resource dependencies [{name}] in the template")

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Fn::If":
            return self.resolve(argument[1] if self.holds(argument[0]) else argument[2])
        if name == "Fn::Sub" and isinstance(argument, str):
            return re.sub(r"\$\{([^}!]+)\}", lambda found: str(self._resolve_ref(found[1])), argument)
        if name == "Fn::GetAtt":
            made = self.made.get(argument[0], {})
            return made.get("attributes", {}).get(argument[1], ".".join(argument))
        resolved = self.resolve(argument)
        if name == "Fn::Equals":
            return str(resolved[0]) == str(resolved[1])
        if name == "Fn::Not":
            return not resolved[0]
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)(resolved)
        if name == "Fn::Join":
            return resolved[0].join(map(str, resolved[1]))
        raise invalid(f"Template error: the embedded AWS does not know {name}")


def _check_parameter(name: str, value: str, declared: dict[str, Any]) -> None:
    allowed = declared.get("AllowedValues")
    if allowed and value not in map(str, allowed):
        raise invalid(f"Parameter '{name}' must be one of AllowedValues")
    pattern = declared.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        raise invalid(f"Parameter '{name}' must match pattern {pattern}")
    if declared["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            raise invalid(f"Parameter '{name}' must be a number.") from None
        if number < declared.get("MinValue", number):
            raise invalid(f"Parameter '{name}' must be a number not less than {declared['MinValue']}")


def _find_references(value: Any) -> set[str]:
    """Return the names that a value refers to by ``Ref``, ``Fn::GetAtt`` and ``Fn::Sub``."""
    if isinstance(value, list):
        return set().union(*map(_find_references, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*(_find_references(each) for each in value.values()))
    if isinstance(value.get("Ref"), str):
        found.add(value["Ref"])
    if isinstance(value.get("Fn::GetAtt"), list):
        found.add(value["Fn::GetAtt"][0])
    if isinstance(value.get("Fn::Sub"), str):
        found |= set(re.findall(r"\$\{([^}!.]+)", value["Fn::Sub"]))
    return found


class Resource:
    """A type of resource, and how it is created, updated and deleted by the calls of its service.

    Parameters
    ----------
    clients
        Returns the client of a service in a region.
    region
    """

    name_property = ""

    def __init__(self, clients: Clients, region: str):
        self.clients, self.region = clients, region

    def client(self, service: str) -> BaseClient:
        """Return the client of a service."""
        return self.clients(service, self.region)

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it; return its ``Ref`` and its attributes."""
        raise NotImplementedError

    def update(self, name: str, properties: Properties) -> None:
        """Update one that keeps its name."""
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """Delete it."""
        raise NotImplementedError


class Bucket(Resource):
    """AWS::S3::Bucket."""

    name_property = "BucketName"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it."""
        s3, name = self.client("s3"), properties["BucketName"]
        try:
            s3.head_bucket(Bucket=name)
        except ClientError:
            place = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
            s3.create_bucket(Bucket=name, **({} if self.region == "us-east-1" else place))
        else:
            raise AwsError("AlreadyExists", f"{name} already exists in the account")
        try:
            self.update(name, properties)
        except ClientError:
            s3.delete_bucket(Bucket=name)
            raise
        return name, {"Arn": f"arn:aws:s3:::{name}"}

    def update(self, name: str, properties: Properties) -> None:
        """Put all of its settings."""
        s3 = self.client("s3")
        if block := properties.get("PublicAccessBlockConfiguration"):
            s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
        if encryption := properties.get("BucketEncryption"):
            rules = [
                {
                    ("ApplyServerSideEncryptionByDefault" if key == "ServerSideEncryptionByDefault" else key): value
                    for key, value in rule.items()
                }
                for rule in encryption["ServerSideEncryptionConfiguration"]
            ]
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
        rules = [_lifecycle_rule(rule) for rule in properties.get("LifecycleConfiguration", {}).get("Rules", ())]
        if rules:
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
        if tags := properties.get("Tags"):
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})

    def delete(self, name: str) -> None:
        """Delete it; S3 refuses if it holds objects."""
        self.client("s3").delete_bucket(Bucket=name)


def _lifecycle_rule(rule: Properties) -> Properties:
    """Return a rule as PutBucketLifecycleConfiguration takes it."""
    converted = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        converted["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        converted["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return converted


class Repository(Resource):
    """AWS::ECR::Repository."""

    name_property = "RepositoryName"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it."""
        name, scan = (
            properties["RepositoryName"],
            properties.get("ImageScanningConfiguration", {}).get("ScanOnPush", False),
        )
        self.client("ecr").create_repository(
            repositoryName=name,
            imageTagMutability=properties.get("ImageTagMutability", "MUTABLE"),
            imageScanningConfiguration={"scanOnPush": scan},
            tags=properties.get("Tags", []),
        )
        if "LifecyclePolicy" in properties:
            self.update(name, properties)
        return name, {"Arn": f"arn:aws:ecr:{self.region}:{DEFAULT_ACCOUNT_ID}:repository/{name}"}

    def update(self, name: str, properties: Properties) -> None:
        """Put its lifecycle policy."""
        text = properties["LifecyclePolicy"]["LifecyclePolicyText"]
        self.client("ecr").put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)

    def delete(self, name: str) -> None:
        """Delete it; ECR refuses if it holds images."""
        self.client("ecr").delete_repository(repositoryName=name)


class Role(Resource):
    """AWS::IAM::Role."""

    name_property = "RoleName"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it."""
        made = self.client("iam").create_role(
            RoleName=properties["RoleName"],
            Description=properties.get("Description", ""),
            AssumeRolePolicyDocument=json.dumps(properties["AssumeRolePolicyDocument"]),
            Tags=properties.get("Tags", []),
        )
        self.update(properties["RoleName"], properties)
        return properties["RoleName"], {"Arn": made["Role"]["Arn"]}

    def update(self, name: str, properties: Properties) -> None:
        """Put trust and policies."""
        iam = self.client("iam")
        trust = json.dumps(properties["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        for policy in properties.get("Policies", ()):
            text = json.dumps(policy["PolicyDocument"])
            iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=text)

    def delete(self, name: str) -> None:
        """Delete it with its inline policies; IAM refuses if another policy is attached."""
        iam = self.client("iam")
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)


class ManagedPolicy(Resource):
    """AWS::IAM::ManagedPolicy, whose ``Ref`` is its ARN."""

    name_property = "ManagedPolicyName"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it."""
        made = self.client("iam").create_policy(
            PolicyName=properties["ManagedPolicyName"],
            Description=properties.get("Description", ""),
            PolicyDocument=json.dumps(properties["PolicyDocument"]),
        )
        return made["Policy"]["Arn"], {}

    def update(self, name: str, properties: Properties) -> None:
        """Make a new version the default, and delete the others, because IAM keeps at most five."""
        iam = self.client("iam")
        old = iam.list_policy_versions(PolicyArn=name)["Versions"]
        iam.create_policy_version(
            PolicyArn=name, PolicyDocument=json.dumps(properties["PolicyDocument"]), SetAsDefault=True
        )
        for version in old:
            iam.delete_policy_version(PolicyArn=name, VersionId=version["VersionId"])

    def delete(self, name: str) -> None:
        """Delete it; IAM refuses if it is attached."""
        self.client("iam").delete_policy(PolicyArn=name)


class Topic(Resource):
    """AWS::SNS::Topic, whose ``Ref`` is its ARN."""

    name_property = "TopicName"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it with its subscriptions."""
        sns = self.client("sns")
        topic = sns.create_topic(Name=properties["TopicName"], Tags=properties.get("Tags", []))["TopicArn"]
        self.update(topic, properties)
        return topic, {"TopicName": properties["TopicName"]}

    def update(self, name: str, properties: Properties) -> None:
        """Add the missing subscriptions, and remove those that are no longer listed."""
        sns = self.client("sns")
        missing = {(each["Protocol"], each["Endpoint"]) for each in properties.get("Subscription", ())}
        for each in sns.list_subscriptions_by_topic(TopicArn=name)["Subscriptions"]:
            if (each["Protocol"], each["Endpoint"]) not in missing:
                sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
            missing.discard((each["Protocol"], each["Endpoint"]))
        for protocol, endpoint in sorted(missing):
            sns.subscribe(TopicArn=name, Protocol=protocol, Endpoint=endpoint)

    def delete(self, name: str) -> None:
        """Delete it."""
        self.client("sns").delete_topic(TopicArn=name)


class TopicPolicy(Resource):
    """AWS::SNS::TopicPolicy."""

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Put it on its topics."""
        self.update("", properties)
        return f"policy-{uuid.uuid4().hex[:12]}", {}

    def update(self, name: str, properties: Properties) -> None:
        """Put it on its topics."""
        for topic in properties["Topics"]:
            text = json.dumps(properties["PolicyDocument"])
            self.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)

    def delete(self, name: str) -> None:
        """Do nothing: the policy is deleted with its topic."""


class Rule(Resource):
    """AWS::Events::Rule."""

    name_property = "Name"

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it with its targets."""
        self.update(properties["Name"], properties)
        return properties["Name"], {}

    def update(self, name: str, properties: Properties) -> None:
        """Put it and its targets."""
        events = self.client("events")
        events.put_rule(
            Name=name,
            Description=properties.get("Description", ""),
            EventPattern=json.dumps(properties["EventPattern"]),
            State=properties.get("State", "ENABLED"),
        )
        events.put_targets(Rule=name, Targets=properties["Targets"])

    def delete(self, name: str) -> None:
        """Delete it and its targets."""
        events = self.client("events")
        if targets := [each["Id"] for each in events.list_targets_by_rule(Rule=name)["Targets"]]:
            events.remove_targets(Rule=name, Ids=targets)
        events.delete_rule(Name=name)


class Budget(Resource):
    """AWS::Budgets::Budget."""

    def create(self, properties: Properties) -> tuple[str, dict[str, str]]:
        """Create it with its notifications."""
        budget = json.loads(json.dumps(properties["Budget"]))
        budget["BudgetLimit"]["Amount"] = str(budget["BudgetLimit"]["Amount"])
        self.client("budgets").create_budget(
            AccountId=DEFAULT_ACCOUNT_ID,
            Budget=budget,
            NotificationsWithSubscribers=properties.get("NotificationsWithSubscribers", []),
        )
        return budget["BudgetName"], {}

    def update(self, name: str, properties: Properties) -> None:
        """Delete and create it, because moto has no UpdateBudget."""
        self.delete(name)
        self.create(properties)

    def delete(self, name: str) -> None:
        """Delete it."""
        self.client("budgets").delete_budget(AccountId=DEFAULT_ACCOUNT_ID, BudgetName=name)


class LogGroup(Resource):
    """AWS::Logs::LogGroup."""

    name_property = "LogGroupName"

    def create(self, given: Properties) -> tuple[str, dict[str, str]]:
        """Make it."""
        name, tags = given["LogGroupName"], {tag["Key"]: tag["Value"] for tag in given.get("Tags", ())}
        self.client("logs").create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        self.update(name, given)
        return name, {"Arn": f"arn:aws:logs:{self.region}:{DEFAULT_ACCOUNT_ID}:log-group:{name}:*"}

    def update(self, name: str, given: Properties) -> None:
        """Put how long it keeps events."""
        if days := given.get("RetentionInDays"):
            self.client("logs").put_retention_policy(logGroupName=name, retentionInDays=int(days))

    def delete(self, name: str) -> None:
        """Delete it with all its logs."""
        self.client("logs").delete_log_group(logGroupName=name)


class BuildProject(Resource):
    """AWS::CodeBuild::Project."""

    name_property = "Name"

    def create(self, given: Properties) -> tuple[str, dict[str, str]]:
        """Make it."""
        made = self.client("codebuild").create_project(**_in_camels(given))["project"]
        return made["name"], {"Arn": made["arn"]}

    def update(self, name: str, given: Properties) -> None:
        """Put all of its settings."""
        self.client("codebuild").update_project(**_in_camels(given))

    def delete(self, name: str) -> None:
        """Delete it with its builds."""
        self.client("codebuild").delete_project(name=name)


def _in_camels(value: Any) -> Any:
    """Return a resource's properties as CodeBuild's own calls take them: the same names, which begin small."""
    if isinstance(value, dict):
        names = {"BuildSpec": "buildspec", "S3Logs": "s3Logs"}
        return {names.get(key, key[0].lower() + key[1:]): _in_camels(each) for key, each in value.items()}
    return [_in_camels(each) for each in value] if isinstance(value, list) else value


KINDS: dict[str, type[Resource]] = {
    "AWS::S3::Bucket": Bucket,
    "AWS::ECR::Repository": Repository,
    "AWS::IAM::Role": Role,
    "AWS::IAM::ManagedPolicy": ManagedPolicy,
    "AWS::SNS::Topic": Topic,
    "AWS::SNS::TopicPolicy": TopicPolicy,
    "AWS::Events::Rule": Rule,
    "AWS::Budgets::Budget": Budget,
    "AWS::Logs::LogGroup": LogGroup,
    "AWS::CodeBuild::Project": BuildProject,
}


class CloudFormation:
    """CloudFormation's calls; a call returns after the requested change is complete.

    Parameters
    ----------
    folder
        ``<home>/cloudformation``: a file for each stack.
    clients
        Returns the boto3 client of a service in a region, for this same server.
    """

    def __init__(self, folder: Path, clients: Clients):
        self.folder, self.clients, self.lock = folder, clients, threading.Lock()

    def answer(self, form: dict[str, str], region: str) -> str:
        """Handle a request, given as its form's fields, and return the XML response.

        Raises
        ------
        AwsError
        """
        call = form.get("Action", "")
        method = getattr(self, f"_{re.sub('(?<!^)(?=[A-Z])', '_', call).lower()}", None)
        if method is None:
            raise AwsError("UnknownOperationException", f"The embedded AWS does not emulate cloudformation:{call}.")
        with self.lock:
            result = _xml(method(read_form(form), region))
        return (
            f'<{call}Response xmlns="{XMLNS}"><{call}Result>{result}</{call}Result>'
            f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{call}Response>"
        )

    def _file(self, stack: str, region: str) -> Path:
        return self.folder / region / f"{stack}.json"

    def _stacks(self, region: str) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in sorted((self.folder / region).glob("*.json"))]

    def _save(self, stack: dict[str, Any], region: str) -> None:
        file = self._file(stack["name"] if stack["status"] != "DELETE_COMPLETE" else stack["id"].split("/")[2], region)
        write_whole(file, json.dumps(stack, indent=1))

    def _find(self, name: str, region: str) -> dict[str, Any]:
        for stack in self._stacks(region):
            if stack["id"] == name or (stack["name"] == name and stack["status"] != "DELETE_COMPLETE"):
                return stack
        raise invalid(f"Stack with id {name} does not exist")

    def _find_change_set(self, request: Properties, region: str) -> tuple[dict[str, Any], dict[str, Any]]:
        name = request["ChangeSetName"]
        for stack in self._stacks(region):
            for change_set in stack["change_sets"]:
                if name == change_set["id"] or (name, request.get("StackName")) == (change_set["name"], stack["name"]):
                    return stack, change_set
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)

    def _create_change_set(self, request: Properties, region: str) -> Properties:
        name, kind = request["StackName"], request.get("ChangeSetType", "UPDATE")
        if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,127}", name):
            raise invalid(f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint")
        values = {each["ParameterKey"]: each.get("ParameterValue", "") for each in request.get("Parameters", ())}
        template = Template(request["TemplateBody"], values, region)
        if unknown := sorted({each["Type"] for each in template.active_resources().values()} - KINDS.keys()):
            raise invalid(f"The embedded AWS does not support {', '.join(unknown)}.")
        named = any(each["Type"].startswith("AWS::IAM::") for each in template.active_resources().values())
        if named and "CAPABILITY_NAMED_IAM" not in request.get("Capabilities", ()):
            raise AwsError("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]")
        try:
            stack = self._find(name, region)
        except AwsError:
            if kind == "UPDATE":
                raise
            stack_id = f"arn:aws:cloudformation:{region}:{DEFAULT_ACCOUNT_ID}:stack/{name}/{uuid.uuid4()}"
            stack = {"name": name, "id": stack_id, "status": "REVIEW_IN_PROGRESS", "reason": "", "created": time.time()}
            stack |= {"resources": {}, "events": [], "change_sets": [], "parameters": {}, "outputs": {}, "tags": []}
        if kind == "CREATE" and stack["status"] != "REVIEW_IN_PROGRESS":
            raise AwsError(
                "AlreadyExistsException",
                f"Stack [{name}] already exists and cannot be created again with the changeSet",
            )
        if kind == "UPDATE" and stack["status"] not in AT_REST:
            raise invalid(f"Stack:{stack['id']} is in {stack['status']} state and can not be updated.")
        changes = self._compare(stack, template)
        arn = (
            f"arn:aws:cloudformation:{region}:{DEFAULT_ACCOUNT_ID}:changeSet/{request['ChangeSetName']}/{uuid.uuid4()}"
        )
        change_set = {"id": arn, "name": request["ChangeSetName"], "kind": kind, "changes": changes, "values": values}
        change_set |= {"template": request["TemplateBody"], "tags": request.get("Tags", [])}
        stack["change_sets"].append(change_set)
        self._save(stack, region)
        return {"Id": arn, "StackId": stack["id"]}

    def _compare(self, stack: dict[str, Any], template: Template) -> list[dict[str, Any]]:
        """Return the changes that a template would make to a stack, in order."""
        template.made = dict(stack["resources"])
        changes = []
        for name, each in template.active_resources().items():
            known = stack["resources"].get(name)
            properties = template.resolve(each.get("Properties", {}))
            if known is None:
                changes.append({"Action": "Add", "LogicalResourceId": name, "ResourceType": each["Type"]})
            elif known["properties"] != properties:
                named = KINDS[each["Type"]].name_property
                replaced = bool(named) and known["properties"][named] != properties[named]
                changes.append(
                    {
                        "Action": "Modify",
                        "LogicalResourceId": name,
                        "PhysicalResourceId": known["id"],
                        "ResourceType": each["Type"],
                        "Replacement": "True" if replaced else "False",
                    }
                )
        changes += [
            {
                "Action": "Remove",
                "LogicalResourceId": name,
                "PhysicalResourceId": known["id"],
                "ResourceType": known["type"],
            }
            for name, known in reversed(stack["resources"].items())
            if name not in template.active_resources()
        ]
        return changes

    def _describe_change_set(self, request: Properties, region: str) -> Properties:
        stack, change_set = self._find_change_set(request, region)
        nothing = not change_set["changes"]
        return {
            "ChangeSetName": change_set["name"],
            "ChangeSetId": change_set["id"],
            "StackId": stack["id"],
            "StackName": stack["name"],
            "Status": "FAILED" if nothing else "CREATE_COMPLETE",
            "ExecutionStatus": "UNAVAILABLE" if nothing else "AVAILABLE",
            "StatusReason": (
                "The submitted information didn't contain changes. Submit different information to create a change set."
                if nothing
                else ""
            ),
            "Changes": [{"Type": "Resource", "ResourceChange": each} for each in change_set["changes"]],
        }

    def _delete_change_set(self, request: Properties, region: str) -> Properties:
        stack, change_set = self._find_change_set(request, region)
        stack["change_sets"].remove(change_set)
        self._save(stack, region)
        return {}

    def _execute_change_set(self, request: Properties, region: str) -> Properties:
        stack, change_set = self._find_change_set(request, region)
        if not change_set["changes"]:
            raise AwsError("InvalidChangeSetStatus", f"ChangeSet [{change_set['id']}] cannot be executed")
        kind = change_set["kind"]
        stack["change_sets"] = []
        if kind == "CREATE":  # a stack whose making fails has them, too
            stack["tags"] = change_set["tags"]
        self._set_status(stack, region, f"{kind}_IN_PROGRESS", "User Initiated")
        template = Template(change_set["template"], change_set["values"], region)
        template.made = stack["resources"]
        new: list[str] = []
        before = copy.deepcopy(stack["resources"])
        try:
            for name, each in template.active_resources().items():
                self._apply(stack, region, name, each["Type"], template.resolve(each.get("Properties", {})), new)
            for name in reversed([name for name in stack["resources"] if name not in template.active_resources()]):
                self._remove(stack, region, name)
        except (ClientError, AwsError) as error:
            failed = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
            self._set_status(stack, region, f"{failed}_IN_PROGRESS", str(error))
            done = self._roll_back(stack, region, new, before)
            self._set_status(stack, region, f"{failed}_{'COMPLETE' if done else 'FAILED'}")
            return {}
        stack["parameters"], stack["tags"] = change_set["values"], change_set["tags"]
        stack["outputs"] = {
            name: template.resolve(each["Value"])
            for name, each in template.outputs.items()
            if "Condition" not in each or template.holds(each["Condition"])
        }
        self._set_status(stack, region, f"{kind}_COMPLETE")
        return {}

    def _roll_back(self, stack: dict[str, Any], region: str, new: list[str], before: dict[str, Any]) -> bool:
        """Delete new resources and revert changed ones; return whether all could be deleted."""
        done = True
        for name, known in before.items():
            if name not in new and stack["resources"].get(name, known)["properties"] != known["properties"]:
                KINDS[known["type"]](self.clients, region).update(known["id"], known["properties"])
                stack["resources"][name] = known
        for name in reversed(new):
            try:
                self._remove(stack, region, name)
            except ClientError:
                done = False
        return done

    def _apply(
        self, stack: dict[str, Any], region: str, name: str, kind: str, properties: Properties, new: list[str]
    ) -> None:
        """Create or update a resource and save the stack; errors of the resource's service are raised."""
        known, resource = stack["resources"].get(name), KINDS[kind](self.clients, region)
        if known and known["properties"] == properties:
            return
        verb = "UPDATE" if known else "CREATE"
        try:
            named = resource.name_property
            if known and (not named or known["properties"][named] == properties[named]):
                resource.update(known["id"], properties)
                known["properties"] = properties
            else:
                made, attributes = resource.create(properties)
                if known:
                    resource.delete(known["id"])
                known = {"type": kind, "id": made, "attributes": attributes}
                stack["resources"][name] = known | {"properties": properties}
                new.append(name)
        except (ClientError, AwsError) as error:
            self._add_event(stack, name, kind, known["id"] if known else "", f"{verb}_FAILED", str(error))
            raise
        stack["resources"][name]["status"] = f"{verb}_COMPLETE"
        self._add_event(stack, name, kind, known["id"], f"{verb}_COMPLETE")
        self._save(stack, region)

    def _remove(self, stack: dict[str, Any], region: str, name: str) -> None:
        known = stack["resources"][name]
        try:
            KINDS[known["type"]](self.clients, region).delete(known["id"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                known["status"] = "DELETE_FAILED"
                self._add_event(stack, name, known["type"], known["id"], "DELETE_FAILED", str(error))
                raise
        del stack["resources"][name]
        self._add_event(stack, name, known["type"], known["id"], "DELETE_COMPLETE")
        self._save(stack, region)

    def _delete_stack(self, request: Properties, region: str) -> Properties:
        try:
            stack = self._find(request["StackName"], region)
        except AwsError:
            return {}
        self._set_status(stack, region, "DELETE_IN_PROGRESS", "User Initiated")
        failed = []
        for name in list(reversed(stack["resources"])):
            try:
                self._remove(stack, region, name)
            except ClientError:
                failed.append(name)
        if failed:
            reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            self._set_status(stack, region, "DELETE_FAILED", reason)
        else:
            self._set_status(stack, region, "DELETE_COMPLETE")
            self._file(stack["name"], region).unlink()
        return {}

    def _set_status(self, stack: dict[str, Any], region: str, status: str, reason: str = "") -> None:
        stack["status"], stack["reason"] = status, reason
        self._add_event(stack, stack["name"], "AWS::CloudFormation::Stack", stack["id"], status, reason)
        self._save(stack, region)

    def _add_event(self, stack: dict[str, Any], name: str, kind: str, made: str, status: str, reason: str = "") -> None:
        event = {"EventId": str(uuid.uuid4()), "StackId": stack["id"], "StackName": stack["name"]}
        event |= {"LogicalResourceId": name, "PhysicalResourceId": made, "ResourceType": kind, "Timestamp": _now()}
        stack["events"].append(event | {"ResourceStatus": status, "ResourceStatusReason": reason})

    def _describe_stacks(self, request: Properties, region: str) -> Properties:
        found = [self._find(request["StackName"], region)] if "StackName" in request else self._stacks(region)
        return {
            "Stacks": [
                {
                    "StackId": stack["id"],
                    "StackName": stack["name"],
                    "CreationTime": _now(stack["created"]),
                    "StackStatus": stack["status"],
                    "StackStatusReason": stack["reason"],
                    "Parameters": [
                        {"ParameterKey": key, "ParameterValue": value} for key, value in stack["parameters"].items()
                    ],
                    "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in stack["outputs"].items()],
                    "Tags": stack["tags"],
                }
                for stack in found
                if "StackName" in request or stack["status"] != "DELETE_COMPLETE"
            ]
        }

    def _describe_stack_events(self, request: Properties, region: str) -> Properties:
        return {"StackEvents": self._find(request["StackName"], region)["events"][::-1]}

    def _list_stack_resources(self, request: Properties, region: str) -> Properties:
        stack = self._find(request["StackName"], region)
        return {"StackResourceSummaries": _resources(stack)}

    def _describe_stack_resources(self, request: Properties, region: str) -> Properties:
        if made := request.get("PhysicalResourceId"):
            for stack in self._stacks(region):
                if any(each["id"] == made for each in stack["resources"].values()):
                    return {"StackResources": _resources(stack)}
            raise invalid(f"Stack for {made} does not exist")
        return {"StackResources": _resources(self._find(request["StackName"], region))}

    def _validate_template(self, request: Properties, region: str) -> Properties:
        content = yaml.load(request["TemplateBody"], _Loader)  # noqa: S506  a SafeLoader
        return {"Description": content.get("Description", "")}


GONE = ("NoSuchBucket", "404", "RepositoryNotFoundException", "NoSuchEntity", "NotFound", "NotFoundException")
GONE += ("ResourceNotFoundException",)
"""Error codes for resources that no longer exist, which CloudFormation counts as deleted."""


def _resources(stack: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "StackId": stack["id"],
            "StackName": stack["name"],
            "LogicalResourceId": name,
            "PhysicalResourceId": each["id"],
            "ResourceType": each["type"],
            "ResourceStatus": each["status"],
            "Timestamp": _now(),
            "LastUpdatedTimestamp": _now(),
        }
        for name, each in stack["resources"].items()
    ]


def _now(seconds: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def read_form(form: dict[str, str]) -> dict[str, Any]:
    """Return a form's fields as nested data: ``Tags.member.1.Key`` is the key of the first tag.

    >>> read_form({"StackName": "x", "Tags.member.1.Key": "a", "Tags.member.1.Value": "b"})
    {'StackName': 'x', 'Tags': [{'Key': 'a', 'Value': 'b'}]}
    """
    found: dict[str, Any] = {}
    for name, value in form.items():
        place, parts = found, name.replace(".member.", ".").split(".")
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return {name: _listed(value) for name, value in found.items() if name not in ("Action", "Version")}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    value = {name: _listed(each) for name, each in value.items()}
    return [value[name] for name in sorted(value, key=int)] if all(name.isdigit() for name in value) else value


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_xml(each)}</{name}>" for name, each in value.items() if each != "")
    if isinstance(value, list):
        return "".join(f"<member>{_xml(each)}</member>" for each in value)
    return escape(str(value))
