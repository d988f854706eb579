"""Determines how many players train fastest, for `num-envs` `auto`, during the first steps of the training itself.

The trial is part of the training: all its steps are learned from. It starts with one player, adds more while they make
it faster, and dismisses those that do not.
"""

import threading
import time

import cores
import events
import memory
import process_tree

WINDOW_SECONDS = 4.0  # of measurement for each count, without policy updates
WINDOW_STEPS = 100  # minimum steps of a measurement
WARM_UP_SECONDS = 1.0  # before a measurement
MIN_GAIN = 1.1  # factor by which more players must be faster


class Trial:
    """Tries 1, 2, 4, … players, up to one for each core, and keeps the fastest count.

    The workers of all players exist from the start, as ML-Agents creates them. A worker starts its player with its
    first message, so those that are never tried cost almost nothing.

    Parameters
    ----------
    run : Run
    manager
        ML-Agents' `SubprocessEnvManager`, whose workers were just made.
    first_step
        Creates an `EnvironmentStep` from a worker and its response to a reset.
    reset
        Sends the reset to a worker, with the arguments that the manager's `reset` had.
    """

    def __init__(self, run, manager, first_step, reset):
        self.run, self.manager, self.first_step, self.send_reset = run, manager, first_step, reset
        self.spare = manager.env_workers[1:]
        del manager.env_workers[1:]
        self.starting = []  # workers whose players are starting
        self.leaving = 0  # number of players to dismiss once they have responded
        self.rates = {}  # players -> steps per second
        self.max_players = 1 + len(self.spare)
        self.bounds = []  # reasons for not trying more
        self.reset = ((), {}, 0)  # arguments of the last reset, and the number of resets
        self.finished = not self.spare
        self._begin_window()

    def after_reset(self, *args, **kwargs) -> None:
        """Record how players are reset, and restart the measurement."""
        self.reset = (args, kwargs, self.reset[2] + 1)
        self._begin_window()

    def after_step(self, steps: int) -> None:
        """Count new steps, and continue the trial."""
        if self.leaving:
            self._let_go()
        if self.finished:
            return
        if self.starting:
            self._take_in()
            return
        now = self._clock()
        if self.steps is None:
            if now - self.begun >= WARM_UP_SECONDS:
                self.begun, self.steps, self.load_before = now, 0, process_tree.seconds_of(self._processes())
            return
        self.steps += steps
        seconds = now - self.begun
        if seconds >= WINDOW_SECONDS and self.steps >= WINDOW_STEPS:
            self._judge(seconds)

    def end(self) -> None:
        """End the trial, because the training ends."""
        self.finished = True
        self._dismiss(self.starting)
        self._dismiss(self.spare)

    def _clock(self) -> float:
        """Return the time in seconds without policy updates, whose cost per step does not depend on the players."""
        return time.monotonic() - self.run.update_seconds

    def _begin_window(self) -> None:
        self.begun, self.steps = self._clock(), None  # None: warming up

    def _processes(self):
        """List the processes of the active players and their drivers."""
        drivers = [worker.process.pid for worker in self.manager.env_workers]
        return drivers + [pid for driver in drivers for pid in process_tree.descendants(driver)]

    def _judge(self, seconds: float) -> None:
        """Decide on the next count from the measurement."""
        count = len(self.manager.env_workers)
        self.rates[count] = self.steps / seconds
        if count == 1:
            self._find_bound(seconds)
        best = max((n for n in self.rates if n < count), key=self.rates.get, default=None)
        if best is not None and self.rates[count] < MIN_GAIN * self.rates[best]:
            self._settle(best)
        elif count >= self.max_players:
            self._settle(count)
        else:
            more = self._affordable(min(2 * count, self.max_players) - count)
            events.send("players", count=count, reason=self._describe(), settled=False)
            if not more:
                self._settle(count)
                return
            args, kwargs, _ = self.reset
            for worker in self.spare[:more]:
                worker.reset_number = self.reset[2]
                self.send_reset(worker, *args, **kwargs)
            self.starting, self.spare = self.spare[:more], self.spare[more:]

    def _find_bound(self, seconds: float) -> None:
        """Compute how many players the cores can run, from the load of one."""
        load = (process_tree.seconds_of(self._processes()) - self.load_before) / seconds
        available = cores.available()
        self.max_players = min(self.max_players, max(1, int(available / max(load, 0.01))))
        self.bounds.append("%d cores, of which a player keeps %.2f busy" % (available, load))
        self.player_bytes = memory.used_by(self._processes())

    def _affordable(self, more: int) -> int:
        """Return how many more players fit into memory, with a tenth of it left free."""
        free = memory.available()
        if free is None or not self.player_bytes:
            self.bounds.append("the memory that a player takes is not known here")
            return 0
        room = int(max(0.0, free - memory.total() / 10) / (1.2 * self.player_bytes))
        if room < more:
            self.bounds.append(
                "a player takes %d MB of memory and %d MB are free" % (self.player_bytes >> 20, free >> 20)
            )
        return min(room, more)

    def _take_in(self) -> None:
        """Add players that have started; if the reset has changed meanwhile, reset them again."""
        while self.starting and self.starting[0].conn.poll(0):
            worker = self.starting[0]
            infos = worker.recv().payload
            args, kwargs, number = self.reset
            if worker.reset_number != number:
                worker.reset_number = number
                self.send_reset(worker, *args, **kwargs)
                continue
            worker.previous_step = self.first_step(worker, infos)
            self.manager.env_workers.append(self.starting.pop(0))
        if not self.starting:
            self._begin_window()

    def _settle(self, count: int) -> None:
        """Keep this many players and end the trial."""
        self.finished = True
        self.leaving = len(self.manager.env_workers) - count
        self._dismiss(self.spare)
        events.send("players", count=count, reason=self._describe(), settled=True)
        if self.leaving:
            self._let_go()

    def _describe(self) -> str:
        rates = ", ".join("%d: %.0f" % item for item in sorted(self.rates.items()))
        return "auto, steps a second by players: %s (%s)" % (rates, "; ".join(self.bounds))

    def _let_go(self) -> None:
        """Dismiss the last players once they have responded; the manager identifies workers by index."""
        workers = self.manager.env_workers
        while self.leaving and not workers[-1].waiting:
            self.leaving -= 1
            worker = workers.pop()
            self.run.dismissed.add(worker.worker_id)
            events.send("player_leaves", player=worker.worker_id)
            threading.Thread(target=worker.close, daemon=True).start()

    def _dismiss(self, workers) -> None:
        """End workers that are not used."""
        for worker in workers:
            self.run.dismissed.add(worker.worker_id)
            worker.process.terminate()
        del workers[:]


def follow_steps(manager, step_name: str, reset_name: str) -> None:
    """Tell the trial of each manager of a class, its `trial`, of its steps and resets, by these methods' names."""
    step, reset = getattr(manager, step_name), getattr(manager, reset_name)

    def tried_step(self):
        steps = step(self)
        self.trial.after_step(len(steps))
        return steps

    def noted_reset(self, *args, **kwargs):
        infos = reset(self, *args, **kwargs)
        self.trial.after_reset(*args, **kwargs)
        return infos

    setattr(manager, step_name, tried_step)
    setattr(manager, reset_name, noted_reset)
