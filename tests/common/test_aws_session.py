"""Where a session's requests go."""

import pytest

from common import aws_session

LOOPBACK = ["127.0.0.1", "127.1", "127.8.8.8", "0.0.0.0", "0", "2130706433", "0x7f000001", "0177.0.0.1"]
LOOPBACK += ["localhost", "LOCALHOST.", "s3.localhost", "[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::]"]
OTHERS = ["192.0.2.1", "[2001:db8::1]", "localhost.invalid", "x" * 70 + ".invalid"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_spelling_of_this_machine_passes_for_aws(host):
    with pytest.raises(aws_session.ConnectError, match='Expected target "aws" to be AWS, found the address http'):
        aws_session.require_elsewhere(f"http://{host}:5000")


@pytest.mark.parametrize("endpoint", [None, *(f"https://{host}:5000" for host in OTHERS)])
def test_other_addresses_pass(endpoint):
    aws_session.require_elsewhere(endpoint)
