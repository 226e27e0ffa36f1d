"""Guided distillation: a network that takes the guidance weight, and one call where guidance takes two.

    config.teacher = {"workdir": "runs/digits_v"}  # trained with a null
    config.objective = {"weights": (0.0, 4.0), "weighting": "truncated_snr"}
    config.sampler = {"solver": "ddim", "steps": 64, "guidance_weight": 1.0}  # what is asked by default

Meng et al. 2023 (arXiv:2210.03142), the first stage. The student is its teacher's system with parameters of
its own, which begin as the teacher's, and an embedding of the weight that begins as nothing. A request has
the part "guidance": `--ask=guidance=0.5,2`. Its steps are halved by progressive distillation, whose teacher
it is: w is drawn there as here. With `sampler.ahead = 2` DDIM is the paper's stochastic sampler.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import flow_maps, guidance, objectives, samplers
from diffjax.models.conditions import merge
from diffjax.models.encoders import NumberVector
from diffjax.objectives.weightings import Weighting
from diffjax.process import forward
from diffjax.systems import read
from diffjax.systems.options import fill, number, require, section
from diffjax.systems.requests import nothing
from diffjax.systems.stages import Stage
from diffjax.systems.students import TEACHER, asked_of, own_of, prepare_of, required_teacher, stateless
from diffjax.training.system import Conditioning, Part, Pass, System, Update, from_loss

SECTIONS = ("data", "teacher", "objective", "sampler")
IDENTITY = ("data", "objective")
GUIDANCE = "guidance"  # the part of a request, and the name of its embedding's parameters


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`."""
    require(config, *SECTIONS)
    read.require_unguided(config, "edit", "measurement")
    teacher = required_teacher(config, folder)
    noise = teacher.system.schedule(None)
    options = section(config, "objective", "times")
    options["weighting"] = read.weighting(options.get("weighting", "truncated_snr"))
    return fill(
        "objective", distill_guidance, options, teacher, read.sampler(config, noise),
        times=stateless(read.times(config, noise)),
    )  # fmt: skip


def distill_guidance(
    teacher: Stage,
    sampler: read.Sampler,
    *,
    times: objectives.TimeSampler,
    weights: Any = (0.0, 4.0),
    weighting: Weighting | None = None,
) -> System:
    """Make the system.

    Args:
      teacher: a system with a denoiser, told its conditions by a vector, that knows a null.
      sampler: `read.Sampler`, whose guidance weight is the default of a request.
      times: `objectives.TimeSampler` without a state.
      weights: (w_min, w_max), between which w is drawn.
      weighting: level -> weight of the error of x_0; None is 1.

    Raises:
      ValueError: for a teacher that cannot be guided, or weights that are no interval.
    """
    base, schedule = teacher.system, teacher.system.schedule(None)
    low, high = _ends(weights)
    number("sampler.guidance_weight", sampler.guidance_weight, low, high)
    module = NumberVector(_vector_features(teacher))
    rows, shape = samplers.plan(schedule, sampler.solver, sampler.times), base.example["x"].shape[1:]

    def init(key, batch, frozen):
        del batch
        own = module.init(key, jnp.zeros(1))["params"]
        return {**frozen[TEACHER].params, GUIDANCE: own}, {}

    of_base = own_of(base, teacher)
    request = _request(asked_of(base.request, of_base), module, (low, high), sampler.guidance_weight)

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n, taught = batch["x"], len(batch["x"]), v.frozen[TEACHER]
        t, draws = times.draw(key_t, (), n)
        level = schedule(t)
        x_t = forward.noised(key_eps, x0, level)
        asked = request.of_batch(v, key_asked, batch)
        keep = base.request.kept(key_drop, n)
        own = {part: asked[part] for part in base.request.parts}
        null = nothing(base.request, taught, own, n)
        guided = guidance.classifier_free(weight=asked[GUIDANCE], null=null)(base.denoiser(taught))
        losses, _ = objectives.guided_distillation(
            denoiser(v, key_network), guided, x_t, level, request.encode(v, asked, keep),
            teacher_cond=base.request.encode(taught, own, keep), weighting=weighting,
        )  # fmt: skip
        return (draws * losses).mean(), (v.extra, {})

    def denoiser(v, key=None):
        return base.denoiser(of_base(v), key)

    def walk(v, keys, asked, made):
        del made
        denoise = guidance.chain(*sampler.cuts)(denoiser(v))
        x = sampler.start(keys, schedule, (len(keys), *shape), asked)
        return samplers.walk(keys, denoise, sampler.solver, rows, x, cond=request.encode(v, asked))

    names = (*base.serves, GUIDANCE)
    return System(
        example=base.example,
        init=init,
        updates=(Update("network", names, from_loss(total, names)),),
        serves=names,
        frozen={TEACHER: teacher.shapes()},
        prepare=prepare_of(base, teacher),
        request=request,
        passes=(Pass("walk", walk, {"network": sampler.calls}),),
        gives=base.gives,
        denoiser=denoiser,
        schedule=lambda v: schedule,
        flow_map=lambda v, key=None: flow_maps.of_denoiser(denoiser(v, key)),
        stages={TEACHER: teacher},
    )


def _request(base: Conditioning, module, ends, default) -> Conditioning:
    """Return what a base system may be asked, and the guidance weight beside it."""
    low, high = ends
    parts = {**base.parts, GUIDANCE: Part(of_rows=False)}
    rest = lambda asked: {part: asked[part] for part in base.parts}

    def of_batch(v, key, batch):
        w = jax.random.uniform(jax.random.fold_in(key, 1), (len(batch["x"]),), minval=low, maxval=high)
        return {**base.of_batch(v, key, batch), GUIDANCE: w}

    def of_user(given, n):
        given = dict(given)
        said = given.pop(GUIDANCE, default)
        said = said if isinstance(said, list | tuple) else [said]
        own = base.of_user(given, n)
        weights = np.asarray([_weight(each, low, high) for each in said], np.float32)
        return {**own, GUIDANCE: np.resize(weights, n)}

    def describe(asked):
        said = base.describe(rest(asked))
        weights = [f"w = {w:g}" for w in np.asarray(asked[GUIDANCE])]
        return weights if said is None else [", ".join(each) for each in zip(said, weights)]

    def encode(v, asked, keep=None):
        own = module.apply({"params": v.params[GUIDANCE]}, asked[GUIDANCE])
        return merge(base.encode(v, rest(asked), keep), own)

    return base._replace(
        parts=parts,
        of_batch=of_batch,
        of_user=of_user,
        default=lambda n: {**base.default(n), GUIDANCE: np.full(n, default, np.float32)},
        encode=encode,
        describe=describe,
        pictures=lambda asked: base.pictures(rest(asked)),
    )


def _weight(given: Any, low: float, high: float) -> float:
    try:
        w = float(given)
    except (TypeError, ValueError):
        w = np.nan
    if not low <= w <= high:
        raise ValueError(f"{GUIDANCE} must be a weight in [{low:g}, {high:g}], got {given}")
    return w


def _ends(weights: Any) -> tuple[float, float]:
    if not isinstance(weights, tuple | list) or len(weights) != 2:
        raise ValueError(f"objective.weights must be (w_min, w_max), got {weights!r}")
    low = number("objective.weights", weights[0])
    return low, number("objective.weights", weights[1], low)


def _vector_features(teacher: Stage) -> int:
    """Return the width of the vector that the teacher is told; ValueError of one that cannot be guided."""
    request = teacher.system.request
    if request.drop is None:
        raise ValueError("config.teacher must know a null, trained with label_dropout, say: it is guided")
    told = jax.eval_shape(request.encode, teacher.shapes(), dict(request.default(1)))
    if told.vector is None:
        raise ValueError("config.teacher must be told its conditions by a vector: the weight is added to it")
    return told.vector.shape[-1]
