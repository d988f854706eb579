"""Settings for all rooms. No test can reach an AWS account, and none uses the reader's own embedded AWS."""

import os

# Set before anything imports boto3, and for every process that a test starts.
os.environ.update(
    AWS_ACCESS_KEY_ID="TESTING",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    # A port that nothing listens on: what is not meant for the embedded AWS fails at once.
    AWS_ENDPOINT_URL="http://127.0.0.1:9",
    MPLBACKEND="agg",
)
for _name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
    os.environ.pop(_name, None)
