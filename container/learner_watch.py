"""Watches the learner from inside: progress, rewards, saves, faults, all told to the supervisor.

`install` puts itself around methods of ML-Agents' classes at run time; the installed package stays as it is. Three
things are more than watching: going on from a verified checkpoint with its lesson, counting summaries and saves from
the run's step rather than from the process's start, and an interrupt that cannot damage a save.
"""

import functools
import logging
import math
import os
import signal
import threading
import time
from multiprocessing import connection

import checkpoints
import events
import h5py
import player_watch
import tensorflow as tf
from mlagents.envs import subprocess_env_manager
from mlagents.trainers import learn
from mlagents.trainers.tf_policy import TFPolicy
from mlagents.trainers.trainer import Trainer
from mlagents.trainers.trainer_controller import TrainerController
from mlagents.trainers.trainer_util import TrainerFactory
from refusal import RefusalError

TICK = 0.5  # seconds
log = logging.getLogger("mlagents.trainers")


class NotFiniteError(Exception):
    """A loss is NaN or infinite: what follows would be saved over what is good."""


class Run:
    """What is known of the run in this process."""

    def __init__(self, settings):
        self.folder = settings["run_folder"]
        self.environment = settings["environment"]
        self.stall_timeout = settings["stall_timeout"]
        self.trainers = {}
        self.found = {}  # brain -> checkpoint that it goes on from
        self.notes = {}  # brain -> the note beside it
        self.shapes = {}  # brain -> shape of brain and network
        self.curricula = {}
        self.first_step = 0
        self.ending = False
        self.marks = 0  # grows with everything that the main thread gets done
        self.waiting = False  # for the players

    def steps(self):
        """Return brain -> (step, max_steps)."""
        return {name: (int(t.get_step), int(t.get_max_steps)) for name, t in self.trainers.items()}


def install() -> None:
    """Connect to the supervisor and watch this process's learner."""
    settings = events.settings()
    events.connect(settings["events"])
    run = Run(settings)
    signal.signal(signal.SIGINT, functools.partial(_interrupt, run))
    _find_checkpoints(run)
    _watch_workers(run)
    _watch_trainers(run)
    _watch_controller(run)
    _restore_lessons(run)
    threading.Thread(target=_tick, args=(run,), daemon=True).start()


def report(error: BaseException) -> None:
    """Tell the supervisor why the learner failed."""
    kind = {RefusalError: "refused", NotFiniteError: "not_finite"}.get(type(error), "trainer_error")
    text = " ".join(str(error).split())
    events.send("fault", kind=kind, error=type(error).__name__, message=text)


def _interrupt(run: Run, signum, frame) -> None:
    """Stop learning once; what is being saved or exported is not interrupted."""
    if not run.ending:
        run.ending = True
        raise KeyboardInterrupt


def _find_checkpoints(run: Run) -> None:
    for brain in checkpoints.brains(run.folder):
        found = checkpoints.of_brain(os.path.join(run.folder, brain))
        for checkpoint in found:
            problem = _problem(checkpoint)
            if problem is None:
                run.found[brain] = checkpoint
                run.notes[brain] = checkpoints.read_note(checkpoint)
                _point_to(checkpoint)
                break
            events.send("torn", brain=brain, step=checkpoint.step, message=problem)
            checkpoints.remove(checkpoint)

    for brain, checkpoint in run.found.items():
        _check_replay_buffer(brain, checkpoint)


def _check_replay_buffer(brain: str, checkpoint: checkpoints.Checkpoint) -> None:
    """Remove a torn replay buffer, without which ML-Agents goes on; with it, it fails."""
    path = os.path.join(os.path.dirname(checkpoint.prefix), "last_replay_buffer.hdf5")
    if os.path.exists(path):
        try:
            h5py.File(path, "r").close()
        except OSError as error:
            events.send("torn", brain=brain, step=checkpoint.step, message="replay buffer: %s" % error)
            os.remove(path)


def _problem(checkpoint: checkpoints.Checkpoint):
    """Read a checkpoint through, checksums and all; return what is wrong with it."""
    try:
        reader = tf.train.NewCheckpointReader(checkpoint.prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow raises many kinds
        return " ".join(str(error).split())
    return None


def _point_to(checkpoint: checkpoints.Checkpoint) -> None:
    """Make the file `checkpoint` name this one, whatever it named or however torn it was."""
    folder, name = os.path.split(checkpoint.prefix)
    path = os.path.join(folder, "checkpoint")
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write('model_checkpoint_path: "%s"\nall_model_checkpoint_paths: "%s"\n' % (name, name))
    os.replace(path + ".part", path)


def _watch_workers(run: Run) -> None:
    manager = subprocess_env_manager.SubprocessEnvManager
    create, step, reset = manager.create_worker, manager.step, manager.reset

    def watched_create(worker_id, step_queue, env_factory):
        env_worker = create(worker_id, step_queue, env_factory)
        threading.Thread(target=await_end, args=(worker_id, env_worker.process), daemon=True).start()
        return env_worker

    def await_end(worker_id, process):
        connection.wait([process.sentinel])
        if not run.ending:
            events.send("fault", kind="worker_exit", player=worker_id, code=process.exitcode)

    def watched(method):
        @functools.wraps(method)
        def wait_for_players(*args, **kwargs):
            run.waiting = True
            try:
                return method(*args, **kwargs)
            finally:
                run.waiting = False
                run.marks += 1

        return wait_for_players

    subprocess_env_manager.worker = player_watch.worker
    manager.create_worker = staticmethod(watched_create)
    manager.step, manager.reset = watched(step), watched(reset)


def _watch_trainers(run: Run) -> None:
    generate, write_summary = TrainerFactory.generate, Trainer.write_summary
    execute, save = TFPolicy._execute_model, TFPolicy.save_model

    def watched_generate(self, brain):
        run.shapes[brain.brain_name] = _shape(self.trainer_config, brain)
        _refuse_other_checkpoints(run, brain.brain_name)
        self.load_model = brain.brain_name in run.found
        trainer = generate(self, brain)
        trainer.update_policy = functools.partial(_update_policy, trainer, trainer.update_policy)
        if self.load_model:
            _go_on(run, trainer)
        return trainer

    def watched_summary(self, global_step, *args, **kwargs):
        rewards = self.stats["Environment/Cumulative Reward"]
        if rewards and global_step % self.trainer_parameters["summary_freq"] == 0:
            reward = sum(map(float, rewards)) / len(rewards)
            events.send("summary", brain=self.brain_name, mean_reward=reward)
        write_summary(self, global_step, *args, **kwargs)

    def watched_execute(self, *args, **kwargs):
        run.marks += 1
        return execute(self, *args, **kwargs)

    def noted_save(self, steps):
        name = self.brain.brain_name
        checkpoint = checkpoints.Checkpoint(int(steps), os.path.join(run.folder, name, "model-%d.cptk" % steps))
        checkpoints.write_note(checkpoint, _note(run, name))
        save(self, steps)

    TrainerFactory.generate, Trainer.write_summary = watched_generate, watched_summary
    TFPolicy._execute_model, TFPolicy.save_model = watched_execute, noted_save


def _update_policy(trainer, update) -> None:
    update()
    for name, values in trainer.stats.items():
        if "Loss" in name and len(values) and not math.isfinite(values[-1]):
            raise NotFiniteError(
                "%s of brain %s became %s after step %d" % (name, trainer.brain_name, values[-1], trainer.get_step)
            )


def _shape(config, brain):
    """Describe brain and network: all that a checkpoint must fit."""
    parameters = dict(config["default"])
    section = config.get(brain.brain_name, {})
    while isinstance(section, str):
        section = config[section]
    parameters.update(section)
    recurrent = bool(parameters.get("use_recurrent"))
    shape = {
        "vector_observations": brain.vector_observation_space_size * brain.num_stacked_vector_observations,
        "visual_observations": [list(resolution) for resolution in brain.camera_resolutions],
        "action_type": brain.vector_action_space_type,
        "actions": list(brain.vector_action_space_size),
        "use_recurrent": recurrent,
        "memory_size": parameters.get("memory_size") if recurrent else 0,
    }
    for key in ("trainer", "hidden_units", "num_layers", "normalize"):
        shape[key] = parameters.get(key)
    if brain.camera_resolutions:
        shape["vis_encode_type"] = parameters.get("vis_encode_type", "simple")
    if parameters.get("trainer") != "offline_bc":
        signals = parameters.get("reward_signals") or {}
        shape["reward_signals"] = sorted(name for name in signals if isinstance(signals[name], dict))
        shape["pretraining"] = "pretraining" in parameters
    return shape


def _note(run: Run, brain: str):
    curriculum = run.curricula.get(brain)
    return {
        "environment": run.environment,
        "brains": sorted(run.trainers),
        "shape": run.shapes[brain],
        "lesson": None if curriculum is None else curriculum.lesson_num,
        "smoothing": None if curriculum is None else float(curriculum.smoothing_value),
    }


def _refuse_other_checkpoints(run: Run, brain: str) -> None:
    """Refuse to go on from what was trained for another environment, brain or network."""
    for found, note in run.notes.items():
        if note is None:  # saved by plain mlagents-learn: ML-Agents itself will say
            continue
        if note["environment"] != run.environment:
            raise RefusalError(
                "The checkpoints were trained in the environment %s, but this job trains in %s. Start without "
                "checkpoints, or bring the build they belong to." % (note["environment"], run.environment)
            )
        if brain not in note["brains"]:
            raise RefusalError(
                "The checkpoints hold the brains %s, but this build has the brain %s. Start without checkpoints, or "
                "bring the build they belong to." % (", ".join(note["brains"]), brain)
            )
        different = checkpoints.differences(note["shape"], run.shapes[brain]) if found == brain else []
        if different:
            raise RefusalError(
                "The checkpoints of brain %s do not fit: %s. Start without checkpoints, or train with what they were "
                "made with." % (brain, "; ".join(different))
            )


def _go_on(run: Run, trainer) -> None:
    """Take up the run's step, its list of checkpoints and its reward curve."""
    name = trainer.brain_name
    trainer.step = int(trainer.policy.get_current_step())
    run.first_step = max(run.first_step, trainer.step)
    older = [c.prefix for c in reversed(checkpoints.of_brain(os.path.join(run.folder, name)))]
    trainer.policy.saver.recover_last_checkpoints(older)  # or they would never be removed
    # Whoever reads the summaries drops what an interrupted run wrote after the step that is gone on from.
    start = tf.SessionLog(status=tf.SessionLog.START)
    trainer.summary_writer.add_session_log(start, trainer.step + 1)
    trainer.summary_writer.flush()
    events.send("resumed", brain=name, step=trainer.step)


def _watch_controller(run: Run) -> None:
    controller = TrainerController
    start_trainer, save, export = controller.start_trainer, controller._save_model, controller._export_graph
    interrupted = controller._save_model_when_interrupted

    def watched_start_trainer(self, trainer, env_manager):
        start_trainer(self, trainer, env_manager)
        events.send("brain", brain=trainer.brain_name, max_steps=int(trainer.get_max_steps))
        run.trainers[trainer.brain_name] = trainer

    def watched_save(self):
        save(self)
        run.marks += 1
        events.send("saved", steps=run.steps())

    def watched_interrupted(self):
        run.ending = True
        events.send("interrupted")
        interrupted(self)

    def watched_export(self):
        run.ending = True
        export(self)
        events.send("exported", steps=run.steps())

    def counted_from_the_runs_start(method, position):
        @functools.wraps(method)
        def counted(*args):
            args = list(args)
            args[position] += run.first_step
            return method(*args)

        return counted

    controller.start_trainer, controller._save_model = watched_start_trainer, watched_save
    controller._save_model_when_interrupted, controller._export_graph = watched_interrupted, watched_export
    controller._should_save_model = counted_from_the_runs_start(controller._should_save_model, 1)
    controller.write_to_tensorboard = counted_from_the_runs_start(controller.write_to_tensorboard, 1)
    controller.reset_env_if_ready = counted_from_the_runs_start(controller.reset_env_if_ready, 2)


def _restore_lessons(run: Run) -> None:
    create = learn.try_create_meta_curriculum

    def restored(*args):
        meta = create(*args)
        if meta is not None:
            run.curricula = meta.brains_to_curriculums
            for brain, curriculum in run.curricula.items():
                note = run.notes.get(brain) or {}
                if note.get("lesson") is not None:
                    curriculum.lesson_num = note["lesson"]
                    curriculum.smoothing_value = note["smoothing"]
                    log.info("%s goes on in lesson %d", brain, curriculum.lesson_num)
        return meta

    learn.try_create_meta_curriculum = restored


def _tick(run: Run) -> None:
    """Tell the supervisor twice a second how far the run is, and whether it moves at all.

    A policy update may take as long as it likes while it computes. Time is counted in ticks, as for the players.
    """
    supervisor = os.getppid()
    marks, quiet, busy = 0, 0.0, time.process_time()
    while True:
        time.sleep(TICK)
        if os.getppid() != supervisor:
            os._exit(1)
        events.send("alive", who="the learner", steps=run.steps())
        if run.marks != marks or not run.marks:  # while the players connect, they answer for themselves
            marks, quiet, busy = run.marks, 0.0, time.process_time()
            continue
        quiet += TICK
        # While it waits it polls without pause, which is no work; the players answer for themselves, sooner than this.
        computing = 0.0 if run.waiting else time.process_time() - busy
        if quiet >= run.stall_timeout + 10 and computing < quiet / 10:
            events.send("fault", kind="learner_stall", seconds=quiet)
            marks = -1
