"""What the speedups do where they are asked for more than a training usually asks: edges, refusals, versions."""

import subprocess

import pytest
import speedups
from refusal import RefusalError

from tests.container.conftest import CONTAINER


@pytest.fixture(scope="module")
def run(trainer):
    """Return a function that runs a few lines with the trainer's Python, among the container's modules."""

    def run_lines(lines, *words):
        start = "import sys\nif sys.version_info >= (3, 8):\n from trainers.v0_11 import tf1_compat\n tf1_compat.install()\n"
        done = subprocess.run(
            [trainer.python, "-c", start + lines, *words], cwd=CONTAINER, text=True, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_lines


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(speedups, "_version", lambda package: "0.12.1")
    monkeypatch.setattr(speedups, "_applied", set())
    with pytest.raises(RefusalError) as refusal:
        speedups.apply(("brains",))
    assert str(refusal.value) == (
        "The speedups are made for mlagents 0.11.0, but 0.12.1 is installed. Set the hyperparameter speedups to none, or "
        "install what the lock file names."
    )
    speedups.apply(())  # asks for no version


def test_the_protocols_messages_are_parsed_by_compiled_code(trainer, run):
    kind = run("from google.protobuf.internal import api_implementation as a; print(a.Type())").strip()
    assert kind == ("cpp" if trainer.flavour == "exact" else kind)  # protobuf 3.20 has none for later Pythons


MESSAGES = """
import threading
from trainers.v0_11.speedups.messages import make_pair
one, other = make_pair()
assert not one.poll(0.01)
other.send("hello")
assert one.poll(5) and one.poll(5) and one.recv() == "hello" and not one.poll(0)
threading.Timer(0.05, other.send, ["later"]).start()
assert one.poll(30) and one.recv() == "later"
one.send("last")
one.close()
assert other.recv() == "last"
for _ in range(2):
    try:
        other.recv()
    except EOFError:
        print("end")
"""


def test_the_ends_behave_like_a_pipe(run):
    assert run(MESSAGES) == "end\nend\n"


SESSIONS = """
import numpy as np, tensorflow as tf
from trainers.v0_11.speedups.sessions import PreparedRun
with tf.Graph().as_default():
    tf.set_random_seed(1)
    x = tf.placeholder(tf.float32, [None, 2], name="x")
    n = tf.placeholder(tf.int32, [], name="n")
    count = tf.Variable(0)
    double, more = x * 2, tf.assign_add(count, n)
    noise = tf.random_normal([2], seed=3)
    with tf.Session() as plain, tf.Session() as session:
        run = PreparedRun(session)
        plain.run(tf.global_variables_initializer()), session.run(tf.global_variables_initializer())
        rows = [[1, 2], [3, 4]]
        for asked, fed in [
            (double, {x: rows}),
            ([double, {"a": double, "b": [more]}, more.op], {x: np.array(rows), n: 3}),
            (more.op, {n: 2}),
            ([], {}),
            ({}, {x: rows}),
            (noise, None),
            ([x, double], {x: rows}),
            ("x:0", {"x:0": rows}),
        ]:
            for _ in range(4):
                ours, theirs = run(asked, feed_dict=fed), plain.run(asked, feed_dict=fed)
                assert repr(ours) == repr(theirs), (asked, ours, theirs)
        for wrong in ([[1, 2, 3]], [1, 2]):
            try:
                run(double, {x: wrong})
            except ValueError as error:
                assert "Cannot feed value of shape" in str(error)
                print("refused")
        prepared = [call for call in run._calls.values() if call]
        print(len(prepared))
"""


def test_prepared_calls_behave_like_a_session(run):
    assert run(SESSIONS) == "refused\nrefused\n4\n"


BRAINS = """
from types import SimpleNamespace as Some
from mlagents.envs.env_manager import EnvironmentStep
from mlagents.envs.subprocess_env_manager import SubprocessEnvManager
asked = []
known = {"A": 1}
SubprocessEnvManager.external_brains = property(lambda self: asked.append(1) or dict(known))
SubprocessEnvManager.reset = lambda self, *args: "reset"
from trainers.v0_11.speedups import brains
brains.apply()
manager = SubprocessEnvManager.__new__(SubprocessEnvManager)
manager.env_workers = [Some(previous_step=EnvironmentStep(None, {"A": 0}, None))]
found = [manager.external_brains, manager.external_brains]
assert found == [{"A": 1}] * 2 and len(asked) == 1
known["B"] = 2
manager.env_workers[0].previous_step = EnvironmentStep(None, {"A": 0, "B": 0}, None)
assert [manager.external_brains, manager.external_brains] == [{"A": 1, "B": 2}] * 2 and len(asked) == 2
assert manager.reset(None) == "reset" and manager.external_brains and len(asked) == 3
"""


def test_brains_are_read_again_after_a_reset_and_when_one_appears(run):
    run(BRAINS)


COLUMNS = """
import logging
import numpy as np
from mlagents.envs.brain import BrainInfo, BrainParameters
from mlagents.envs.communicator_objects.agent_info_pb2 import AgentInfoProto
from mlagents.envs.communicator_objects.unity_rl_output_pb2 import UnityRLOutputProto

stock = BrainInfo.from_agent_proto
from trainers.v0_11.speedups import columns
columns.apply()
said = []
class Handler(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("mlagents.envs").addHandler(Handler())
brain = BrainParameters("Test", 3, 1, [], [2, 2], ["", ""], 0)

def compare(agents):
    found = []
    for read in (BrainInfo.from_agent_proto, stock):
        message = UnityRLOutputProto()
        message.agentInfos["Test"].value.extend(agents)
        del said[:]
        info = vars(read(4, message.agentInfos["Test"].value, brain))
        for name, value in info.items():
            if isinstance(value, np.ndarray):
                info[name] = (value.dtype, value.shape, value.tobytes())
        found.append((repr(info), list(said)))
    assert found[0] == found[1], found
    return found[0][1]

def agent(number, seen=(1, 2, 3), **more):
    return AgentInfoProto(id=number, stacked_vector_observation=seen, stored_vector_actions=[number, 0], **more)

nan, inf = float("nan"), float("inf")
compare([])
compare([agent(7)])
compare([agent(0, ()), agent(1, ())])
compare([agent(0), agent(1, reward=2.5, done=True, max_step_reached=True, text_observation="a", stored_text_actions="b")])
compare([agent(0, (1e300, 2, 3)), agent(1, (inf, -inf, 0))])
print(compare([agent(0, (nan, inf, 3)), agent(1, reward=nan)]))
compare([agent(0, memories=[1, 2]), agent(1), agent(2, memories=[3])])
compare([agent(0, action_mask=[True, False, False, True]), agent(1, action_mask=[True]), agent(2)])
custom = agent(1)
custom.custom_observation.SetInParent()
compare([agent(0), custom])
"""


def test_messages_are_read_as_by_mlagents_with_its_warnings(run):
    reward, observation = "An agent had a NaN reward for brain Test", "An agent had a NaN observation for brain Test"
    assert run(COLUMNS) == f"{[reward, observation]}\n"


RETURNS = """
import numpy as np
from mlagents.trainers.ppo import trainer
stock = trainer.discount_rewards
from trainers.v0_11.speedups import returns
returns.apply()
rng = np.random.RandomState(1)
for size in (0, 1, 2, 1000):
    for dtype in (np.float64, np.float32):
        r = (rng.normal(size=size) * 10 ** rng.uniform(-8, 8, size)).astype(dtype)
        for gamma, value in ((0.99 * 0.95, 0.0), (1, -3.25), (0.9, 1e-300)):
            ours, theirs = trainer.discount_rewards(r, gamma, value), stock(r, gamma, value)
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()
"""


def test_returns_match_mlagents_bit_for_bit(run):
    run(RETURNS)


THREADS = """
from types import SimpleNamespace as Some
from trainers.v0_11.speedups.threads import is_small
blind, seeing = Some(number_visual_observations=0), Some(number_visual_observations=1)
for brain, batch, units in [(blind, 64, 128), (blind, "512", "128"), (blind, 1024, 512), (seeing, 8, 8)]:
    print(is_small(brain, {"batch_size": batch, "hidden_units": units}))
"""


def test_large_networks_and_those_with_images_keep_their_threads(run):
    assert run(THREADS).split() == ["True", "False", "False", "False"]
