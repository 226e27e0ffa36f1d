"""unCLIP's priors: of a text, the embedding of a picture that a CLIP would see (Ramesh et al. 2022).

    config.clip = {"workdir": "runs/clip"}  # or {"pretrained": folder}, see `systems.published_clip`
    config.conditions = {
        "text": {"encoder": "text_model", "length": 16, "to": "tokens"},
        "said": {"encoder": "clip_text", "clip": {"workdir": "runs/clip"}},
    }
    config.objective = {"kind": "x0", "condition_dropout": 0.1}
    config.sampler.tries = 2

What is modelled is an embedding z of unit norm, times sqrt(d), so that its entries are about 1. The diffusion
prior predicts z itself; of several samples the one whose embedding is nearest to the text's own, the part
"said", is taken. The autoregressive prior (`objective.components`) writes z's principal components one after
another, each one of `objective.bins` steps, the largest first: components and steps are measured on the
training set and kept in the run.

Without `config.clip` the data are embeddings themselves, of any shape, made beforehand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import archives, checks, files, models
from diffjax.keys import fold_each
from diffjax.models.prior import CodePrior
from diffjax.process.level import unit_of_each
from diffjax.systems import ddpm, read, seen
from diffjax.systems.options import call, number, require, section
from diffjax.systems.requests import Requests, nothing
from diffjax.training import workdir
from diffjax.training.system import Pass, System, Update, from_loss
from diffjax.types import Array

NEEDED = ("data", "model", "objective", "sampler", "conditions")
SECTIONS = (*NEEDED, "schedule", "clip")
IDENTITY = ("data", "schedule", "model", "conditions", "clip")
SAID = "said"  # the part that is the text's embedding
SEEN = "clip_seen"  # the array of a batch that is modelled
_TEXT = "text"  # the part that a user says
_BASIS, _KEPT = "basis", "components.npz"  # of the autoregressive prior


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`."""
    require(config, *NEEDED)
    encoder, of_data = None, read.shape(config)
    if config.get("clip") is not None:
        encoder = seen.Encoder(section(config, "clip"), folder, "config.clip")
        encoder.require(of_data)
    shape = of_data if encoder is None else (encoder.width,)
    own = ConfigDict({**config.to_dict(), "data": {**config.data.to_dict(), "shape": shape}})
    if "components" in config.objective:
        system = _of_codes(own, folder, shape)
    else:
        require(config, "schedule")
        tries = checks.count("sampler.tries", config.sampler.get("tries", 1))
        own.sampler = {key: each for key, each in own.sampler.items() if key != "tries"}
        if "kind" not in own.objective:
            own.objective.kind = "x0"
        system = best_of(ddpm.from_config(own, folder), shape, tries)
    return asked_once(_of_pictures(system, encoder, shape, of_data), config.conditions)


def root(shape: tuple[int, ...]) -> float:
    """Return sqrt(d): embeddings of unit norm times it have entries of about 1."""
    return float(np.sqrt(np.prod(shape)))


def best_of(inner: System, shape: tuple[int, ...], tries: int) -> System:
    """Return a system of embeddings that samples several and gives the one nearest to what is said.

    Args:
      inner: of embeddings times `root`, with one pass.
      shape: of an embedding.
      tries: samples of which one is taken, two in the paper.

    Raises:
      ValueError: for several tries of a system that is not asked with "said", of the embedding's size.
    """
    (walk,), part, scale = inner.passes, inner.request.parts.get(SAID), root(shape)
    if tries > 1 and (part is None or np.prod(part.shape) != np.prod(shape)):
        raise ValueError(
            f"sampler.tries={tries} needs conditions.{SAID}, embeddings of texts of shape {tuple(shape)}"
        )

    def run(v, keys, asked, made):
        if tries == 1:
            return walk.run(v, keys, asked, made) / scale
        found = jnp.stack([walk.run(v, fold_each(keys, i), asked, made) / scale for i in range(tries)])
        said = asked[SAID].reshape(len(keys), -1)
        unit = unit_of_each(found.reshape(tries * len(keys), -1)).reshape(tries, len(keys), -1)
        best = jnp.einsum("tnd,nd->tn", unit, said).argmax(axis=0)
        return found[best, jnp.arange(len(keys))]

    def of_user(given, n):
        if tries > 1 and given and SAID not in given:
            raise ValueError(f"{SAID} must be given: sampler.tries={tries} takes the nearest to it")
        return inner.request.of_user(given, n)

    calls = {name: tries * count for name, count in walk.calls.items()}
    return inner._replace(
        passes=(walk._replace(run=run, calls=calls),),
        gives="embeddings",
        request=inner.request._replace(of_user=of_user),
    )


def _of_pictures(inner: System, encoder, shape, of_data) -> System:
    """Return a system of what a CLIP sees in the pictures of a batch, or of the batch's own embeddings."""
    scale = root(shape)

    def seen_in(batch):
        x = batch["x"] if encoder is None else batch[SEEN]
        return scale * unit_of_each(x.reshape(len(x), -1)).reshape(-1, *shape)

    def lifted(update):
        def gradients(v, key, batch, step):
            return update.gradients(v, key, {**batch, "x": seen_in(batch)}, step)

        return update._replace(gradients=gradients)

    def prepare(folder, source=None):
        if encoder is not None:
            encoder.keep(folder)
        if source is not None and encoder is not None:
            source = source.add(**{SEEN: seen.of_source(encoder, folder, source, "image")})
        return inner.prepare(folder, source)

    def embeddings(v, key, batch):
        """One sample a row beside what is said, so that retrieval says how often it finds its text."""
        asked = inner.request.of_batch(v, key, batch)
        x = inner.sample(v, key, asked, len(batch["x"]))
        flat = lambda each: unit_of_each(each.reshape(len(each), -1))
        told = {f"asked/{SAID}": asked[SAID]}
        return {"image": flat(x), "text": flat(asked[SAID]), **told}

    example = {**inner.example, "x": jax.ShapeDtypeStruct((1, *of_data), jnp.float32)}
    if encoder is not None:
        example[SEEN] = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return inner._replace(
        example=example,
        prepare=prepare,
        updates=tuple(map(lifted, inner.updates)),
        measures={"embeddings": embeddings} if SAID in inner.request.parts else {},
        features=lambda v: {"text": lambda request: request[SAID]},
        space=shape,
    )


def asked_once(system: System, conditions: Mapping[str, Any] | ConfigDict) -> System:
    """Return a system whose parts that a CLIP reads, too, are made of the one text that a user gives."""
    own = system.request
    read_too = [name for name, part in conditions.items() if part.encoder == seen.clip_text.__name__]
    if _TEXT not in own.parts or not read_too:
        return system

    def of_user(given, n):
        for name in read_too:
            if name in given:
                raise ValueError(f"{name} is made of {_TEXT}, which is what to give; got {name!r}")
        more = {name: given[_TEXT] for name in read_too if _TEXT in given}
        return own.of_user({**given, **more}, n)

    parts = {name: part for name, part in own.parts.items() if name not in read_too}
    return system._replace(request=own._replace(of_user=of_user, parts=parts))


def _of_codes(config: ConfigDict, folder, shape) -> System:
    """Build the autoregressive prior of a config."""
    options = section(config, "objective", *read.DROPS)
    sampler = section(config, "sampler")
    for name in sampler:
        if name != "guidance_weight":
            raise ValueError(f"config.sampler.{name} is not for codes, which are drawn one after another")
    weight = number("sampler.guidance_weight", sampler.get("guidance_weight", 0.0))
    components = checks.count("objective.components", options.pop("components"))
    bins = checks.count("objective.bins", options.pop("bins", 64))
    if options:
        raise ValueError(f"config.objective.{next(iter(options))} is not an option of codes")
    if components > np.prod(shape):
        raise ValueError(f"objective.components must be at most {int(np.prod(shape))}, got {components}")
    own = section(config, "model", "name")
    if models.NETWORKS.get(config.model.name) is not models.Prior:
        raise ValueError(f"model.name must be that of a prior's transformer, got {config.model.name!r}")
    module = call("model", CodePrior, own, codes=components, bins=bins)
    return of_codes(module, shape, read.request(config, module, folder), weight)


def of_codes(module: CodePrior, shape: tuple[int, ...], requests: Requests, weight: float = 0.0) -> System:
    """Make the system of the autoregressive prior, of embeddings times `root`.

    Args:
      module: of K codes.
      shape: of an embedding.
      requests: what it is asked.
      weight: w of classifier-free guidance of the logits, l(text) + w (l(text) - l(none)).

    Returns:
      A System whose frozen "basis" is {"mean" [d], "axes" [K, d], "low" [K], "step" [K]}, of the data that
      `prepare` is given: code k is the step of axes[k] (z - mean) above low[k].
    """
    request, size, count = requests.conditioning, int(np.prod(shape)), module.codes
    if weight and not requests.has_null:
        raise ValueError("sampler.guidance_weight needs texts that training hides (a drop)")
    floats = lambda *dims: jax.ShapeDtypeStruct(dims, jnp.float32)
    abstract = {"mean": floats(size), "axes": floats(count, size), "low": floats(count)}
    abstract["step"] = floats(count)

    def init(key, batch, frozen):
        del batch, frozen
        width = module.token_features
        tokens = None if width is None else jnp.zeros((1, 1, width))
        zeros = jnp.zeros((1, count), jnp.int32)
        made = module.init(key, zeros, models.Condition(jnp.zeros((1, module.vector_features)), tokens))
        return {"network": made["params"], **requests.init(key)}, {}

    def logits(v, codes, cond):
        return cast(Array, module.apply({"params": v.params["network"]}, codes, cond))

    def total(v, key, batch, step):
        del step
        of_request, of_drop = jax.random.split(key)
        z = batch["x"].reshape(len(batch["x"]), -1) / root(shape)
        codes = to_codes(v.frozen[_BASIS], z, module.bins)
        cond = request.told(v, of_request, batch, request.kept(of_drop, len(z)))
        log_p = jax.nn.log_softmax(logits(v, codes, cond))
        return -jnp.take_along_axis(log_p, codes[..., None], axis=-1).mean(), (v.extra, {})

    def draw(v, keys, asked, made):
        del made
        n, cond = len(keys), request.encode(v, asked)
        null = nothing(request, v, asked, n) if weight else None

        def one(codes, k):
            found = logits(v, codes, cond)[:, k]
            found = found + weight * (found - logits(v, codes, null)[:, k]) if weight else found
            code = jax.vmap(jax.random.categorical)(fold_each(keys, k), found)
            return codes.at[:, k].set(code), None

        codes, _ = jax.lax.scan(one, jnp.zeros((n, count), jnp.int32), jnp.arange(count))
        return of_steps(v.frozen[_BASIS], codes).reshape(n, *shape)

    def prepare(folder, source=None):
        frozen = {_BASIS: _kept(folder, source, shape, count, module.bins)}
        return frozen, requests.prepare(folder, source)

    learned = ("network", *requests.learned())
    return System(
        example={"x": floats(1, *shape), **requests.example},
        init=init,
        updates=(Update("network", learned, from_loss(total, learned)),),
        serves=learned,
        frozen={_BASIS: abstract},
        prepare=prepare,
        request=request,
        passes=(Pass("walk", draw, {"network": count * (2 if weight else 1)}),),
        gives="embeddings",
    )


def basis_of(z: np.ndarray, components: int, bins: int) -> dict[str, np.ndarray]:
    """Return the principal components of embeddings z [N, d], and the steps of each between its ends.

    Reference: Ramesh et al. 2022, section 2.2: axes by falling variance, each in steps of one size.
    """
    z = np.asarray(z, np.float64)
    mean = z.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(z.T))
    axes = axes.T[::-1][:components]
    at = (z - mean) @ axes.T
    step = np.maximum((at.max(axis=0) - at.min(axis=0)) / bins, 1e-9)
    made = {"mean": mean, "axes": axes, "low": at.min(axis=0), "step": step}
    return {name: each.astype(np.float32) for name, each in made.items()}


def to_codes(basis: Mapping[str, Any], z: jax.Array, bins: int) -> jax.Array:
    """Return the codes [B, K] of embeddings z [B, d]; what is beyond the ends is in the last steps."""
    at = (z - basis["mean"]) @ basis["axes"].T
    return jnp.clip(jnp.floor((at - basis["low"]) / basis["step"]), 0, bins - 1).astype(jnp.int32)


def of_steps(basis: Mapping[str, Any], codes: jax.Array) -> jax.Array:
    """Return embeddings [B, d] in the middle of the steps of codes [B, K]."""
    at = basis["low"] + (codes + 0.5) * basis["step"]
    return basis["mean"] + at @ basis["axes"]


def _kept(folder, source, shape, components, bins):
    """Return the basis, measured where a run has none yet and kept there."""
    place = None if folder is None else Path(folder) / workdir.PREPARED / _KEPT
    if place is None or not place.is_file():
        if source is None:
            raise ValueError("the components of embeddings are measured by training, and there are none yet")
        x = source.arrays.get(SEEN, source.x)
        z = np.asarray(x[np.arange(len(source))], np.float32).reshape(len(source), -1)
        made = basis_of(z / np.linalg.norm(z, axis=1, keepdims=True), components, bins)
        if place is None:
            return made
        with workdir.first_process(place.with_suffix("")) as first:
            if first and not place.is_file():
                with files.whole(place) as file:
                    np.savez(file, mean=made["mean"], axes=made["axes"], low=made["low"], step=made["step"])
    return archives.read(place, ("mean", "axes", "low", "step"))
