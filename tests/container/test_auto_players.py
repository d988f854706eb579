"""`num-envs` `auto`: the measurements, the chosen number of players, and the events about it."""

import os
import threading
from types import SimpleNamespace

import auto_players
import pytest


class Worker:
    """A worker as the trial sees it: it answers its reset at once."""

    def __init__(self, number):
        self.worker_id, self.waiting, self.sent, self.closed = number, False, [], threading.Event()
        self.process = SimpleNamespace(pid=number, terminate=self.closed.set)
        self.conn = SimpleNamespace(poll=lambda seconds: bool(self.sent))

    def send(self, name, payload):
        self.sent.append((name, payload))

    def recv(self):
        return SimpleNamespace(payload=self.sent[-1][1])

    def close(self):
        self.closed.set()


def send_reset(worker, config=None, train_mode=True, custom_reset_parameters=None):
    worker.send("reset", (config, train_mode, custom_reset_parameters))


class Machine:
    """Players that step as fast as `rates` says, on a clock of their own."""

    def __init__(self, monkeypatch, rates, cores=8, load=0.1, player=100, free=10_000, total=10_000):
        self.rates, self.load, self.player, self.free = rates, load, player, free
        self.now, self.sent = 0.0, []
        self.workers = [Worker(number) for number in range(cores)]
        self.manager = SimpleNamespace(env_workers=list(self.workers))
        self.run = SimpleNamespace(update_seconds=0.0, dismissed=set())
        monkeypatch.setattr(auto_players.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(auto_players.cores, "available", lambda: cores)
        monkeypatch.setattr(auto_players.process_tree, "descendants", lambda above: [])
        monkeypatch.setattr(auto_players.process_tree, "seconds_of", lambda pids: self.now * self.load)
        monkeypatch.setattr(auto_players.memory, "used_by", lambda pids: player << 20)
        monkeypatch.setattr(auto_players.memory, "available", self.available)
        monkeypatch.setattr(auto_players.memory, "total", lambda: total << 20)
        monkeypatch.setattr(auto_players.events, "send", lambda event, **fields: self.sent.append((event, fields)))
        self.trial = auto_players.Trial(self.run, self.manager, lambda worker, infos: ("first", infos), send_reset)
        self.trial.after_reset({"size": 1.0}, True)

    def available(self):
        """Return the memory that is free."""
        return None if self.free is None else self.free - (len(self.manager.env_workers) - 1) * self.player << 20

    def step(self):
        """Take one step of the training: some player has answered."""
        self.now += 1 / self.rates.get(len(self.manager.env_workers), 1)
        self.trial.after_step(1)

    def play(self):
        """Step until the trial is over; give how many players are left."""
        for _ in range(100_000):
            self.step()
            if self.trial.finished:
                return len(self.manager.env_workers)
        raise AssertionError(self.sent)

    @property
    def settled(self):
        """The final event about players."""
        ((_, fields),) = [one for one in self.sent if one[0] == "players" and one[1]["settled"]]
        return fields


def test_players_are_added_while_they_make_it_faster(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 180, 4: 250, 8: 260})
    assert machine.play() == 4
    assert machine.settled == {
        "count": 4,
        "reason": "auto, steps a second by players: 1: 100, 2: 180, 4: 250, 8: 260 (8 cores, of which a player keeps "
        "0.10 busy)",
        "settled": True,
    }
    assert [fields["count"] for event, fields in machine.sent if event == "players"] == [1, 2, 4, 4]
    assert [fields["player"] for event, fields in machine.sent if event == "player_leaves"] == [7, 6, 5, 4]
    assert machine.run.dismissed == {4, 5, 6, 7}
    assert all(worker.closed.wait(5) for worker in machine.workers[4:])
    assert not any(worker.closed.is_set() for worker in machine.workers[:4])


def test_one_player_is_kept_if_a_second_makes_it_slower(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 80})
    assert machine.play() == 1
    assert machine.settled["count"] == 1
    assert [bool(worker.sent) for worker in machine.workers] == [False, True, *[False] * 6]
    assert machine.run.dismissed == set(range(1, 8))


def test_a_gain_below_a_tenth_adds_no_players(monkeypatch):
    assert Machine(monkeypatch, {1: 100, 2: 109}).play() == 1
    assert Machine(monkeypatch, {1: 100, 2: 112, 4: 112}).play() == 2


def test_all_cores_are_used_if_that_is_fastest(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 200, 4: 400, 6: 600}, cores=6)
    assert machine.play() == 6
    assert machine.run.dismissed == set()


def test_a_player_that_takes_three_cores_gets_no_more_than_fit(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 200, 4: 400}, load=3.0)
    assert machine.play() == 2
    assert "8 cores, of which a player keeps 3.00 busy" in machine.settled["reason"]


def test_memory_limits_the_players(monkeypatch):
    rates = {1: 100, 2: 200, 3: 300, 4: 400}
    machine = Machine(monkeypatch, rates, player=1000, free=2400, total=4000)
    assert machine.play() == 2  # 2400 less a tenth of 4000 is room for one of 1000 and a fifth
    assert "a player takes 1000 MB of memory and 1400 MB are free" in machine.settled["reason"]
    machine = Machine(monkeypatch, rates, player=1000, free=1500, total=4000)
    assert machine.play() == 1


def test_one_player_if_memory_is_unknown(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 200}, free=None)
    assert machine.play() == 1
    assert "the memory that a player takes is not known here" in machine.settled["reason"]


def test_policy_updates_are_not_measured(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 150, 4: 200, 8: 200})
    for number in range(100_000):
        machine.step()
        if number % 50 == 0:
            machine.now += 3.0
            machine.run.update_seconds += 3.0
        if machine.trial.finished:
            break
    assert {count: round(rate) for count, rate in machine.trial.rates.items()} == {1: 100, 2: 150, 4: 200, 8: 200}


def test_slow_steps_are_measured_longer(monkeypatch):
    machine = Machine(monkeypatch, {1: 2, 2: 4, 4: 4})
    assert machine.play() == 2
    assert machine.now > 100 / 2


def test_a_new_player_is_reset_as_the_others_were(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 200})
    new = machine.workers[1]
    while not new.sent:
        machine.step()
    assert new.sent == [("reset", ({"size": 1.0}, True, None))]
    machine.trial.after_reset({"size": 2.0}, True)  # the next lesson, before it has answered
    machine.step()
    assert new.sent[1:] == [("reset", ({"size": 2.0}, True, None))]
    assert new.previous_step == ("first", ({"size": 2.0}, True, None))
    assert machine.manager.env_workers == machine.workers[:2]


def test_a_player_stays_until_it_has_responded(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 100})
    machine.workers[1].waiting = True
    assert machine.play() == 2
    machine.step()
    assert machine.manager.env_workers == machine.workers[:2]
    machine.workers[1].waiting = False
    machine.step()
    assert machine.manager.env_workers == machine.workers[:1]
    assert machine.workers[1].closed.wait(5)


def test_the_end_of_the_training_ends_the_trial(monkeypatch):
    machine = Machine(monkeypatch, {1: 100, 2: 200})
    machine.trial.end()
    assert machine.run.dismissed == set(range(1, 8))
    machine.step()
    assert machine.sent == []


SETTINGS = {"num-envs": "auto", "max_steps": 900, "save-freq": 100, "summary_freq": 100}


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
class TestRealTraining:
    """With the real learner, and a test player that takes 20 ms a step."""

    def test_two_players_if_they_are_faster(self, job):
        assert job.run("--pause 0.02", **SETTINGS) == 0, job.log
        training = job.training
        assert (training["num_envs"], training["restarts"]) == (2, [])
        assert training["num_envs_reason"].startswith("auto, steps a second by players: 1: ")
        assert f"train: training with 2 players: {training['num_envs_reason']}" in job.log
        assert training["brains"]["Test"]["steps"] == 900

    def test_one_player_if_a_second_brings_no_gain(self, job, tmp_path):
        assert job.run(f"--pause 0.02 --crowd {tmp_path / 'crowd'}", **SETTINGS) == 0, job.log
        training = job.training
        assert (training["num_envs"], training["restarts"]) == (1, [])
        assert "train: training with 1 player: auto, steps a second by players: 1: " in job.log
        assert training["brains"]["Test"]["steps"] == 900
        assert training["brains"]["Test"]["mean_reward"] == pytest.approx(0.9)

    @pytest.mark.parametrize("fault", ["exit-early", "crash --at 5"])
    def test_one_player_if_a_second_cannot_run(self, job, fault):
        assert job.run(f"--pause 0.02 --player 1 --fault {fault}", **SETTINGS) == 0, job.log
        training = job.training
        assert (training["num_envs"], len(training["restarts"])) == (1, 1)
        assert training["restarts"][0].startswith("Player 1 ")
        assert training["num_envs_reason"].endswith("; a player failed when it was tried")
        assert f"train: training with 1 player: {training['num_envs_reason']}" in job.log
        assert training["brains"]["Test"]["steps"] == 900

    def test_stopping_during_the_trial(self, job):
        job.start("--pause 0.02", **SETTINGS)
        job.wait_for(r"[\s\S]*Mean Reward")
        job.process.terminate()
        assert job.finish() == 0, job.log
        training = job.training
        assert (training["status"], training["num_envs"]) == ("stopped", 1)
        assert training["num_envs_reason"].startswith("auto")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a process that can be given one core")
def test_one_core_has_one_player_and_the_log_says_why(job):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(allowed)])  # which the job inherits
    try:
        job.start(**{"num-envs": "auto"})
    finally:
        os.sched_setaffinity(0, allowed)
    assert job.finish() == 0, job.log
    assert (job.training["num_envs"], job.training["num_envs_reason"]) == (1, "auto: one core is given")
    assert "train: training with 1 player: auto: one core is given" in job.log


def test_a_short_training_reports_that_there_was_no_trial(job):
    assert job.run(**{"num-envs": "auto"}) == 0, job.log
    assert job.training["num_envs"] == 1
    assert job.training["num_envs_reason"].startswith("auto: ")
