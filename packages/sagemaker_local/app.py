"""The embedded AWS as a WSGI application, which routes each request to its handler."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl
from xml.sax.saxutils import escape

from botocore import xform_name
from werkzeug.test import run_wsgi_app

from sagemaker_local import cloudwatch_logs, limits
from sagemaker_local.authentication import Authenticator, take_body
from sagemaker_local.cloudformation import CloudFormation
from sagemaker_local.cloudwatch_metrics import JobMetrics
from sagemaker_local.codebuild import LOG_GROUPS, CodeBuild
from sagemaker_local.ecr import Ecr
from sagemaker_local.jobs import Jobs
from sagemaker_local.notifications import Notifier
from sagemaker_local.request_journal import RequestJournal, WsgiApp
from sagemaker_local.resource_api import ResourceApi
from sagemaker_local.s3_store import Store
from sagemaker_local.schema import AwsError, check, invalid, not_emulated
from sagemaker_local.training_api import TrainingApi
from sagemaker_local.tuning.api import TuningApi
from sagemaker_local.tuning.jobs import TuningJobs

CONTROL_PREFIX = "/embedded/"
"""Prefix of the server's own paths, which AWS does not have."""

NOTHING_RUNS = {
    "CreateAutoMLJobV2",
    "CreateCluster",
    "CreateCompilationJob",
    "CreateEndpoint",
    "CreateNotebookInstance",
    "CreateProcessingJob",
    "CreateTransformJob",
    "StartNotebookInstance",
    "StartPipelineExecution",
}
"""Calls that moto answers as if something ran, or had run."""

MAX_DRAINED = 1 << 20
"""Bytes of a refused request's body that are read before the response is sent."""

IAM_CHANGES = ("Create", "Delete", "Put", "Attach", "Detach", "Update", "Add", "Remove", "Tag", "Untag", "Set")
LOGS_CHANGES = ("CreateLogGroup", "DeleteLogGroup", "PutRetention", "DeleteRetention", "TagLog", "UntagLog", "TagRes")
LOGS_CHANGES += ("UntagRes", "CreateLogStream", "DeleteLogStream", "PutLogEvents")
OF_STREAMS = ("CreateLogStream", "DeleteLogStream", "PutLogEvents")
"""Kept for builds alone: jobs keep their logs themselves."""
EVENTS_CHANGES = ("PutRule", "DeleteRule", "PutTargets", "RemoveTargets", "EnableRule", "DisableRule", "Tag", "Untag")
SNS_CHANGES = ("CreateTopic", "DeleteTopic", "Subscribe", "Unsubscribe", "SetTopicAttributes", "Tag", "Untag")
READS_LOGS = ("DescribeLog", "GetLogEvents", "FilterLogEvents", "StartQuery")
S3_CONTROL = "/v20180820/"


class App:
    """Pass S3 to the store, ECR and SageMaker's jobs to their own classes, and everything else to moto."""

    def __init__(
        self, authenticator: Authenticator, moto: WsgiApp, store: Store, ecr: Ecr, jobs: Jobs, tunings: TuningJobs
    ):
        self.authenticator, self.moto, self.store, self.ecr, self.jobs = authenticator, moto, store, ecr, jobs
        home = jobs.folder.parent
        self.journals = {
            "iam": RequestJournal("iam", "", home / "iam.jsonl", moto, IAM_CHANGES),
            "logs": RequestJournal("logs", "Logs_20140328.", home / "logs.jsonl", moto, LOGS_CHANGES, _age_group),
            "budgets": RequestJournal(
                "budgets", "AWSBudgetServiceGateway.", home / "budgets.jsonl", moto, ("Create", "Delete")
            ),
            "events": RequestJournal("events", "AWSEvents.", home / "events.jsonl", moto, EVENTS_CHANGES),
            "sns": RequestJournal("sns", "", home / "sns.jsonl", moto, SNS_CHANGES),
        }
        self.codebuild = CodeBuild(home / "codebuild", jobs.client)
        self.cloudformation = CloudFormation(home / "cloudformation", jobs.client)
        jobs.notify = Notifier(home / "mail", self.journals["events"].file, jobs.client).notify
        self.job_calls = {**TrainingApi(jobs).calls, **TuningApi(tunings).calls}
        self.resources = ResourceApi(jobs, tunings)
        self.throttle = limits.read_throttle()
        JobMetrics.jobs = jobs

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        try:
            caller = self.authenticator.admit(environ)
        except AwsError as error:
            service = "" if "HTTP_X_AMZ_TARGET" in environ else "s3"  # decides only the format of the error
            return send_refusal(environ, start_response, service, error)
        service, region = caller.service, caller.region
        if environ["PATH_INFO"].startswith(CONTROL_PREFIX):
            return self._control(environ, start_response, service)
        try:
            if not caller.internal:  # the server's own clients write the jobs' logs
                self.throttle.take(service)
        except AwsError as error:
            return _send_error(start_response, error)
        if service == "s3" and not environ["PATH_INFO"].startswith(S3_CONTROL):
            return self.store(environ, start_response)
        if service == "ecr":
            return self._ecr(environ, start_response, region)
        if service == "sagemaker":
            return self._sagemaker(environ, start_response, region)
        if service == "codebuild":
            return self._codebuild(environ, start_response, region)
        if service == "cloudformation":
            return self._cloudformation(environ, start_response, region)
        if service in self.journals:
            self.journals[service].restore()
        if service == "logs":
            try:
                self._show_logs(environ, region)
            except AwsError as error:
                return _send_error(start_response, error)
        if service == "sns":
            form = parse_qs(take_body(environ).decode("utf-8", "replace"))
            if form.get("Action") == ["Subscribe"] and form.get("Protocol") != ["email"]:  # moto would call a URL
                error = AwsError(
                    "InvalidParameter", "Invalid parameter: Protocol: the embedded AWS supports only email"
                )
                return send_refusal(environ, start_response, service, error)
        if service == "monitoring":
            JobMetrics.set_request(take_body(environ))
        if service == "iam":
            body = take_body(environ)
            form = parse_qs(body.decode("utf-8", "replace"))
            if form.get("Action") == ["SimulatePrincipalPolicy"]:
                return _send(start_response, 200, simulate(form).encode(), "text/xml")
        return self._moto(environ, start_response, service, region)

    def _moto(self, environ: dict[str, Any], start_response: Any, service: str, region: str) -> Iterable[bytes]:
        """Pass the request to moto. Turn its 5xx responses into refusals, because clients retry a 5xx for 25 s."""
        body = take_body(environ)
        try:
            response, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
            if not status.startswith("5"):
                if service in self.journals and status.startswith("2"):
                    call = name_call(environ, body, service).rpartition(":")[2]
                    text = body.decode()
                    request = text if is_form(environ) else json.loads(text)
                    if call not in OF_STREAMS or request["logGroupName"].startswith(LOG_GROUPS):
                        self.journals[service].keep(call, request, region)
                start_response(status, list(headers.items()))
                return response
            error = not_emulated(name_call(environ, body, service))
        except Exception as raised:
            error = not_emulated(name_call(environ, body, service), raised)
            logging.info("moto: %s", error)
        return send_refusal(environ, start_response, service, error)

    def _sagemaker(self, environ: dict[str, Any], start_response: Any, region: str) -> Iterable[bytes]:
        call = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix("SageMaker.")
        try:
            request = json.loads(take_body(environ) or b"{}")
            handler = self.job_calls.get(call)
            if isinstance(request, dict) and self.resources.knows(call, request):
                handler = self.resources.calls[call]
            if handler:
                return _send_json(start_response, 200, handler(check(call, request), region))
            if call and (call in NOTHING_RUNS or not moto_knows(call)):
                raise not_emulated(f"sagemaker:{call}")
            if call:
                check(call, request)
            return self._moto(environ, start_response, "sagemaker", region)
        except json.JSONDecodeError as error:
            return _send_error(start_response, AwsError("SerializationException", str(error)))
        except AwsError as error:
            return _send_error(start_response, error)
        except Exception as error:
            logging.exception("could not answer %s", call)
            return _send_error(start_response, AwsError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def _codebuild(self, environ: dict[str, Any], start_response: Any, region: str) -> Iterable[bytes]:
        call = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        try:
            request = check(call, json.loads(take_body(environ) or b"{}"), "codebuild")
            if call not in self.codebuild.calls:
                raise not_emulated(f"codebuild:{call}")
            return _send_json(start_response, 200, self.codebuild.calls[call](request, region))
        except json.JSONDecodeError as error:
            return _send_error(start_response, AwsError("SerializationException", str(error)))
        except AwsError as error:
            return _send_error(start_response, error)

    def _cloudformation(self, environ: dict[str, Any], start_response: Any, region: str) -> Iterable[bytes]:
        form = dict(parse_qsl(take_body(environ).decode("utf-8", "replace"), keep_blank_values=True))
        try:
            return _send(start_response, 200, self.cloudformation.answer(form, region).encode(), "text/xml")
        except AwsError as error:
            return send_refusal(environ, start_response, "cloudformation", error)

    def _ecr(self, environ: dict[str, Any], start_response: Any, region: str) -> Iterable[bytes]:
        try:
            return self.ecr(environ, start_response, region)
        except AwsError as error:
            return _send_error(start_response, error)
        except Exception as error:
            logging.info("ECR", exc_info=True)
            return _send_error(start_response, not_emulated(name_call(environ, b"", "ecr"), error))

    def _show_logs(self, environ: dict[str, Any], region: str) -> None:
        """Make sure that moto has the logs that a request reads, and resolve a prefix, which moto ignores."""
        call = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        if call.startswith(READS_LOGS):
            self.jobs.show_streams(region)
        if call == "FilterLogEvents":
            with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):  # moto reports what is wrong
                request = json.loads(take_body(environ))
                if group := request.pop("logGroupIdentifier", ""):  # a name or an ARN; moto takes only names
                    request["logGroupName"] = group.rpartition(":log-group:")[2]
                    _put(environ, json.dumps(request).encode())
                if prefix := request.get("logStreamNamePrefix"):  # which moto ignores
                    if "logStreamNames" in request:
                        message = "Both logStreamNames and logStreamNamePrefix can't be specified."
                        raise AwsError("InvalidParameterException", message)
                    request["logStreamNames"] = cloudwatch_logs.find_streams(
                        region, request["logGroupName"], prefix
                    ) or [prefix]
                    _put(environ, json.dumps(request).encode())

    def _control(self, environ: dict[str, Any], start_response: Any, service: str) -> Iterable[bytes]:
        """Answer ``POST /embedded/jobs/<name>/interrupt?seconds=…``."""
        try:
            match = re.fullmatch(CONTROL_PREFIX + "jobs/([^/]+)/interrupt", environ["PATH_INFO"])
            if not match or environ["REQUEST_METHOD"] != "POST" or service != "sagemaker":
                raise AwsError("ResourceNotFound", f"Not found: {environ['PATH_INFO']}", 404)
            self.jobs.interrupt(match[1], _seconds(environ.get("QUERY_STRING", "")))
            return _send_json(start_response, 200, None)
        except AwsError as error:
            return _send_error(start_response, error)


def _age_group(call: str, request: dict[str, Any], region: str, when: float) -> None:
    if call == "CreateLogGroup":
        cloudwatch_logs.set_creation(request["logGroupName"], region, when)


def moto_knows(call: str) -> bool:
    """Return whether moto implements a SageMaker call."""
    from moto.sagemaker.responses import SageMakerResponse  # here, so that the embedded AWS starts without it

    return hasattr(SageMakerResponse, xform_name(call))


def name_call(environ: dict[str, Any], body: bytes, service: str) -> str:
    """Name a request as IAM does, such as ``sagemaker:CreateCluster``, or by method and path if it has no action."""
    name = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if not name and is_form(environ):
        name = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
    return f"{service or 'aws'}:{name or environ['REQUEST_METHOD'] + ' ' + environ['PATH_INFO']}"


def simulate(form: dict[str, list[str]]) -> str:
    """Return the response of IAM's SimulatePrincipalPolicy: everything is allowed."""

    def members(name: str) -> list[str]:
        found = [(key, values[0]) for key, values in form.items() if key.startswith(f"{name}.member.")]
        return [value for _, value in sorted(found, key=lambda item: int(item[0].rpartition(".")[2]))]

    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
        "</EvalResourceName><EvalDecision>allowed</EvalDecision><MatchedStatements/><MissingContextValues/></member>"
        for action in members("ActionNames")
        for resource in members("ResourceArns") or ["*"]
    )
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        "<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated>"
        f"<EvaluationResults>{results}</EvaluationResults></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )


def _put(environ: dict[str, Any], body: bytes) -> None:
    """Replace a request's body."""
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))


def _send(start_response: Any, status: int, body: bytes, kind: str) -> list[bytes]:
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
    ]
    start_response(f"{status} {'OK' if status == 200 else 'Error'}", headers)
    return [body]


def _send_json(start_response: Any, status: int, content: dict[str, Any] | None) -> list[bytes]:
    body = b"" if content is None else json.dumps(content).encode()
    return _send(start_response, status, body, "application/x-amz-json-1.1")


def _seconds(query: str) -> float:
    text = dict(parse_qsl(query)).get("seconds", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise invalid(f"seconds must be a number from 0 to 86400, not {text}")
    return seconds


def send_refusal(environ: dict[str, Any], start_response: Any, service: str, error: AwsError) -> list[bytes]:
    """Refuse a request of any service in the format that its clients read."""
    with contextlib.suppress(AwsError, OSError):  # a client that is still sending would not read the response
        take_body(environ, MAX_DRAINED)
    if not is_form(environ) and service not in ("s3", "route53", "cloudfront"):
        return _send_error(start_response, error)
    xml = f"<Error><Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    xml = (
        f"<Response><Errors>{xml}</Errors></Response>" if service == "ec2" else f"<ErrorResponse>{xml}</ErrorResponse>"
    )
    return _send(start_response, error.status, xml.encode(), "text/xml")


def is_form(environ: dict[str, Any]) -> bool:
    """Return whether a request is a form, as requests to IAM and STS are."""
    return environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")


def _send_error(start_response: Any, error: AwsError) -> list[bytes]:
    return _send_json(start_response, error.status, {"__type": error.code, "message": error.message})
