"""CodeBuild: projects and builds. A build really builds, in the Docker engine of this machine.

moto's builds have succeeded as soon as somebody looks. Here a build runs the commands of its project's buildspec that
`buildspec` knows. Without an engine it is recorded, and ends as a FAULT that says so. Projects and builds are kept in
``<home>/codebuild/``, logs are in CloudWatch Logs.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from moto.core import DEFAULT_ACCOUNT_ID

from sagemaker_local import buildspec
from sagemaker_local.buildspec import Build, BuildError
from sagemaker_local.cloudwatch_logs import make_stream
from sagemaker_local.home import write_whole
from sagemaker_local.schema import AwsError
from sagemaker_local.training_api import trusts

Answer = dict[str, Any]
PRINCIPAL = "codebuild.amazonaws.com"
LOG_GROUPS = "/aws/codebuild/"
RECORDED_ONLY = "The embedded AWS only records this build, because no Docker engine here can carry it out: {}"
LOST = "The embedded AWS ended during this build."
FLUSH_LINES = 50
"""After how many lines the log is sent on; it is at the end of each command, too."""


class StoppedError(Exception):
    """The build is to end."""


class CodeBuild:
    """Answers the calls about projects and builds of one account.

    Parameters
    ----------
    folder
        ``<home>/codebuild``.
    clients
        Gives the boto3 client of a service in a region, of this very server.
    """

    def __init__(self, folder: Path, clients: Callable[..., BaseClient]):
        self.folder, self.clients = folder, clients
        self.lock = threading.RLock()
        self.running: dict[str, BuildThread] = {}
        self.calls: dict[str, Callable[[Answer, str], Answer]] = {
            "CreateProject": self._create_project,
            "UpdateProject": self._update_project,
            "DeleteProject": self._delete_project,
            "BatchGetProjects": self._get_projects,
            "ListProjects": lambda _, region: {"projects": [one["name"] for one in self._list("projects", region)]},
            "StartBuild": self._start,
            "StopBuild": self._stop,
            "BatchGetBuilds": self._get_builds,
            "ListBuildsForProject": self._list_builds,
        }

    def _file(self, kind: str, name: str, region: str) -> Path:
        return self.folder / region / kind / f"{name}.json"

    def _read(self, kind: str, name: str, region: str) -> Answer | None:
        try:
            return json.loads(self._file(kind, name, region).read_text())
        except FileNotFoundError:
            return None

    def _list(self, kind: str, region: str) -> list[Answer]:
        return [json.loads(file.read_text()) for file in sorted((self.folder / region / kind).glob("*.json"))]

    def save(self, kind: str, name: str, record: Answer, region: str) -> None:
        """Write a record."""
        with self.lock:
            write_whole(self._file(kind, name, region), json.dumps(record))

    def _find_project(self, name: str, region: str) -> Answer:
        if project := self._read("projects", name, region):
            return project
        arn = f"arn:aws:codebuild:{region}:{DEFAULT_ACCOUNT_ID}:project/{name}"
        raise AwsError("ResourceNotFoundException", f"Project cannot be found: {arn}")

    def _create_project(self, request: Answer, region: str) -> Answer:
        name, now = request["name"], time.time()
        arn = f"arn:aws:codebuild:{region}:{DEFAULT_ACCOUNT_ID}:project/{name}"
        if self._read("projects", name, region):
            raise AwsError("ResourceAlreadyExistsException", f"Project already exists: {arn}")
        _check_role(request["serviceRole"])
        project = {"timeoutInMinutes": 60, **request, "arn": arn, "created": now, "lastModified": now}
        self.save("projects", name, project, region)
        return {"project": project}

    def _update_project(self, request: Answer, region: str) -> Answer:
        project = self._find_project(request["name"], region) | request | {"lastModified": time.time()}
        _check_role(project["serviceRole"])
        self.save("projects", request["name"], project, region)
        return {"project": project}

    def _delete_project(self, request: Answer, region: str) -> Answer:
        self._file("projects", request["name"], region).unlink(missing_ok=True)
        for build in self._list("builds", region):
            if build["projectName"] == request["name"]:
                self._file("builds", build["id"].partition(":")[2], region).unlink(missing_ok=True)
        return {}

    def _get_projects(self, request: Answer, region: str) -> Answer:
        found = {name: self._read("projects", name, region) for name in request["names"]}
        return {
            "projects": [project for project in found.values() if project],
            "projectsNotFound": [name for name, project in found.items() if not project],
        }

    def _start(self, request: Answer, region: str) -> Answer:
        project = self._find_project(request["projectName"], region)
        number = 1 + sum(build["projectName"] == project["name"] for build in self._list("builds", region))
        source = {**project["source"]}
        source |= {"location": request["sourceLocationOverride"]} if "sourceLocationOverride" in request else {}
        source |= {"buildspec": request["buildspecOverride"]} if "buildspecOverride" in request else {}
        variables = {each["name"]: each for each in project["environment"].get("environmentVariables", ())}
        variables |= {each["name"]: each for each in request.get("environmentVariablesOverride", ())}
        name, stream = project["name"], str(uuid.uuid4())
        group = project.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName") or LOG_GROUPS + name
        build = {
            "id": f"{name}:{stream}",
            "arn": f"arn:aws:codebuild:{region}:{DEFAULT_ACCOUNT_ID}:build/{name}:{stream}",
            "buildNumber": number,
            "startTime": time.time(),
            "currentPhase": "QUEUED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "projectName": name,
            "phases": [],
            "source": source,
            "environment": {**project["environment"], "environmentVariables": list(variables.values())},
            "serviceRole": project["serviceRole"],
            "timeoutInMinutes": project["timeoutInMinutes"],
            "logs": {"groupName": group, "streamName": stream},
        }
        thread = BuildThread(self, build, region)
        with self.lock:
            self.running[build["id"]] = thread
            self.save("builds", stream, build, region)
        thread.start()
        return {"build": build}

    def _find_build(self, name: str, region: str) -> Answer | None:
        """Return a build; one that ran when an earlier server ended has ended with it."""
        with self.lock:
            build = self._read("builds", name.partition(":")[2], region)
            if build and build["buildStatus"] == "IN_PROGRESS" and build["id"] not in self.running:
                end(build, "FAULT", LOST)
                self.save("builds", name.partition(":")[2], build, region)
            return build

    def _get_builds(self, request: Answer, region: str) -> Answer:
        found = {name: self._find_build(name, region) for name in request["ids"]}
        return {
            "builds": [build for build in found.values() if build],
            "buildsNotFound": [name for name, build in found.items() if not build],
        }

    def _list_builds(self, request: Answer, region: str) -> Answer:
        self._find_project(request["projectName"], region)
        builds = [build for build in self._list("builds", region) if build["projectName"] == request["projectName"]]
        newest = request.get("sortOrder", "DESCENDING") == "DESCENDING"
        return {"ids": [build["id"] for build in sorted(builds, key=lambda one: one["startTime"], reverse=newest)]}

    def _stop(self, request: Answer, region: str) -> Answer:
        build = self._find_build(request["id"], region)
        if build is None:
            raise AwsError("ResourceNotFoundException", f"Build {request['id']} does not exist")
        if thread := self.running.get(request["id"]):
            thread.stopped.set()  # seen at the next line of its log
        return {"build": self._find_build(request["id"], region)}


class BuildThread(threading.Thread):
    """Carries out one build."""

    def __init__(self, codebuild: CodeBuild, build: Answer, region: str):
        super().__init__(name=build["id"], daemon=True)
        self.codebuild, self.build, self.region = codebuild, build, region
        self.stopped = threading.Event()
        self.lines: list[dict[str, Any]] = []

    def run(self) -> None:
        """Run all phases, and keep how the build ended."""
        build = self.build
        status, why = "SUCCEEDED", ""
        try:
            self._live()
        except StoppedError:
            status, why = "STOPPED", "The build was stopped."
        except BuildError as error:
            status, why = "FAILED", str(error)
        except (BotoCoreError, ClientError) as error:
            status, why = "FAILED", f"CLIENT_ERROR: {error}"
        except Exception as error:
            status, why = "FAULT", str(error)
        if why:
            self._note(why)
        end(build, status, why)
        try:
            self._flush()
        finally:
            with self.codebuild.lock:
                if self.codebuild._file("projects", build["projectName"], self.region).exists():
                    self._save()
                del self.codebuild.running[build["id"]]

    def _live(self) -> None:
        place = self.build["logs"]
        self._enter("PROVISIONING")
        make_stream(self.codebuild.clients("logs", self.region), place["streamName"], place["groupName"])
        from common import docker_engine as engine  # here, so that the embedded AWS starts without Docker's client
        from common.errors import UnavailableError

        try:
            client = engine.connect()
        except UnavailableError as error:
            raise RuntimeError(RECORDED_ONLY.format(error)) from error
        self._enter("DOWNLOAD_SOURCE")
        bucket, key = buildspec.split_location(self.build["source"]["location"])
        source = self.codebuild.clients("s3", self.region).get_object(Bucket=bucket, Key=key)["Body"].read()
        variables, phases = buildspec.read(self.build["source"].get("buildspec", ""))
        given = {each["name"]: each["value"] for each in self.build["environment"]["environmentVariables"]}
        ecr = self.codebuild.clients("ecr", self.region)
        build = Build(engine, client, source, variables | given, ecr, self._write)
        for phase, commands in phases.items():
            self._enter(phase)
            for command in commands:
                build.run(command)
                self._flush()
        self._enter("FINALIZING")

    def _enter(self, phase: str) -> None:
        close_phase(self.build, "SUCCEEDED")
        self.build["phases"].append({"phaseType": phase, "startTime": time.time()})
        self.build["currentPhase"] = phase
        self._save()

    def _save(self) -> None:
        self.codebuild.save("builds", self.build["logs"]["streamName"], self.build, self.region)

    def _write(self, line: str) -> None:
        if self.stopped.is_set():
            raise StoppedError
        self._note(line)
        if len(self.lines) >= FLUSH_LINES:
            self._flush()

    def _note(self, line: str) -> None:
        if line.strip():
            self.lines.append({"timestamp": int(1000 * time.time()), "message": line + "\n"})

    def _flush(self) -> None:
        """Send the log on."""
        if self.lines:
            place = {"logGroupName": self.build["logs"]["groupName"], "logStreamName": self.build["logs"]["streamName"]}
            self.codebuild.clients("logs", self.region).put_log_events(**place, logEvents=self.lines)
            self.lines = []


def close_phase(build: Answer, status: str, why: str = "") -> None:
    """End the phase that a build is in."""
    for phase in build["phases"][-1:]:
        phase |= {"phaseStatus": status, "endTime": time.time()}
        phase["durationInSeconds"] = round(phase["endTime"] - phase["startTime"])
        if why:
            phase["contexts"] = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": why}]


def end(build: Answer, status: str, why: str = "") -> None:
    """End a build."""
    close_phase(build, status, why)
    build["phases"].append({"phaseType": "COMPLETED", "startTime": time.time()})
    build |= {"buildStatus": status, "buildComplete": True, "endTime": time.time(), "currentPhase": "COMPLETED"}


def _check_role(arn: str) -> None:
    """Refuse a role that is not there, or that CodeBuild may not assume."""
    if not trusts(arn, PRINCIPAL):
        message = f"CodeBuild is not authorized to perform: sts:AssumeRole on service role {arn}"
        raise AwsError("InvalidInputException", message)
