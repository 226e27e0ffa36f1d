"""One value says all that may be asked of a system; trainer, commands, evaluation and pipelines ask nothing
else, and know no system by name.

A batch is a dict of arrays with a common leading axis `[B]`. A *request* is what is asked of a sampler: a
dict of named parts `{part: [n, ...]}`, so that it splits over devices, pads, and is saved beside the samples.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.keys import per_sample

Batch = Mapping[str, Any]
Request = Mapping[str, Any]
Metrics = dict[str, jax.Array]


class Variables(NamedTuple):
    """Everything that a system's functions read; each a dict of trees by name, "network" where there is one.

    Attributes:
      params: what optimizers move.
      extra: what the method carries from step to step besides: a target network, a replay buffer, statistics
        of a normalisation.
      frozen: what is never updated: a teacher, a first stage, a text encoder.
    """

    params: Mapping[str, Any] = {}
    extra: Mapping[str, Any] = {}
    frozen: Mapping[str, Any] = {}


class Update(NamedTuple):
    """One move of an optimizer within a training step.

    Attributes:
      name: of the update, and of its section of `config.optimizer` where a system has several.
      moves: names of params that its optimizer moves.
      gradients: `(variables, key, batch, step) -> ({moved: grads}, extra, metrics)`. `step` is the int32
        number of steps made so far. `extra` keeps structure, shapes and dtypes; `metrics` is a dict of
        scalars with at least "loss".
      repeats: how many times it is made in a step, each with a key and fresh rows of its own.
      rowwise: the loss is a mean over rows, so that gradients may be accumulated over parts of a batch. Not
        so for contrastive losses, batch statistics, adaptive weights.
    """

    name: str
    moves: Sequence[str]
    gradients: Callable[..., tuple[dict[str, Any], Mapping[str, Any], Metrics]]
    repeats: int = 1
    rowwise: bool = True


class Pass(NamedTuple):
    """One thing that sampling does: a walk, a decoding, a stage of a pipeline.

    Attributes:
      name: of the pass.
      run: `(variables, keys [n], request, made) -> x [n, ...]`, a pure function; `made` is {pass: x} of the
        passes before it.
      calls: {network: calls a sample}, guidance included.
      batch_size: samples at a time, or None for what the command is told.
    """

    name: str
    run: Callable[..., Any]
    calls: Mapping[str, int]
    batch_size: int | None = None


class Part(NamedTuple):
    """One named part of a request.

    Attributes:
      shape: of one sample.
      dtype: of its array.
      drop: probability that training hides it.
      names: what its integers stand for, or None.
      of_rows: whether rows of data have it. What none has, such as a guidance weight, is drawn at random in
        training, and in measuring samples is that of the sampler.
    """

    shape: tuple[int, ...] = ()
    dtype: Any = jnp.float32
    drop: float = 0.0
    names: Sequence[str] | None = None
    of_rows: bool = True


def _nothing_given(given, n):
    del n
    if given:
        raise ValueError(f"{', '.join(given)} must be left out: this model takes no request")
    return {}


class Conditioning(NamedTuple):
    """How a system's request is made, and what networks are told of it. The default takes no request.

    Attributes:
      parts: {name: Part}.
      of_batch: `(variables, key, batch) -> request`, on device: a low resolution or an embedding is made of
        the picture here.
      of_user: `({part: value}, n) -> request`, on the host: strings, paths and numbers are read and refused
        here.
      default: `n -> request` where nothing is asked.
      drop: `(key, n) -> {part: bool [n]}`, what training keeps; None where nothing is ever dropped.
      encode: `(variables, request, keep=None) -> Condition | None`, once a walk; where `keep[part]` is False
        the part's null stands in its place.
      describe: `request -> strings [n]` for pictures, or None.
      pictures: `request -> [uint8 images [n, h, w, C], ...]` of what is asked, to stand beside samples.
    """

    parts: Mapping[str, Part] = {}
    of_batch: Callable[..., Request] = lambda variables, key, batch: {}
    of_user: Callable[..., Request] = _nothing_given
    default: Callable[[int], Request] = lambda n: {}
    drop: Callable[..., Mapping[str, jax.Array]] | None = None
    encode: Callable[..., Any] = lambda variables, request, keep=None: None
    describe: Callable[[Request], Sequence[str] | None] = lambda request: None
    pictures: Callable[[Request], Sequence[Any]] = lambda request: ()

    def kept(self, key: jax.Array, n: int) -> Mapping[str, jax.Array] | None:
        """Return {part: bool [n]}, what training keeps; None where nothing is ever dropped."""
        return None if self.drop is None else self.drop(key, n)

    def told(
        self, variables: Variables, key: jax.Array, batch: Batch, keep: Mapping[str, jax.Array] | None = None
    ) -> Any:
        """Return what networks are told of the rows of a batch, see `of_batch` and `encode`."""
        return self.encode(variables, self.of_batch(variables, key, batch), keep)


class Codec(NamedTuple):
    """An autoencoder as two functions, of variables already.

    Attributes:
      encode: `(key, x [B, ...]) -> z [B, *shape]`.
      decode: `z [B, *shape] -> x [B, ...]`.
      shape: of one latent; None where it follows from that of x.
      moments: `x -> [B, ...]`, all that `encode` asks of the network, so that it can be kept:
        `encode(key, x)` is `draw(key, moments(x))`.
      draw: `(key, moments) -> z`; without a key the most likely one. None, as `moments`, of an encoder whose
        answers cannot be kept.
    """

    encode: Callable[..., jax.Array]
    decode: Callable[..., jax.Array]
    shape: tuple[int, ...] | None
    moments: Callable[..., jax.Array] | None = None
    draw: Callable[..., jax.Array] | None = None


def nothing_to_prepare(folder: str | Path | None, source: Any = None) -> tuple[dict[str, Any], Any]:
    """Return what the `prepare` of a system does that stands on no files: nothing is frozen."""
    del folder
    return {}, source


class System(NamedTuple):
    """A method of the literature as pure functions. What is None cannot be asked of it.

    Attributes:
      example: one row of a batch, `{name: jax.ShapeDtypeStruct((1, ...))}`.
      init: `(key, batch, frozen) -> (params, extra)`, each by name. The batch is the first one of the run
        (data-dependent initialisations look at it), or `example` where only shapes matter. Traced: what comes
        from files is in `frozen`, an argument, and never a constant of a compiled program.
      updates: made in order, in every step; each sees what those before it left. Empty for a pipeline.
      serves: names of params and extra that sampling reads: what the moving average follows, and what a
        stage's copy holds.
      frozen: shapes of what `prepare` returns, from configs and headers alone.
      prepare: `(folder | None, source | None) -> (frozen, source)`: on the host before `init`, idempotent;
        copies stages into the run's folder, tokenizes captions, measures scales.
      request: Conditioning.
      passes: what `sample` runs, in order.
      gives: what the last pass makes: "images", "points" or "embeddings".
      measures: `{name: (variables, key, batch) -> {name: [B, ...]}}`, what evaluators may ask about the rows
        of a batch; they reduce. "bits_per_dim" among the names is a code length, and the measure's own name
        says which: "bound". What it was measured with may stand in its attribute `how`, a dict.
      denoiser: `(variables, key=None) -> Denoiser` in model space; with a key in training mode.
      space: shape of one x_t of its denoiser, classifier or encoder, where that is not `example["x"]`.
      schedule: `variables -> schedule`.
      codec: `variables -> Codec`, of a system in latents.
      flow_map: `(variables, key=None) -> FlowMap`.
      log_prob: `variables -> (x_t, level, label) -> [B]`, of a classifier.
      features: `variables -> {name: function}`, of an encoder.
      stages: `{name: Stage}`, the trained systems it stands on, see `systems.stages`.
    """

    example: Mapping[str, Any]
    init: Callable[..., tuple[Mapping[str, Any], Mapping[str, Any]]]
    updates: Sequence[Update]
    serves: Sequence[str]
    frozen: Mapping[str, Any] = {}
    prepare: Callable[..., tuple[Mapping[str, Any], Any]] = nothing_to_prepare
    request: Conditioning = Conditioning()
    passes: Sequence[Pass] = ()
    gives: str | None = None
    measures: Mapping[str, Callable[..., Mapping[str, jax.Array]]] = {}
    denoiser: Callable[..., Any] | None = None
    space: tuple[int, ...] | None = None
    schedule: Callable[..., Any] | None = None
    codec: Callable[..., Codec] | None = None
    flow_map: Callable[..., Any] | None = None
    log_prob: Callable[..., Any] | None = None
    features: Callable[..., Any] | None = None
    stages: Mapping[str, Any] = {}

    def sample(self, variables: Variables, key: jax.Array, request: Request, n: int) -> jax.Array:
        """Run all passes: samples `[n, ...]`.

        Args:
          variables: of the system.
          key: one key, or `[n]` keys, one a sample: sample i depends on its own key alone.
          request: of `self.request`, `[n, ...]`.
          n: number of samples.
        """
        require_passes(self)
        keys, made = per_sample(key, n), {}
        for each in self.passes:
            made[each.name] = each.run(variables, keys, request, made)
        return made[self.passes[-1].name]


def require_passes(system: System) -> None:
    """Raise a ValueError for a system that samples nothing, or has two passes of one name."""
    if not system.passes:
        raise ValueError("this system samples nothing: it has no passes")
    _require_own_names("passes", system.passes)


def require_updates(system: System) -> None:
    """Raise a ValueError for a system that is not trained, or whose updates cannot be told apart."""
    if not system.updates:
        raise ValueError("this system is not trained: it has no updates")
    _require_own_names("updates", system.updates)
    for update in system.updates:
        if update.repeats < 1:
            raise ValueError(f"repeats of update {update.name!r} must be at least 1, got {update.repeats}")


def _require_own_names(what, members):
    names = [each.name for each in members]
    if len(set(names)) < len(names):
        raise ValueError(f"{what} of a system must have names of their own, got {names}")


def from_loss(
    loss: Callable[..., tuple[jax.Array, tuple[Mapping[str, Any], Metrics]]], moves: Sequence[str]
) -> Callable:
    """Turn a scalar loss into the `gradients` of an `Update`.

    Args:
      loss: `(variables, key, batch, step) -> (scalar, (extra, metrics))`.
      moves: names of the params that are differentiated.

    Returns:
      `gradients(variables, key, batch, step)`; the loss's own value is `metrics["loss"]`.
    """

    def gradients(variables, key, batch, step):
        def total(moved):
            return loss(variables._replace(params={**variables.params, **moved}), key, batch, step)

        moved = {name: variables.params[name] for name in moves}
        (value, (extra, metrics)), grads = jax.value_and_grad(total, has_aux=True)(moved)
        return grads, extra, {**metrics, "loss": value}

    return gradients


def served(system: System, variables: Variables) -> dict[str, Any]:
    """Return {name: tree} of what sampling reads, of params and extra."""
    return {name: {**variables.params, **variables.extra}[name] for name in system.serves}


def with_served(variables: Variables, values: Mapping[str, Any]) -> Variables:
    """Return the variables with other values of what is served, each name where it was."""
    own = lambda names: {name: values.get(name, tree) for name, tree in names.items()}
    return variables._replace(params=own(variables.params), extra=own(variables.extra))


def label_of(request: Request) -> np.ndarray | None:
    """Return the classes int [N] that a request asks for, or None; of a pipeline, its first stage's."""
    for part, value in request.items():
        found = label_of(value) if isinstance(value, Mapping) else value if part == "label" else None
        if found is not None:
            return np.asarray(found)
    return None
