"""The training loop: runs any system, loses nothing when it is killed."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from diffjax import checks
from diffjax.training import (
    checkpoints,
    cost,
    metrics,
    post_hoc,
    rescue,
    sharding,
    stopping,
    warm_start,
    watching,
)
from diffjax.training import ema as ema_rules
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training import workdir as files
from diffjax.training.counted import Counted
from diffjax.training.log import log_to
from diffjax.training.state import Optimizers, TrainState
from diffjax.training.system import System, Variables, with_served
from diffjax.training.tracing import Traced, program
from diffjax.types import Array

Report = Callable[[int, Variables], Mapping[str, float] | None]

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
    on_sample: Report | None = None,
    validate_every: int = 0,
    on_validate: Report | None = None,
    snapshot_every: int = 0,
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
    watch: watching.Watch = watching.PLAIN,
    not_finite: rescue.Rescue | None = None,
    init_from: warm_start.Values | None = None,
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
        each metric over the steps since the row before, and the rates of `watching.Rates`. Only here and at
        checkpoints does the host wait for the device; else it is two steps ahead.
      checkpoint_every: steps between checkpoints; the last step has one too.
      sample_every: steps between calls of `on_sample`, the last step has one too; 0 for none.
      on_sample: `on_sample(step, variables) -> numbers or None`, on every process, with the average in the
        place of what it follows ("ema", where there are several). The variables are gone after the call. The
        numbers are logged as "sample/<name>".
      validate_every: steps between calls of `on_validate`, the last step has one too; 0 for none.
      on_validate: as `on_sample`, of held-out data; its numbers are logged as "held_out/<name>".
      snapshot_every: steps between snapshots of the averages by the rule `ema.power`, the last step has one
        too; 0 for none. See `post_hoc`.
      ema_decay: decay of the moving average, a number in [0, 1] or a rule of `ema`; or either for each of
        several by name, of which "ema" is the one that is sampled with.
      accumulate: parts that the rows of an update are split into, one after another; their gradients are
        averaged.
      keep: how many of the latest checkpoints stay; the best one stays besides. With 2 or more there is one
        to fall back on should the latest be damaged.
      best_metric: the metric whose lowest mean since the checkpoint before makes a checkpoint the best; of
        "sample/<name>" and "held_out/<name>" the latest number.
      mesh: the devices; None: all of them along `data`.
      rule: how the state is laid out; None: `sharding.by_layer(mesh)`, replicated on a mesh of `data` alone.
      writers: further places for rows, such as `metrics.tensorboard`.
      should_stop: asked between steps; a true answer saves a checkpoint and returns. Asked before the first
        step, when all is compiled, too; then there is nothing to save. Where there are several processes it
        is asked at log steps and checkpoints only, and one wish stops them all. So is Ctrl-C, or a notebook's
        stop, where the program does not handle it itself: the checkpoint is saved before it is raised.
      progress: show a progress bar.
      traced: of `trace` with the same arguments, so that it is not done twice.
      watch: what is watched besides, see `watching.watch`.
      not_finite: what is done about a loss or parameters that are not finite, see `rescue.roll_back`; None
        stops there.
      init_from: parameters to begin with, see `warm_start.read`; a run that goes on from a checkpoint does
        not look at them.

    Returns:
      The state after the last step; `state.step` is less than `num_steps` if it was told to stop.

    Raises:
      ValueError: if a number is out of range, the batches end early, `best_metric` is not among the metrics,
        no checkpoint can be read, nothing of `init_from` matches, a step cannot fit into the memory of a
        device, or a loss or the parameters are not finite: these are not saved, and the last good checkpoint
        is named.
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
    rule = sharding.by_layer(mesh) if rule is None else rule
    decays = ema_rules.tracks(ema_decay)
    widths = post_hoc.widths(decays) if snapshot_every else {}
    frozen = system.prepare(workdir)[0] if frozen is None else frozen
    frozen = jax.device_put(frozen, sharding.shardings(mesh, frozen, rule))
    begin = batches.get_state()
    first = sharding.put_batch(mesh, _next(batches, 1))
    batches.set_state(begin)
    if traced is None:
        traced = Traced(*program(system, optimizer, first, frozen, mesh, rule, decays, accumulate), {})
    create = lambda batch: states.create(
        system, optimizer, jax.random.fold_in(jax.random.key(seed), _INIT), batch, frozen, traced.state
    )
    asked = (("sample", sample_every, on_sample), ("held_out", validate_every, on_validate))
    reports = tuple((name, every, report) for name, every, report in asked if every and report is not None)
    run = _Run(
        batches=batches, begin=begin, shapes=sharding.described(mesh, first, sharding.rows), mesh=mesh,
        traced=traced, frozen=frozen, key=jax.random.key(seed), create=create, init_from=init_from,
        workdir=workdir, keep=keep, best_metric=best_metric, num_steps=num_steps, log_every=log_every,
        checkpoint_every=checkpoint_every, reports=reports, writers=writers, should_stop=should_stop,
        progress=progress, watch=watch, snapshot_every=snapshot_every, widths=widths,
    )  # fmt: skip
    del first
    position, left = None, not_finite.times if not_finite else 0
    while True:
        try:
            return run.go(position)
        except rescue.NotFinite as lost:
            if not_finite is None or not left:
                raise
            position, left = batches.get_state(), left - 1
            rescue.set_back(workdir, not_finite, lost)


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """What `fit` was given and made of it."""

    batches: Batches
    begin: Any  # position of the first batch
    shapes: Any  # of a batch
    mesh: Mesh
    traced: Traced
    frozen: Any
    key: jax.Array
    create: Callable[[Any], TrainState]
    init_from: warm_start.Values | None
    workdir: Path
    keep: int
    best_metric: str
    num_steps: int
    log_every: int
    checkpoint_every: int
    reports: Sequence[tuple[str, int, Report]]
    writers: Sequence[Callable[[str | Path, int], metrics.Writer]]
    should_stop: Callable[[], Any]
    progress: bool
    watch: watching.Watch
    snapshot_every: int
    widths: Mapping[str, float]

    def go(self, position: Any) -> TrainState:
        """Train from the latest checkpoint on.

        Args:
          position: of the batches to go on with; None for the checkpoint's own.
        """
        found = checkpoints.restore(self.workdir, self.traced.state)
        with contextlib.ExitStack() as stack:
            interrupted = stack.enter_context(stopping.on_interrupt())
            manager = stack.enter_context(
                checkpoints.writing(self.workdir, keep=self.keep, best_metric=self.best_metric)
            )
            checkpoints.check_space(self.workdir, self.traced.state, self.keep)  # what was cut off is removed
            n, state, own, counted = self._start() if found is None else (*found[:3], Counted.of(found[3]))
            del found
            self.batches.set_state(own if position is None else position)
            moving = stack.enter_context(watching.moving(self.watch, self.workdir))
            examples = len(jax.tree.leaves(self.shapes)[0])
            rates = watching.Rates(self.watch, n, examples, self.program.jaxpr, self.mesh)
            log = log_to(self.workdir, n, self.num_steps, rates, self.writers, self.progress)
            stack.callback(log.close)
            asked = lambda: stopping.agree(bool(self.should_stop()) or interrupted())
            state = self._steps(n, state, counted, manager, log, moving, asked)
            log.close()
            if jax.process_index() == 0:
                metrics.plot_loss(self.workdir)
        return state

    def _start(self):
        """Return step 0, the state there, the position of the first batch, and that nothing was counted."""
        self.batches.set_state(self.begin)
        state = self.create(sharding.put_batch(self.mesh, _next(self.batches, 1)))
        if self.init_from is not None:
            state = warm_start.begin(self.workdir, state, self.init_from)
        return 0, state, self.begin, Counted()

    def _steps(self, start, state, counted, manager, log, moving, asked):
        alone, put, pending = jax.process_count() == 1, sharding.feeder(self.mesh), []
        for n in range(start + 1, self.num_steps + 1):
            with log.rates.reading():
                batch = put(_next(self.batches, n))
            if n == start + 1:
                step = self.step
                if asked():
                    break  # told to while the program was made: there is nothing new to save
            moving(n)
            try:
                state, measured = step(state, self.frozen, self.key, batch)
            except TypeError as error:  # of the compiled program
                raise ValueError(f"batch {n} is not like the first one: {error}") from error
            pending.append(measured)
            pending[-3:][0]["loss"].block_until_ready()  # not far ahead of the device: a wish is soon granted
            log.tick()
            logs = n % self.log_every == 0 or n == self.num_steps
            saves = n % self.checkpoint_every == 0 or n == self.num_steps
            # Several processes talk to each other only where the host waits anyway.
            stops = (alone or logs or saves) and asked()
            for name, every, report in self.reports:
                if n % every == 0 or n == self.num_steps:
                    counted.add_sampled(_named(name, report(n, averaged(state, self.frozen))))
                    if self.best_metric.startswith(f"{name}/"):
                        check_metric(self.best_metric, counted.latest)
            if self.snapshot_every and (n % self.snapshot_every == 0 or n == self.num_steps):
                post_hoc.keep(self.workdir, n, state.ema, self.widths)
            if logs or saves or stops:
                rows, pending = _fetched(pending), []
                _check_finite(rows, n, manager)
                counted.add(rows)
            if logs:
                checkpoints.check_written(manager)
                log.write(n, counted.row())
            if saves or stops:
                score = counted.score(whole=saves)
                checkpoints.save(
                    manager, n, state, data=self.batches.get_state(), meta=counted.meta(), metrics=score
                )
            if stops:
                break
        return state

    @functools.cached_property
    def program(self) -> Any:
        """The step, traced for a batch."""
        return self.traced.step.trace(self.traced.state, self.frozen, self.key, self.shapes)

    @functools.cached_property
    def step(self) -> steps.Step:
        """The step, compiled once, whatever is rolled back; what it costs is kept in the run's folder."""
        lowered = self.program.lower()
        check_metric(self.best_metric, lowered.out_info[1], [name for name, _, _ in self.reports])
        compiled = lowered.compile()
        if jax.process_index() == 0:
            about = cost.about(self.program.jaxpr, compiled, self.traced.state)
            files.write(self.workdir / cost.FILE, json.dumps(about, indent=2) + "\n")
        cost.check_memory(compiled, self.mesh.local_devices)
        return compiled


def averaged(state: TrainState, frozen: Any) -> Variables:
    """Return what a state samples with: the average in the place of what it follows; shapes of shapes."""
    average = state.ema[ema_rules.main(state.ema)]
    return with_served(Variables(state.params, state.extra, frozen), average)


def _fetched(rows: list[dict[str, jax.Array]]) -> list[dict[str, float]]:
    """Return metrics on the host. `device_get` starts all copies at once, of which a CPU needs none."""
    rows = rows if jax.default_backend() == "cpu" else jax.device_get(rows)
    return jax.tree.map(lambda value: float(np.asarray(value)), rows)


def _named(report: str, numbers: Any) -> dict[str, float]:
    try:
        return {f"{report}/{name}": float(value) for name, value in dict(numbers or {}).items()}
    except (TypeError, ValueError):
        function = {"sample": "on_sample", "held_out": "on_validate"}[report]
        raise ValueError(f"{function} must return numbers by name or None; got {numbers!r}") from None


def _next(batches: Batches, n: int) -> dict[str, Array]:
    try:
        return next(batches)
    except StopIteration:
        raise ValueError(f"batches ended before step {n}: training needs a source that repeats") from None


def check_metric(best_metric: str, measured: Mapping[str, Any], reports: Sequence[str] = ()) -> None:
    """Raise for a metric that no checkpoint will have.

    Args:
      best_metric: of `fit`.
      measured: what a step measures, by name.
      reports: "sample" and "held_out", where numbers of the kind are made on the way.
    """
    if best_metric.startswith(tuple(f"{name}/" for name in reports)):
        return
    if best_metric not in measured:
        raise ValueError(f"best_metric={best_metric!r} is not one of {', '.join(sorted(measured))}")


def _check_finite(rows, n, manager):
    for step, row in enumerate(rows, start=n - len(rows) + 1):
        for name in ("loss", "param_norm"):
            if not np.isfinite(row[name]):
                checkpoints.check_written(manager, wait=True)
                good = manager.latest_step()
                good = "no checkpoint yet" if good is None else f"the last good checkpoint is step {good}"
                told = f"{name} is {row[name]} at step {step}; {good} in {manager.directory}"
                raise rescue.NotFinite(step, told)


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
