"""Starts ML-Agents' own learner, unmodified, under watch. Run by `train`; takes the arguments of `mlagents-learn`."""

import contextlib
import os
import signal
import sys
import traceback

import events
import process_tree


def main() -> None:
    """Run `mlagents.trainers.learn.main` and end the process for certain."""
    process_tree.die_with(events.settings()["supervisor"])
    if sys.version_info >= (3, 8):  # no TensorFlow 1.15 there
        import tf1_compat

        tf1_compat.install()
    try:
        import learner_watch
        from mlagents.trainers import learn
    except KeyboardInterrupt:  # asked to stop before it had begun
        os._exit(130)

    code = 0
    try:
        learner_watch.install()
        learn.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # asked to stop before there was anything to save
        code = 130
    except BaseException as error:
        code = 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing more to interrupt
        learner_watch.report(error)
        with contextlib.suppress(OSError):  # where the log goes there may be no room
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # A plain exit would wait for workers that never end, once the learner has failed.
        os._exit(code)


if __name__ == "__main__":
    main()
