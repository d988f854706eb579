"""Marked processes: whichever can't be killed is named."""

import psutil
import pytest

from common import processes


@pytest.mark.parametrize("refusal", [None, psutil.AccessDenied(4711), PermissionError()])
def test_a_process_that_cannot_be_killed_is_reported(monkeypatch, caplog, refusal):
    class Deathless:
        pid = 4711

        def kill(self):
            if refusal:
                raise refusal

    monkeypatch.setattr(processes, "find_marked", lambda name, value: [Deathless()])
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.05)
    assert processes.kill_marked("MARK", "here") == 1
    assert caplog.messages == ["Expected the processes with MARK=here to end when killed, but 4711 live. End them."]
