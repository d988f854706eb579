"""Monitors the learner from inside: reports progress, rewards, saves and faults to the supervisor.

`install` wraps methods of ML-Agents' classes at run time; the installed package is not changed. Three things are more
than monitoring: resuming from checkpoints (`saved_state`), counting summaries and saves from the run's step rather than
from the process's start, and interrupts that can't damage a save.
"""

import functools
import itertools
import math
import os
import time
from types import SimpleNamespace

import checkpoints
import events
import paths
import resume
import tensorflow as tf
import watching
from auto_players import Trial, follow_steps
from mlagents.envs import subprocess_env_manager
from mlagents.envs.brain import BrainInfo
from mlagents.envs.env_manager import EnvironmentStep
from mlagents.trainers import demo_loader, learn
from mlagents.trainers.tf_policy import TFPolicy
from mlagents.trainers.trainer import Trainer
from mlagents.trainers.trainer_controller import TrainerController
from mlagents.trainers.trainer_util import TrainerFactory
from run_state import Run

from trainers.v0_11 import brain_settings, player_watch, saved_state

EMPTY_UPDATES = 3  # updates without a batch after which no update will have one


def install() -> None:
    """Connect to the supervisor and monitor this process's learner."""
    run = watching.begin()
    resume.find_checkpoints(run, saved_state.problem, saved_state.point_to)
    _watch_workers(run)
    if events.settings()["try_players"]:
        _try_players(run)
    _watch_trainers(run)
    _watch_controller(run)
    _watch_port()
    saved_state.restore_lessons(run)
    watching.begin_ticking(run)


def _watch_workers(run: Run) -> None:
    manager = subprocess_env_manager.SubprocessEnvManager
    create, step, reset = manager.create_worker, manager.step, manager.reset

    def watched_create(worker_id, step_queue, env_factory):
        env_worker = create(worker_id, step_queue, env_factory)
        watching.await_end(run, worker_id, env_worker.process)
        return env_worker

    watched = functools.partial(watching.while_waiting, run)
    ask_for_brains, ask_for_parameters = watched(manager.external_brains.fget), watched(manager.reset_parameters.fget)

    def noted_brains(self):
        brains = ask_for_brains(self)
        run.brains.update(brains)
        return brains

    manager.external_brains, manager.reset_parameters = property(noted_brains), property(ask_for_parameters)
    subprocess_env_manager.worker = player_watch.worker
    manager.create_worker = staticmethod(watched_create)
    manager.step, manager.reset = watched(step), watched(reset)


def _try_players(run: Run) -> None:
    """Let a trial determine the number of players."""
    manager = subprocess_env_manager.SubprocessEnvManager
    init, close = manager.__init__, manager.close

    def send_reset(worker, config=None, train_mode=True, custom_reset_parameters=None):
        worker.send("reset", (config, train_mode, custom_reset_parameters))

    def begin_trial(self, env_factory, n_env=1):
        init(self, env_factory, n_env)
        self.trial = Trial(run, self, lambda worker, infos: EnvironmentStep(None, infos, None), send_reset)

    def close_all(self):
        self.trial.end()
        close(self)

    manager.__init__, manager.close = begin_trial, close_all
    follow_steps(manager, "step", "reset")


def _watch_trainers(run: Run) -> None:
    generate, write_summary = TrainerFactory.generate, Trainer.write_summary
    load_demonstration = demo_loader.load_demonstration
    execute, save, load = TFPolicy._execute_model, TFPolicy.save_model, TFPolicy._load_graph

    def watched_generate(self, brain):
        settings = brain_settings.find(self.trainer_config, brain.brain_name)
        brain_settings.refuse_ineffective_training(settings, brain.brain_name)
        brain_settings.refuse_long_name(brain.brain_name, self.run_id)
        brain_settings.refuse_curriculum(self.meta_curriculum, brain.brain_name, learn.parse_command_line().lesson)
        run.shapes[brain.brain_name] = saved_state.shape_of(self.trainer_config, brain)
        resume.refuse_other_checkpoints(run, brain.brain_name)
        self.load_model = brain.brain_name in run.found
        summaries = os.path.join(self.summaries_dir, "%s_%s" % (self.run_id, paths.brain_file(brain.brain_name)))
        attempts = resume.attempts(summaries)
        # A brain's own section overrides the folders that ML-Agents derives from its unencoded name.
        places = {"summary_path": summaries, "model_path": checkpoints.brain_folder(self.model_path, brain.brain_name)}
        self.trainer_config = {**self.trainer_config, brain.brain_name: {**settings, **places}}
        demo_loader.load_demonstration = functools.partial(_load_demonstration, load_demonstration, brain.brain_name)
        trainer = generate(self, brain)
        brain_settings.refuse_ineffective_pretraining(getattr(trainer.policy, "bc_module", None), brain.brain_name)
        brain_settings.refuse_gail_with_few_steps(trainer)
        trainer.policy.update = functools.partial(_update_network, run, brain.brain_name, trainer.policy.update)
        trainer.update_policy = functools.partial(_update_policy, run, trainer, trainer.update_policy)
        if self.load_model:
            saved_state.apply_state(run, trainer)
        if attempts or self.load_model:
            saved_state.begin_curve(trainer, attempts)
        return trainer

    def watched_summary(self, global_step, *args, **kwargs):
        rewards = self.stats["Environment/Cumulative Reward"]
        if rewards and global_step % self.trainer_parameters["summary_freq"] == 0:
            reward = sum(map(float, rewards)) / len(rewards)
            events.send("summary", brain=self.brain_name, mean_reward=reward)
        due = global_step and global_step % self.trainer_parameters["summary_freq"] == 0  # this is called every step
        if due:
            _note_episodes(run, self)
        before = resume.bytes_of_curve(self.summary_path) if due else 0
        write_summary(self, global_step, *args, **kwargs)
        # TensorFlow's writer only warns. The training can still be saved, so nothing is raised here.
        if due and not run.leaving and resume.bytes_of_curve(self.summary_path) <= before:
            place = "%s at step %d" % (os.path.relpath(self.summary_path), self.get_step)
            events.send("fault", kind="no_summary", message=place)

    def watched_execute(self, *args, **kwargs):
        watching.stop_if_interrupted(run)
        run.marks += 1
        waiting, run.waiting = run.waiting, False
        try:
            return execute(self, *args, **kwargs)
        finally:
            run.waiting = waiting
            if waiting:
                watching.stop_if_interrupted(run)

    def checked_load(self):
        saved_state.refuse_other_network(run, self)
        load(self)

    def noted_save(self, steps):
        name = self.brain.brain_name
        folder = checkpoints.brain_folder(run.folder, name)
        checkpoint = checkpoints.Checkpoint(int(steps), os.path.join(folder, "model-%d.cptk" % steps))
        try:
            checkpoints.write_note(checkpoint, saved_state.note_of(run, name))
            save(self, steps)
        except (OSError, tf.errors.OpError) as error:
            raise watching.SaveError(_why_not_saved(checkpoint, error)) from error

    TrainerFactory.generate, Trainer.write_summary = watched_generate, watched_summary
    TFPolicy._execute_model, TFPolicy.save_model = watched_execute, noted_save
    TFPolicy._load_graph = checked_load


def _load_demonstration(load, brain: str, path: str):
    """Load a brain's demonstration, and report its first observations that are not finite; ML-Agents replaces them."""
    read, steps, spoilt = BrainInfo.from_agent_proto, itertools.count(), []

    def watched_read(worker_id, agent_infos, brain_params):
        step = next(steps)
        if not math.isfinite(sum(agent_infos[0].stacked_vector_observation)):
            spoilt.append(step)
        return read(worker_id, agent_infos, brain_params)

    demo_loader.BrainInfo = SimpleNamespace(from_agent_proto=watched_read)
    demonstration = load(path)
    if spoilt:
        name = os.path.relpath(path, paths.CHANNEL)
        events.send("spoilt_demonstration", brain=brain, demonstration=name, step=spoilt[0])
    return demonstration


def _why_not_saved(checkpoint: checkpoints.Checkpoint, error: BaseException) -> str:
    """Return the reason in one line, without the nodes and the stack that TensorFlow adds."""
    message = str(error) if isinstance(error, OSError) else error.message
    reason = message.strip().splitlines()[0].rpartition("; ")[2]
    return "%s at step %d: %s" % (os.path.dirname(checkpoint.prefix), checkpoint.step, reason)


def _update_policy(run: Run, trainer, update) -> None:
    begun = time.monotonic()
    update()
    run.update_seconds += time.monotonic() - begun
    module = getattr(trainer.policy, "bc_module", None)
    # The rate of this update: 0 once its steps are over. Where they were over in an earlier job, it imitated there.
    if module is not None and module.has_updated and (module.current_lr > 0 or trainer.brain_name in run.found):
        run.imitated.add(trainer.brain_name)
    if (
        trainer.brain_name not in run.updated and trainer.trainer_parameters["trainer"] != "sac"
    ):  # which also waits here
        run.empty_updates[trainer.brain_name] = run.empty_updates.get(trainer.brain_name, 0) + 1
        if run.empty_updates[trainer.brain_name] == EMPTY_UPDATES:
            brain_settings.refuse_empty_updates(trainer.trainer_parameters, trainer.brain_name)
    losses = {name: values[-1] for name, values in trainer.stats.items() if "Loss" in name and len(values)}
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise watching.NotFiniteError(
                "%s of brain %s became %s after step %d" % (name, trainer.brain_name, loss, trainer.get_step)
            )


def _update_network(run: Run, brain: str, update, *args, **kwargs):
    if brain not in run.updated:
        run.updated.add(brain)
        events.send("updated", brain=brain)
    return update(*args, **kwargs)


def _note_episodes(run: Run, trainer) -> None:
    if trainer.brain_name not in run.episodes and len(trainer.reward_buffer):
        run.episodes.add(trainer.brain_name)
        events.send("episode", brain=trainer.brain_name)


def _note_idle(run: Run, trainer) -> None:
    """Report imitation settings and rewards of a brain that had no effect."""
    policy, idle = trainer.policy, []
    signals = getattr(policy, "reward_signals", {})
    module, signal = getattr(policy, "bc_module", None), signals.get("gail")
    if signals and not any(one.strength for one in signals.values()):
        events.send("unrewarded", brain=trainer.brain_name)
    if module is not None and trainer.brain_name not in run.imitated:
        idle.append("pretraining")
    if signal is not None and (not signal.has_updated or not signal.strength):
        idle.append("the reward signal gail")
    if idle:
        events.send("idle", brain=trainer.brain_name, settings=idle)


def _watch_controller(run: Run) -> None:
    controller = TrainerController
    start_trainer, save, export = controller.start_trainer, controller._save_model, controller._export_graph
    interrupted = controller._save_model_when_interrupted
    should_save_model, write_to_tensorboard = controller._should_save_model, controller.write_to_tensorboard
    reset_env_if_ready = controller.reset_env_if_ready

    def watched_start_trainer(self, trainer, env_manager):
        start_trainer(self, trainer, env_manager)
        kind, max_steps = trainer.trainer_parameters["trainer"], int(trainer.get_max_steps)
        events.send("brain", brain=trainer.brain_name, max_steps=max_steps, trainer=kind)
        run.trainers[trainer.brain_name] = trainer

    def watched_save(self):
        save(self)
        run.marks += 1
        events.send("saved", steps=run.steps())

    def watched_interrupted(self):
        run.ending = run.leaving = True
        events.send("interrupted")
        if resume.has_trained(run):  # else the save would only replace itself
            # In an update, an interrupt arrives after the steps were counted and before their summaries are written.
            for step in range(run.summarised + 1, run.newest_step() - run.first_step + 1):
                self.write_to_tensorboard(step)
            interrupted(self)

    def watched_export(self):
        run.ending = run.leaving = True
        steps = {name: step for name, (step, _) in run.steps().items()}
        if steps:  # else the players never reported a brain
            checkpoints.note_export(run.folder, dict.fromkeys(steps))
        export(self)
        for trainer in self.trainers.values():
            _note_episodes(run, trainer)
            _note_idle(run, trainer)
        if steps:
            checkpoints.note_export(run.folder, steps)
        events.send("exported", steps=run.steps())

    # ML-Agents counts from the process's start; the three below count from the run's.
    def should_save(self, global_step):
        due = should_save_model(self, global_step + run.first_step)
        if due:  # so that a job killed right after the save has the matching point of its curve
            self.write_to_tensorboard(global_step)
        return due

    def summarise(self, global_step):
        if global_step > run.summarised:
            run.summarised = global_step
            write_to_tensorboard(self, global_step + run.first_step)

    def reset_if_ready(self, env, steps):
        if self.meta_curriculum is not None:
            brain_settings.refuse_unused_curriculum(self.meta_curriculum, self.trainers)
        reset_env_if_ready(self, env, steps + run.first_step)

    controller.start_trainer, controller._save_model = watched_start_trainer, watched_save
    controller._save_model_when_interrupted, controller._export_graph = watched_interrupted, watched_export
    controller._should_save_model, controller.write_to_tensorboard = should_save, summarise
    controller.reset_env_if_ready = reset_if_ready


def _watch_port() -> None:
    create = learn.create_environment_factory

    def at_base_port(env_path, docker_target_name, no_graphics, seed, start_port, env_args):
        # Without a build ML-Agents always uses 5004.
        start_port = learn.parse_command_line().base_port
        return create(env_path, docker_target_name, no_graphics, seed, start_port, env_args)

    learn.create_environment_factory = at_base_port
