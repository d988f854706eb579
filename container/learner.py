"""Runs ML-Agents' own, unmodified learner with monitoring. Started by `train`; takes `mlagents-learn`'s arguments."""

import contextlib
import importlib
import os
import signal
import sys
import traceback

import events
import process_tree
import trainers
import watching


def main() -> None:
    """Run `mlagents.trainers.learn.main`, and make sure that the process ends."""
    process_tree.die_with(events.settings()["supervisor"])
    trainer = trainers.chosen()
    trainer.install()
    try:
        learner_watch = importlib.import_module(trainer.__name__ + ".learner_watch")
        from mlagents.trainers import learn
    except KeyboardInterrupt:  # interrupted before it began
        os._exit(130)

    code = 0
    try:
        learner_watch.install()
        learn.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # interrupted before there was anything to save
        code = 130
    except BaseException as error:
        code = 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt
        watching.report(error)
        with contextlib.suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # A plain exit would wait for workers that never end, once the learner has failed.
        os._exit(code)


if __name__ == "__main__":
    main()
