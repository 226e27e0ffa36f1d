"""The training loop: runs any system, loses nothing when it is killed."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from diffjax import checks
from diffjax.training import checkpoints, metrics, sharding, stopping
from diffjax.training import ema as ema_rules
from diffjax.training import progress as shown
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training import workdir as files
from diffjax.training.state import Optimizers, TrainState
from diffjax.training.system import System, Variables, with_served
from diffjax.types import Array

_INIT = 2**32 - 1  # the init's key is that of a step no run reaches


@runtime_checkable
class Batches(Protocol):
    """An endless source of batches that knows its position."""

    def __next__(self) -> dict[str, Array]:
        """Return the next batch: arrays with a common leading axis, this process's rows, to keep."""
        ...

    def get_state(self) -> Any:
        """Return the position as JSON data, the same on every process."""

    def set_state(self, state: Any) -> None:
        """Go to a position that `get_state` returned."""


class Traced(NamedTuple):
    """A run's step, traced and not compiled.

    Attributes:
      step: the jitted step.
      state: shapes, dtypes and places of the state.
      measured: shapes of the metrics by name.
    """

    step: steps.Step
    state: TrainState
    measured: Mapping[str, Any]


def trace(
    system: System,
    optimizer: Optimizers,
    batch: Any,
    frozen: Any,
    *,
    mesh: Mesh,
    rule: sharding.Rule | None = None,
    ema_decay: float | ema_rules.Decay | Mapping[str, float | ema_rules.Decay] = 0.999,
    accumulate: int = 1,
) -> Traced:
    """Trace the step of a run from shapes alone: what a system refuses is told before anything is made.

    Args:
      batch, frozen: shapes are enough.
      system, optimizer, mesh, rule, ema_decay, accumulate: see `fit`.
    """
    rule, decays = sharding.fsdp(mesh) if rule is None else rule, ema_rules.tracks(ema_decay)
    batch, frozen = sharding.described(mesh, batch, sharding.rows), sharding.described(mesh, frozen, rule)
    step, state = _program(system, optimizer, batch, frozen, mesh, rule, decays, accumulate)
    return Traced(step, state, jax.eval_shape(step, state, frozen, jax.random.key(0), batch)[1])


def _program(system, optimizer, batch, frozen, mesh, rule, decays, accumulate):
    """Return the jitted step and the shapes of the state."""
    state = states.abstract(system, optimizer, batch, frozen, mesh, rule, tuple(decays))
    return steps.compiled(steps.make(system, optimizer, decays, accumulate), state), state


def fit(
    system: System,
    optimizer: Optimizers,
    batches: Batches,
    *,
    workdir: str | Path,
    num_steps: int,
    frozen: Mapping[str, Any] | None = None,
    seed: int = 0,
    log_every: int = 100,
    checkpoint_every: int = 1000,
    sample_every: int = 0,
    on_sample: Callable[[int, Variables], Mapping[str, float] | None] | None = None,
    ema_decay: float | ema_rules.Decay | Mapping[str, float | ema_rules.Decay] = 0.999,
    accumulate: int = 1,
    keep: int = 2,
    best_metric: str = "loss",
    mesh: Mesh | None = None,
    rule: sharding.Rule | None = None,
    writers: Sequence[Callable[[str | Path, int], metrics.Writer]] = (),
    should_stop: Callable[[], Any] = lambda: False,
    progress: bool = True,
    traced: Traced | None = None,
) -> TrainState:
    """Train until `num_steps` steps are made, from the latest checkpoint in `workdir` on if there is one.

    A run that was killed and started again gives the same parameters, bit for bit, and the same
    `metrics.jsonl` as one that was not: the key of step n is `fold_in(key(seed), n)`, and batches go on from
    their saved position.

    Args:
      system: what is trained.
      optimizer: one for each update by its name, or the optimizer of a lone update; `optimizer.make` or any
        optax transformation.
      batches: source of batches, `step.rows_a_step(system)` times the rows of one update; each splits over
        the mesh's axes `data` and `fsdp`.
      workdir: folder for `checkpoints/`, `metrics.jsonl` and `loss.png`.
      num_steps: steps of the whole run, those made before a restart included.
      frozen: of `system.prepare`, on the host; None: `system.prepare(workdir)` is asked here.
      seed: of initialisation and of every step.
      log_every: steps between rows of `metrics.jsonl`; the last step has a row too. A row holds the mean of
        each metric over the steps since the row before, "steps_per_s" and "time" (Unix, seconds). Only here
        and at checkpoints does the host wait for the device; else it is two steps ahead.
      checkpoint_every: steps between checkpoints; the last step has one too.
      sample_every: steps between calls of `on_sample`, the last step has one too; 0 for none.
      on_sample: `on_sample(step, variables) -> numbers or None`, on every process, with the average in the
        place of what it follows ("ema", where there are several). The variables are gone after the call. The
        numbers are logged as "sample/<name>".
      ema_decay: decay of the moving average, a number in [0, 1] or a rule of `ema`; or either for each of
        several by name, of which "ema" is the one that is sampled with.
      accumulate: parts that the rows of an update are split into, one after another; their gradients are
        averaged.
      keep: how many of the latest checkpoints stay; the best one stays besides. With 2 or more there is one
        to fall back on should the latest be damaged.
      best_metric: the metric whose lowest mean since the checkpoint before makes a checkpoint the best; of
        "sample/<name>" the latest number.
      mesh: the devices; None: all of them along `data`.
      rule: how the state is laid out; None: `sharding.fsdp(mesh)`, replicated on a mesh of `data` alone.
      writers: further places for rows, such as `metrics.tensorboard`.
      should_stop: asked between steps; a true answer saves a checkpoint and returns. Asked before the first
        step, when all is compiled, too; then there is nothing to save. Where there are several processes it
        is asked at log steps and checkpoints only, and one wish stops them all. So is Ctrl-C, or a notebook's
        stop, where the program does not handle it itself: the checkpoint is saved before it is raised.
      progress: show a progress bar.
      traced: of `trace` with the same arguments, so that it is not done twice.

    Returns:
      The state after the last step; `state.step` is less than `num_steps` if it was told to stop.

    Raises:
      ValueError: if a number is out of range, the batches end early, `best_metric` is not among the metrics,
        no checkpoint can be read, or a loss or the parameters are not finite: these are not saved, and the
        last good checkpoint is named.
      OSError: if the disk has not enough room for the checkpoints, or turns out to be full later.
      KeyboardInterrupt: when all is saved, see `should_stop`.
    """
    checks.compiling("training")
    workdir = files.local(workdir)
    checks.seed(seed)
    _check_counts(
        num_steps=num_steps, log_every=log_every, checkpoint_every=checkpoint_every, accumulate=accumulate
    )
    mesh = sharding.make_mesh() if mesh is None else mesh
    rule = sharding.fsdp(mesh) if rule is None else rule
    decays = ema_rules.tracks(ema_decay)
    key = jax.random.key(seed)
    frozen = system.prepare(workdir)[0] if frozen is None else frozen
    frozen = jax.device_put(frozen, sharding.shardings(mesh, frozen, rule))
    begin = batches.get_state()
    first = sharding.put_batch(mesh, _next(batches, 1))
    batches.set_state(begin)
    if traced is None:
        step, abstract = _program(system, optimizer, first, frozen, mesh, rule, decays, accumulate)
    else:
        step, abstract, _ = traced
    found = checkpoints.restore(workdir, abstract)

    with contextlib.ExitStack() as stack:
        interrupted = stack.enter_context(stopping.on_interrupt())
        manager = stack.enter_context(checkpoints.writing(workdir, keep=keep, best_metric=best_metric))
        checkpoints.check_space(workdir, abstract, keep)  # the manager has removed what was cut off
        if found is None:
            start, init_key = 0, jax.random.fold_in(key, _INIT)
            state = states.create(system, optimizer, init_key, first, frozen, abstract)
            since_log = since_checkpoint = metrics.Running()
            sampled, latest = {}, {}  # numbers of on_sample since the last row, and the latest of each
        else:
            start, state, position, meta = found
            batches.set_state(position)
            since_log, since_checkpoint = (
                metrics.Running(**meta.get(name, {})) for name in ("since_log", "since_checkpoint")
            )
            sampled, latest = meta.get("sampled", {}), meta.get("latest", {})
        shapes = sharding.described(mesh, first, sharding.rows)
        del first
        alone, put = jax.process_count() == 1, sharding.feeder(mesh)
        log = _log(workdir, start, num_steps, writers, progress)
        stack.callback(log.close)

        pending = []
        for n in range(start + 1, num_steps + 1):
            batch = put(_next(batches, n))
            if n == start + 1:
                lowered = step.lower(state, frozen, key, shapes)
                check_metric(best_metric, lowered.out_info[1], sample_every if on_sample else 0)
                step = lowered.compile()
                if stopping.agree(bool(should_stop()) or interrupted()):
                    break  # told to while the program was made: there is nothing new to save
            try:
                state, measured = step(state, frozen, key, batch)
            except TypeError as error:  # of the compiled program
                raise ValueError(f"batch {n} is not like the first one: {error}") from error
            pending.append(measured)
            pending[-3:][0]["loss"].block_until_ready()  # not far ahead of the device: a wish is soon granted
            log.tick()
            logs = n % log_every == 0 or n == num_steps
            saves = n % checkpoint_every == 0 or n == num_steps
            # Several processes talk to each other only where the host waits anyway.
            stops = (alone or logs or saves) and stopping.agree(bool(should_stop()) or interrupted())
            if on_sample is not None and sample_every and (n % sample_every == 0 or n == num_steps):
                sampled = sampled | _named(on_sample(n, averaged(state, frozen)))
                latest = latest | sampled
                if best_metric.startswith("sample/"):
                    check_metric(best_metric, latest, 0)
            if logs or saves or stops:
                rows, pending = _fetched(pending), []
                _check_finite(rows, n, manager)
                since_log = metrics.add(since_log, rows)
                since_checkpoint = metrics.add(since_checkpoint, rows)
            if logs:
                checkpoints.check_written(manager)
                log.write(n, metrics.means(since_log) | sampled)
                since_log, sampled = metrics.Running(), {}
            if saves or stops:
                # The few steps until a signal do not compare with whole intervals: no score for them.
                score = metrics.means(since_checkpoint) | latest if saves else {}
                since_checkpoint = metrics.Running() if saves else since_checkpoint
                meta = {
                    "since_log": since_log._asdict(), "since_checkpoint": since_checkpoint._asdict(),
                    "sampled": sampled, "latest": latest,
                }  # fmt: skip
                checkpoints.save(manager, n, state, data=batches.get_state(), meta=meta, metrics=score)
            if stops:
                break
        log.close()
        if jax.process_index() == 0:
            metrics.plot_loss(workdir)
    return state


def averaged(state: TrainState, frozen: Any) -> Variables:
    """Return what a state samples with: the average in the place of what it follows; shapes of shapes."""
    average = state.ema[ema_rules.main(state.ema)]
    return with_served(Variables(state.params, state.extra, frozen), average)


def _fetched(rows: list[dict[str, jax.Array]]) -> list[dict[str, float]]:
    """Return metrics on the host. `device_get` starts all copies at once, of which a CPU needs none."""
    rows = rows if jax.default_backend() == "cpu" else jax.device_get(rows)
    return jax.tree.map(lambda value: float(np.asarray(value)), rows)


def _named(numbers: Any) -> dict[str, float]:
    try:
        return {f"sample/{name}": float(value) for name, value in dict(numbers or {}).items()}
    except (TypeError, ValueError):
        raise ValueError(f"on_sample must return numbers by name or None; got {numbers!r}") from None


def _next(batches: Batches, n: int) -> dict[str, Array]:
    try:
        return next(batches)
    except StopIteration:
        raise ValueError(f"batches ended before step {n}: training needs a source that repeats") from None


def check_metric(best_metric: str, measured: Mapping[str, Any], sample_every: int) -> None:
    """Raise for a metric that no checkpoint will have.

    Args:
      best_metric: of `fit`.
      measured: what a step measures, by name.
      sample_every: steps between numbers of `on_sample`; 0 where there are none.
    """
    if best_metric.startswith("sample/") and sample_every:
        return
    if best_metric not in measured:
        raise ValueError(f"best_metric={best_metric!r} is not one of {', '.join(sorted(measured))}")


class _Log(NamedTuple):
    """Where the loop's progress goes: `tick()` each step, `write(step, row)` at log steps, `close()`."""

    tick: Callable[[], None]
    write: Callable[[int, metrics.Row], None]
    close: Callable[[], None]


def _log(workdir, start, num_steps, writers, progress) -> _Log:
    first = jax.process_index() == 0
    sinks = [opener(workdir, start) for opener in (metrics.jsonl, *writers)] if first else []
    bar = shown.bar(
        total=num_steps, initial=start, unit="step", desc="compiling", smoothing=0.05,
        disable=not (progress and first),
    )  # fmt: skip
    last = (start, time.perf_counter())

    def write(n, row):
        nonlocal last
        now = time.perf_counter()
        row = {**row, "steps_per_s": (n - last[0]) / (now - last[1]), "time": time.time()}
        last = (n, now)
        for sink in sinks:
            sink.write(n, row)
        bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)

    def tick():
        if bar.n == start:
            bar.unpause()  # compiled: the clock starts here
            bar.set_description("training")
        bar.update()

    def close():
        bar.close()
        while sinks:
            sinks.pop().close()

    return _Log(tick, write, close)


def _check_finite(rows, n, manager):
    for step, row in enumerate(rows, start=n - len(rows) + 1):
        for name in ("loss", "param_norm"):
            if not np.isfinite(row[name]):
                checkpoints.check_written(manager, wait=True)
                good = manager.latest_step()
                good = "no checkpoint yet" if good is None else f"the last good checkpoint is step {good}"
                raise ValueError(f"{name} is {row[name]} at step {step}; {good} in {manager.directory}")


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
