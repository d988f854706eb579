"""The tables of keys say what the installed wheel and the container really read."""

import ast

import pytest

from common import contract
from mlagents_check.trainer_config import keys, lessons


@pytest.fixture(scope="module")
def wheel(trainer):
    """The source of the trainers in the installed wheel."""
    (folder,) = trainer.python.parent.parent.glob("lib/python3*/site-packages/mlagents")
    return folder


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def param_keys(path):
    """What a file lists as `param_keys`: the keys that its class refuses to start without."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            names = [
                target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
                for target in node.targets
            ]
            if "param_keys" in names:
                found |= {item.value for item in node.value.elts}
    return found


def keys_read(*paths):
    """Every constant key that files look up in the trainer's parameters, by [], get or in."""
    found = set()
    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Subscript):
                name, key = node.value, node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                name, key = node.func.value, node.args[0]
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
                name, key = node.comparators[0], node.left
            else:
                continue
            label = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
            if label in ("trainer_parameters", "trainer_params") and isinstance(key, ast.Constant):
                found.add(key.value)
    return found


def arguments(path, class_name):
    """Names of a class's constructor arguments: those without a default, and those with one."""
    (cls,) = [node for node in tree(path).body if isinstance(node, ast.ClassDef) and node.name == class_name]
    (init,) = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    names = [argument.arg for argument in init.args.args]
    split = len(names) - len(init.args.defaults)
    return set(names[1:split]), set(names[split:])


SHARED = ("trainer.py", "tf_policy.py", "rl_trainer.py")
FILES = {
    "ppo": ("ppo/trainer.py", "ppo/policy.py"),
    "sac": ("sac/trainer.py", "sac/policy.py"),
    "offline_bc": ("bc/offline_trainer.py", "bc/trainer.py", "bc/policy.py"),
}


@pytest.mark.parametrize("trainer_name", keys.ALGORITHMS)
def test_required_keys(wheel, trainer_name):
    assert param_keys(wheel / "trainers" / FILES[trainer_name][0]) - keys.RESERVED == keys.REQUIRED[trainer_name]


@pytest.mark.parametrize("trainer_name", keys.ALGORITHMS)
def test_every_key_that_is_read_is_known(wheel, trainer_name):
    shared = SHARED if trainer_name != "offline_bc" else SHARED[:2]
    read = keys_read(*(wheel / "trainers" / name for name in (*FILES[trainer_name], *shared)))
    known = keys.REQUIRED[trainer_name] | keys.OPTIONAL[trainer_name]
    # use_recurrent and the like are read by all; what PPO requires and never looks up is required all the same.
    assert read - keys.RESERVED <= known
    assert keys.OPTIONAL[trainer_name] <= read


def test_trainers(wheel):
    source = tree(wheel / "trainers/trainer_util.py")
    compared = {
        node.comparators[0].value
        for node in ast.walk(source)
        if isinstance(node, ast.Compare) and isinstance(node.comparators[0], ast.Constant)
    }
    assert compared == set(keys.ALGORITHMS)


@pytest.mark.parametrize("name", keys.REWARD_SIGNALS)
def test_reward_signals(wheel, name):
    path = wheel / f"trainers/components/reward_signals/{name}/signal.py"
    required, optional = keys.REWARD_SIGNALS[name]
    assert param_keys(path) == required
    without, with_default = arguments(path, {"gail": "GAIL"}.get(name, name.capitalize()) + "RewardSignal")
    assert (without | with_default) - {"policy", "policy_model"} == required | optional


def test_names_of_reward_signals(wheel):
    (table,) = [
        node.value
        for node in tree(wheel / "trainers/components/reward_signals/reward_signal_factory.py").body
        if isinstance(node, ast.AnnAssign) and node.target.id == "NAME_TO_CLASS"
    ]
    assert {key.value for key in table.keys} == set(keys.REWARD_SIGNALS)


def test_pretraining(wheel):
    required, optional = keys.PRETRAINING
    without, with_default = arguments(wheel / "trainers/components/bc/module.py", "BCModule")
    assert without - {"policy", "policy_learning_rate", "default_batch_size", "default_num_epoch"} == required
    assert with_default == optional


def test_choices(wheel):
    values = {
        cls.name: tuple(item.value.value for item in cls.body if isinstance(item, ast.Assign))
        for cls in tree(wheel / "trainers/models.py").body
        if isinstance(cls, ast.ClassDef) and cls.name in ("EncoderType", "LearningRateSchedule")
    }
    assert set(values["EncoderType"]) == set(keys.CHOICES["vis_encode_type"])
    assert set(values["LearningRateSchedule"]) == set(keys.CHOICES["learning_rate_schedule"])


def test_samplers(wheel):
    path = wheel / "envs/sampler_class.py"
    classes = {
        "uniform": "UniformSampler",
        "gaussian": "GaussianSampler",
        "multirange_uniform": "MultiRangeUniformSampler",
    }
    assert set(classes) == set(lessons.SAMPLERS)
    for name, cls in classes.items():
        assert arguments(path, cls) == (set(lessons.SAMPLERS[name]), {"seed"})


def test_the_contract_names_the_installed_version(wheel):
    (found,) = wheel.parent.glob("mlagents-*.dist-info")
    assert found.name == f"mlagents-{contract.DEFAULT_TRAINER}.dist-info"


def test_every_name_in_the_table_belongs_to_a_known_group():
    groups = {"pretraining", "reward_signals", *(f"reward_signals.{name}" for name in keys.REWARD_SIGNALS)}
    assert {name.rpartition(".")[0] for name in contract.TRAINER_KEYS} == {"", *groups}


@pytest.mark.parametrize(
    ("line", "pattern", "said", "read"),
    [
        ("says_resumed", contract.RESUMED, {"brain": "Big Ball", "step": 120}, {"brain": "Big Ball", "step": "120"}),
        ("says_ended", contract.ENDED, {"status": "stopped", "reason": "By you. Now."}, {"reason": "By you. Now."}),
        ("says_players", contract.CHOSEN_PLAYERS, {"players": "2 players", "why": "auto, …"}, {"players": "2"}),
    ],
)
def test_the_contracts_patterns_match_the_containers_lines(line, pattern, said, read):
    assert pattern.search("train: " + contract.CONTRACT["log"][line] % said).groupdict() == read
