"""A job's log in CloudWatch."""

from typing import Any

from botocore.exceptions import ClientError

from common.aws_session import Connection, code

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class Log:
    """A job's log in CloudWatch, read as it grows.

    A job that was interrupted and restarted has a log stream for each attempt; they are read one after another.

    Parameters
    ----------
    connection : Connection
    name : str
        The job's.
    logs : client, optional
        A client of CloudWatch Logs, to share between many logs.

    Attributes
    ----------
    lines : list of str
        The lines read so far.
    """

    def __init__(self, connection: Connection, name: str, logs: Any = None):
        self.lines: list[str] = []
        self._logs = logs or connection.client("logs")
        self._name = name
        self._tokens: dict[str, str] = {}  # stream -> token of the next page

    def read(self) -> None:
        """Read the new lines. A log that does not exist yet is empty."""
        for stream in self._list_streams():
            while True:
                token = self._tokens.get(stream)
                position = {"nextToken": token} if token else {"startFromHead": True}
                page = self._logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, **position)
                self.lines += [event["message"] for event in page["events"]]
                self._tokens[stream] = page["nextForwardToken"]
                if self._tokens[stream] == token:
                    break

    def _list_streams(self) -> list[str]:
        try:
            found = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._name}/")
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
            return []
        return [
            stream["logStreamName"] for stream in found["logStreams"]
        ]  # sorted by name, which ends with its start time
