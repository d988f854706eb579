"""Monitors the learner from inside: reports progress, rewards, saves and faults to the supervisor.

`install` wraps methods of ML-Agents' classes at run time; the installed package is not changed. Three things are more
than monitoring: resuming from checkpoints (`saved_state`), saves that are whole or not there, and interrupts that can't
damage a save.
"""

import functools
import inspect
import math
import os
import sys
import threading
import time

import checkpoints
import events
import paths
import resume
import watching
from auto_players import Trial, follow_steps
from mlagents.torch_utils import torch
from mlagents.trainers import learn, subprocess_env_manager
from mlagents.trainers.behavior_id_utils import BehaviorIdentifiers
from mlagents.trainers.env_manager import EnvironmentStep
from mlagents.trainers.model_saver.torch_model_saver import TorchModelSaver
from mlagents.trainers.stats import StatsReporter, StatsWriter, TensorboardWriter
from mlagents.trainers.trainer import TrainerFactory
from mlagents.trainers.trainer.rl_trainer import RLTrainer
from mlagents.trainers.trainer_controller import TrainerController
from run_state import Run
from torch.utils.tensorboard import SummaryWriter

from trainers.v1 import brain_settings, player_watch, saved_state

LEAVE_SECONDS = 5  # for workers to end their players, once all is saved; what is left is killed


def install() -> None:
    """Connect to the supervisor and monitor this process's learner."""
    run = watching.begin()
    torch.save = saved_state.save
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:  # whose exporter needs another package
        torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
    resume.find_checkpoints(run, saved_state.problem, saved_state.point_to)
    for brain, note in run.notes.items():
        run.summaries[brain] = (note or {}).get("summarised", 0)
    saved_state.guard_status()
    saved_state.restore(run)
    _watch_workers(run)
    if events.settings()["try_players"]:
        _try_players(run)
    _watch_trainers(run)
    _watch_saves(run)
    _watch_controller(run)
    _watch_summaries(run)
    watching.begin_ticking(run)


def _watch_workers(run: Run) -> None:
    manager = subprocess_env_manager.SubprocessEnvManager
    create, close, make_factory = manager.create_worker, manager.close, learn.create_environment_factory
    watched = functools.partial(watching.while_waiting, run)

    def watched_create(worker_id, *args):
        env_worker = create(worker_id, *args)
        watching.await_end(run, worker_id, env_worker.process)
        return env_worker

    def watched_close(self):
        learn.write_timing_tree(os.path.join(run.folder, "run_logs"))  # a player that stays would keep it from this
        close(self)

    def at_base_port(env_path, *args):
        args = list(args)
        args[5] = watching.first_port()  # without a build ML-Agents always uses 5004
        return make_factory(env_path, *args)

    subprocess_env_manager.worker = player_watch.worker
    subprocess_env_manager.WORKER_SHUTDOWN_TIMEOUT_S = LEAVE_SECONDS
    manager.create_worker, manager.close = staticmethod(watched_create), watched_close
    manager._step, manager._reset_env = watched(manager._step), watched(manager._reset_env)
    manager.training_behaviors = property(watched(manager.training_behaviors.fget))
    learn.create_environment_factory = at_base_port


def _try_players(run: Run) -> None:
    """Let a trial determine the number of players."""
    manager, request = subprocess_env_manager.SubprocessEnvManager, subprocess_env_manager.EnvironmentCommand
    init, close = manager.__init__, manager.close

    def begin_trial(self, env_factory, run_options, n_env=1):
        init(self, env_factory, run_options, n_env)
        take = self.step_queue.get_nowait

        def take_of_those_that_stay():
            while True:
                response = take()
                if response.worker_id not in run.dismissed:
                    return response

        def restart(worker, config=None):
            worker.send(request.ENVIRONMENT_PARAMETERS, self.env_parameters)
            worker.send(request.RESET, config)

        self.step_queue.get_nowait = take_of_those_that_stay
        for worker in self.env_workers:
            worker.close = worker.request_close
        self.trial = Trial(run, self, lambda worker, infos: EnvironmentStep(infos, worker.worker_id, {}, {}), restart)

    def close_all(self):
        self.trial.end()
        self.workers_alive = len(self.env_workers)
        close(self)

    manager.__init__, manager.close = begin_trial, close_all
    follow_steps(manager, "_step", "_reset_env")


def _watch_trainers(run: Run) -> None:
    generate, create = TrainerFactory.generate, TrainerController._create_trainer_and_manager
    load, advance_in_thread = TorchModelSaver._load_model, TrainerController.trainer_update_func

    def watched_generate(self, brain):
        settings = self.trainer_config[brain]
        brain_settings.refuse_ineffective_training(settings, brain)
        self.load_model = brain in run.found
        if self.load_model:
            settings.init_path = None  # it was for the run's beginning
        trainer = generate(self, brain)
        own = getattr(trainer, "trainer", trainer)  # with self-play there is one inside
        own.artifact_path = own.model_saver.model_path = checkpoints.brain_folder(run.folder, brain)
        own._update_policy = functools.partial(_update_policy, run, own, own._update_policy)
        return trainer

    def watched_create(self, env_manager, name_behavior_id):
        brain = BehaviorIdentifiers.from_name_behavior_id(name_behavior_id).brain_name
        run.brains.add(brain)
        settings = self.trainer_factory.trainer_config[brain]
        spec = env_manager.training_behaviors[name_behavior_id]
        run.shapes[brain] = saved_state.shape_of(settings, spec)
        resume.refuse_other_checkpoints(run, brain)
        create(self, env_manager, name_behavior_id)
        trainer = self.trainers[brain]
        if brain in run.trainers:  # another team's
            return
        optimizer = getattr(trainer, "trainer", trainer).optimizer
        brain_settings.refuse_ineffective_imitation(optimizer.bc_module, brain)
        optimizer.update = functools.partial(_update_network, run, brain, optimizer.update)
        events.send("brain", brain=brain, max_steps=int(trainer.get_max_steps), trainer=settings.trainer_type)
        run.trainers[brain] = trainer
        if brain in run.found:
            saved_state.apply_state(run, trainer)
            events.send("resumed", brain=brain, step=int(trainer.get_step))

    def checked_load(self, load_path, policy=None, reset_global_steps=False):
        if policy is None:
            saved_state.check_network(self, load_path, os.path.basename(self.model_path), not reset_global_steps)
        load(self, load_path, policy, reset_global_steps)

    def watched_thread(self, trainer):
        try:
            advance_in_thread(self, trainer)
        except KeyboardInterrupt:
            pass
        except Exception as error:  # ML-Agents would go on without this trainer
            run.failed = error
            watching.report(error)

    TrainerFactory.generate, TrainerController._create_trainer_and_manager = watched_generate, watched_create
    TorchModelSaver._load_model, TrainerController.trainer_update_func = checked_load, watched_thread


def _update_network(run: Run, brain: str, update, *args, **kwargs):
    watching.stop_if_interrupted(run)
    run.marks += 1
    if brain not in run.updated:
        run.updated.add(brain)
        events.send("updated", brain=brain)
    return update(*args, **kwargs)


def _update_policy(run: Run, trainer, update):
    begun = time.monotonic()
    updated = update()
    run.update_seconds += time.monotonic() - begun
    run.marks += 1
    for name, values in list(StatsReporter.stats_dict[trainer.brain_name].items()):
        if "Loss" in name and values and not math.isfinite(values[-1]):
            raise watching.NotFiniteError(
                "%s of brain %s became %s after step %d" % (name, trainer.brain_name, values[-1], trainer.get_step)
            )
    return updated


def _watch_saves(run: Run) -> None:
    save, checkpoint, increment = TorchModelSaver.save_checkpoint, RLTrainer._checkpoint, RLTrainer._increment_step

    def noted_save(self, brain, step):
        folder = checkpoints.brain_folder(run.folder, brain)
        name = paths.brain_file(brain)
        saved = checkpoints.Checkpoint(int(step), os.path.join(folder, "%s-%d.pt" % (name, step)))
        try:
            checkpoints.write_note(saved, saved_state.note_of(run, brain))
            return save(self, name, int(step))
        except OSError as error:
            raise watching.SaveError("%s at step %d: %s" % (folder, step, error.strerror)) from error

    saving = threading.Lock()  # trainers that learn in threads of their own save when they are due

    def noted_checkpoint(self):
        with saving:
            made = checkpoint(self)
            saved_state.write_status(os.path.join(run.folder, "run_logs", learn.TRAINING_STATUS_FILE_NAME))
        run.marks += 1
        events.send("saved", steps=run.steps())
        return made

    # ML-Agents saves before it counts the trajectory with which a save is due; a kill would lose more than an interval.
    def note_if_due(self, step_after_process):
        interval = self.trainer_settings.checkpoint_interval
        self.save_is_due = step_after_process >= (self._next_save_step or self._get_next_interval_step(interval))

    def count_and_save(self, n_steps, name_behavior_id):
        increment(self, n_steps, name_behavior_id)
        if vars(self).pop("save_is_due", False):
            self._checkpoint()

    def copy_final_model(self, source):
        with open(source, "rb") as file:
            saved_state.write_whole(self.model_path + ".onnx", file.read())

    TorchModelSaver.save_checkpoint, RLTrainer._checkpoint = noted_save, noted_checkpoint
    RLTrainer._maybe_save_model, RLTrainer._increment_step = note_if_due, count_and_save
    TorchModelSaver.copy_final_model = copy_final_model


def _watch_controller(run: Run) -> None:
    save = TrainerController._save_models

    def save_at_the_end(self):
        run.ending = run.leaving = True
        if run.interrupted:
            events.send("interrupted")
        error = run.failed or sys.exc_info()[1]
        trained = resume.has_trained(run, 1)
        if isinstance(error, (watching.RefusalError, watching.NotFiniteError, watching.SaveError)):
            return  # there is nothing to save, or it would replace what is good
        brains = [brain for brain in run.trainers if trained or brain in run.found]
        if not brains:
            return
        checkpoints.note_export(run.folder, dict.fromkeys(brains))
        if trained:
            save(self)
        for brain in brains:
            trainer = getattr(run.trainers[brain], "trainer", run.trainers[brain])
            if not trained:  # a save would only replace itself
                trainer.model_saver.export(trainer.model_saver.model_path, brain)
            _note_what_had_no_effect(run, trainer)
        checkpoints.note_export(run.folder, {brain: run.steps()[brain][0] for brain in brains})
        events.send("exported", steps=run.steps())

    TrainerController._save_models = save_at_the_end


def _note_what_had_no_effect(run: Run, trainer) -> None:
    """Report rewards and imitation that had no effect, and whether an episode ended."""
    brain, signals, module = trainer.brain_name, trainer.optimizer.reward_signals, trainer.optimizer.bc_module
    if len(trainer.reward_buffer):
        events.send("episode", brain=brain)
    if signals and not any(signal.strength for signal in signals.values()):
        events.send("unrewarded", brain=brain)
    idle = ["behavioral_cloning"] if module and not module.has_updated and brain not in run.found else []
    idle += ["the reward signal gail"] if "gail" in signals and not signals["gail"].strength else []
    if idle:
        events.send("idle", brain=brain, settings=idle)


def _watch_summaries(run: Run) -> None:
    """Report summaries, count them from the run's beginning, and join the curves of several attempts."""
    write_if_due, list_writers = RLTrainer._maybe_write_summary, learn.register_stats_writer_plugins
    sizes = {}

    class Reporter(StatsWriter):
        def write_stats(self, category, values, step):
            reward = saved_state.summary_of(values)
            if reward is not None:
                events.send("summary", brain=category, mean_reward=reward)
                events.send("episode", brain=category)
            run.summaries[category] = step
            before = sizes.get(category, 0)
            sizes[category] = resume.bytes_of_curve(saved_state.curve_folder(run, category))
            if sizes[category] <= before and not run.leaving:  # PyTorch's writer fails in a thread of its own
                place = os.path.relpath(saved_state.curve_folder(run, category))
                events.send("fault", kind="no_summary", message="%s at step %d" % (place, step))

    def create_writer(self, category):
        if category not in self.summary_writers:
            folder = saved_state.curve_folder(run, category)
            attempts = resume.attempts(folder)
            self.summary_writers[category] = SummaryWriter(folder)
            if attempts or category in run.found:
                saved_state.begin_curve(run, category, self.summary_writers[category], attempts)

    def write_once(self, step):
        if self._next_summary_step == 0:
            self._next_summary_step = self._get_next_interval_step(self.summary_freq)
        if self._next_summary_step > run.summaries.get(self.brain_name, 0):
            write_if_due(self, step)

    TensorboardWriter._maybe_create_summary_writer, RLTrainer._maybe_write_summary = create_writer, write_once
    learn.register_stats_writer_plugins = lambda options: [*list_writers(options), Reporter()]
