"""What ML-Agents 1.1.0 resumes from: a checkpoint of PyTorch, lessons, steps and the reward curve."""

import contextlib
import functools
import io
import json
import os
import shutil
import threading
import time
import zipfile

import checkpoints
import paths
import resume
from mlagents.torch_utils import torch
from mlagents.trainers.environment_parameter_manager import EnvironmentParameterManager
from mlagents.trainers.model_saver.torch_model_saver import DEFAULT_CHECKPOINT_NAME
from mlagents.trainers.stats import StatsReporter, StatsSummary
from mlagents.trainers.training_status import GlobalTrainingStatus
from mlagents_envs.logging_util import get_logger
from mlagents_envs.side_channel.stats_side_channel import StatsAggregationMethod
from refusal import RefusalError
from run_state import Run
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

log = get_logger("mlagents.trainers.resume")


def problem(checkpoint: checkpoints.Checkpoint):
    """Read a checkpoint completely, with its checksums; return what is wrong with it, or None."""
    try:
        with zipfile.ZipFile(checkpoint.prefix) as file:
            torn = file.testzip()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return " ".join(str(error).split())
    return None if torn is None else "%s is damaged" % torn


def point_to(checkpoint: checkpoints.Checkpoint) -> None:
    """Make a checkpoint the one that ML-Agents loads."""
    path = os.path.join(os.path.dirname(checkpoint.prefix), DEFAULT_CHECKPOINT_NAME)
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    try:
        os.link(checkpoint.prefix, path)  # there may be no room for a copy
    except OSError:
        shutil.copyfile(checkpoint.prefix, path)


def write_whole(path: str, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)


def save(state, path: str) -> None:
    """Save as `torch.save` does, but whole."""
    content = io.BytesIO()
    _save(state, content)
    write_whole(path, content.getvalue())


_save = torch.save


def write_status(path: str) -> None:
    """Write ML-Agents' file of lessons and ratings, whole."""
    with _status_lock:
        content = json.dumps(GlobalTrainingStatus.saved_state, indent=4)
    write_whole(path, content.encode())


def guard_status() -> None:
    """Let one thread at a time read and change lessons and ratings: a new one while they are written is an error."""
    for name in ("get_parameter_state", "set_parameter_state"):
        setattr(GlobalTrainingStatus, name, staticmethod(_guarded(getattr(GlobalTrainingStatus, name))))


def _guarded(function):
    @functools.wraps(function)
    def guarded(*args, **kwargs):
        with _status_lock:
            return function(*args, **kwargs)

    return guarded


_status_lock = threading.Lock()


def restore(run: Run) -> None:
    """Restore what ML-Agents keeps beside the checkpoints: lessons, ratings, and which checkpoints there are."""
    path = os.path.join(run.folder, "run_logs", "training_status.json")
    notes = [
        run.notes[brain] for brain in sorted(run.found, key=lambda brain: run.found[brain].step) if run.notes[brain]
    ]
    if notes or not _is_json(path):
        GlobalTrainingStatus.saved_state.clear()
    else:
        GlobalTrainingStatus.load_state(path)  # of plain mlagents-learn
    smoothing = {}
    for note in notes:  # the newest last
        smoothing.update(note["smoothing"])
        for name, number in note["lessons"].items():
            GlobalTrainingStatus.saved_state[name]["lesson_num"] = number
    for brain, checkpoint in run.found.items():
        state = GlobalTrainingStatus.saved_state[brain]
        if (run.notes[brain] or {}).get("elo") is not None:
            state["elo"] = run.notes[brain]["elo"]
        older = reversed(checkpoints.of_brain(os.path.dirname(checkpoint.prefix)))
        state["checkpoints"] = [  # else they would never be removed
            {
                "steps": one.step,
                "file_path": os.path.splitext(one.prefix)[0] + ".onnx",
                "reward": None,
                "creation_time": time.time(),
                "auxillary_file_paths": [one.prefix],
            }
            for one in older
        ]
    if run.found:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        GlobalTrainingStatus.save_state(path)
    elif os.path.exists(path):
        os.remove(path)
    _restore_lessons(run, smoothing)


def _is_json(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return isinstance(json.load(file), dict)
    except (OSError, ValueError, RecursionError):
        return False


def _restore_lessons(run: Run, smoothing) -> None:
    """Make each parameter continue in its last lesson, once they are created."""
    create = EnvironmentParameterManager.__init__

    def restored(self, settings=None, run_seed=-1, restore=False):
        create(self, settings, run_seed, restore)
        run.curricula = self
        for name, parameter in self._dict_settings.items():
            state = GlobalTrainingStatus.saved_state[name]
            state["lesson_num"] = min(state["lesson_num"], len(parameter.curriculum) - 1)
            self._smoothed_values[name] = smoothing.get(name, 0.0)
            if restore and state["lesson_num"]:
                log.info("%s goes on in lesson %d", name, state["lesson_num"])

    EnvironmentParameterManager.__init__ = restored


def shape_of(settings, spec):
    """Describe brain and network: everything that a checkpoint must match."""
    network, actions = settings.network_settings, spec.action_spec
    shape = {
        "trainer": settings.trainer_type,
        "observations": [list(one.shape) for one in spec.observation_specs],
        "continuous_actions": actions.continuous_size,
        "discrete_actions": list(actions.discrete_branches),
        "memory_size": network.memory.memory_size if network.memory else 0,
        "shared_critic": getattr(settings.hyperparameters, "shared_critic", False),
        "reward_signals": sorted(signal.value for signal in settings.reward_signals),
    }
    for key in ("hidden_units", "num_layers", "normalize"):
        shape[key] = getattr(network, key)
    if any(len(one.shape) == 3 for one in spec.observation_specs):
        shape["vis_encode_type"] = network.vis_encode_type.value
    return shape


def note_of(run: Run, brain: str):
    """Return the note for a brain's checkpoint."""
    lessons = run.curricula.get_current_lesson_number()
    return resume.note(
        run,
        brain,
        StatsReporter.stats_dict[brain],
        lessons=lessons,
        smoothing={name: float(run.curricula._smoothed_values[name]) for name in lessons},
        elo=getattr(run.trainers.get(brain), "current_elo", None),
        summarised=run.summaries.get(brain, 0),
    )


def check_network(saver, path: str, brain: str, whole: bool) -> None:
    """Refuse to load a checkpoint that is not of this network; ML-Agents begins anew where it does not fit.

    Parameters
    ----------
    saver
        ML-Agents' own, of one brain.
    path
        The checkpoint.
    brain
        The brain's name.
    whole
        Whether to resume, with all that is learned; else only the policy must fit.

    Raises
    ------
    RefusalError
        It does not fit, or can't be read.
    """
    try:
        saved = torch.load(path, map_location="cpu")
        wanted = {name: module for name, module in saver.modules.items() if isinstance(module, torch.nn.Module)}
        wanted = wanted if whole else {name: module for name, module in wanted.items() if name == "Policy"}
        found = {"%s.%s" % (n, key): _shape(saved[n][key]) for n in wanted if n in saved for key in saved[n]}
    except Exception as error:  # PyTorch raises many kinds
        raise RefusalError("The checkpoint %s cannot be read: %s" % (path, " ".join(str(error).split()))) from None
    current = {"%s.%s" % (n, key): _shape(value) for n, m in wanted.items() for key, value in m.state_dict().items()}
    resume.refuse_other_network(found, current, "The checkpoint %s of brain %s" % (os.path.basename(path), brain))


def _shape(value):
    return list(getattr(value, "shape", ()))


def apply_state(run: Run, trainer) -> None:
    """Restore a trainer's unfinished statistics."""
    brain, note = trainer.brain_name, run.notes.get(trainer.brain_name) or {}
    for name, values in note.get("ended", {}).items():
        if values:
            StatsReporter.stats_dict[brain][name] = list(values) + StatsReporter.stats_dict[brain][name]
    StatsReporter.stats_aggregation[brain][resume.EPISODE_STATS[0]] = StatsAggregationMethod.HISTOGRAM


def summary_of(values):
    """Return the mean reward of a summary; None if no episode ended."""
    rewards: StatsSummary = values.get(resume.EPISODE_STATS[0])
    return None if rewards is None else float(rewards.mean)


def curve_folder(run: Run, brain: str) -> str:
    """Return the folder of a brain's event files."""
    return os.path.join(paths.LEARNER_SUMMARIES, "%s_%s" % (os.path.basename(run.folder), paths.brain_file(brain)))


def begin_curve(run: Run, brain: str, writer, number: int) -> None:
    """Mark where a curve is resumed; readers then drop what was written for later steps.

    `number` counts the attempts, because the files' names are not in order if the clock is set back.
    """
    step = run.found[brain].step if brain in run.found else 0
    start = SessionLog(status=SessionLog.START, msg="attempt %d" % number)
    event = Event(wall_time=time.time(), step=max(step, run.summaries.get(brain, 0)) + 1, session_log=start)
    writer.file_writer.event_writer.add_event(event)
    writer.flush()
