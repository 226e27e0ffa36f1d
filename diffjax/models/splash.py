"""Attention by JAX's splash kernels for TPUs: blocks of keys in turn, and never a whole matrix of weights.

The kernels want lengths in blocks of 128: sequences are padded, and what was added is hidden as masked keys
are. The compiler cannot split them over devices: each device is told which rows and heads are its own.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

_LANES, _BLOCK = 128, 512  # what lengths are padded to, and the most of a sequence that is held at once
ROWS, HEADS = ("data", "fsdp"), ("tensor",)  # axes of the mesh that split them, see `training.sharding`


def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mix values by how well their keys answer each query: `softmax(q k^T / sqrt(width)) v`.

    On TPUs this is a kernel in each direction; elsewhere they are interpreted, which is right and slow. There
    is no forward mode, and no second derivative.

    Args:
      q: queries [B, N, heads, width].
      k, v: keys and values [B, M, heads, width]; 0 where the mask hides them.
      mask: which keys are there, [B, M]; None for all.

    Returns:
      [B, N, heads, width].

    Reference: Dao et al. 2022, algorithm 1; Dao 2023, section 3.1.
    """
    mesh = jax.sharding.get_abstract_mesh()
    free = {name for name, kind in zip(mesh.axis_names, mesh.axis_types) if kind == AxisType.Auto}
    run = _whole_sequences
    if free:
        rows, heads = (_split(mesh, free, *pair) for pair in ((ROWS, q.shape[0]), (HEADS, q.shape[2])))
        places = P(rows, None, heads)
        run = jax.shard_map(
            run, mesh=mesh, in_specs=(places, places, places, P(rows)), out_specs=places, check_vma=False
        )
    return run(q, k, v, mask)


def _split(mesh, free, axes, size):
    """Return those of the axes that split an array's dimension, or None if they do not divide it."""
    axes = tuple(axis for axis in axes if axis in free)
    return None if size % math.prod(mesh.shape[axis] for axis in axes) else axes


def _whole_sequences(q, k, v, mask):
    """Attend on one device."""
    n, m, width = q.shape[1], k.shape[1], q.shape[-1]
    if mask is None and m % _LANES:
        mask = jnp.ones((len(k), m), bool)
    q, k, v = (_padded(h).swapaxes(1, 2) for h in (q / math.sqrt(width), k, v))
    there = None if mask is None else _padded(mask).astype(jnp.int32)
    by = lambda interpret: partial(_kernels, interpret=interpret)
    out = jax.lax.platform_dependent(q, k, v, there, tpu=by(False), default=by(True))
    return out.swapaxes(1, 2)[:, :n]


def _padded(h):
    return jnp.pad(h, ((0, 0), (0, -h.shape[1] % _LANES), *[(0, 0)] * (h.ndim - 2)))


def _kernels(q, k, v, there, interpret) -> Any:
    # Pallas takes a second to import, and few want it.
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    (_, heads, n, _), m = q.shape, k.shape[2]
    rows, keys = math.gcd(n, _BLOCK), math.gcd(m, _BLOCK)
    run = splash.make_splash_mha(
        masks.MultiHeadMask([masks.FullMask((n, m))] * heads),
        block_sizes=splash.BlockSizes(rows, keys, keys, rows, keys, keys, rows, keys),
        head_shards=1, q_seq_shards=1, interpret=interpret,
    )  # fmt: skip
    if there is None:
        return jax.vmap(run)(q, k, v)
    # A query sees the keys of its own segment, 1. Where there are none, all weigh the same, and they are 0.
    return jax.vmap(run)(q, k, v, splash.SegmentIds(jnp.ones((len(q), n), jnp.int32), there))
