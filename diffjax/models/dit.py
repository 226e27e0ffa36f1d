"""The diffusion transformer (DiT) of Peebles & Xie 2023, with text tokens beside the class."""

from functools import partial
from typing import Any, Literal, get_args

import flax.linen as nn
import jax.numpy as jnp

from diffjax import checks
from diffjax.border import checked
from diffjax.models.attention import Attention, FeedForward, Implementation
from diffjax.models.blocks import TimeEmbedding, single
from diffjax.models.conditions import Condition, beside, checked_condition, counts, merge
from diffjax.models.embeddings import sincos_2d
from diffjax.models.recompute import Remat, recomputed
from diffjax.types import Array, ArrayLike, Bool, Float

Conditioning = Literal["adaln_zero", "adaln", "cross_attention", "in_context"]
ADAPTIVE = ("adaln_zero", "adaln")  # whose normalisations the embedding scales and shifts
_TIME_FEATURES = 256  # of the sinusoidal embedding, in every published network
_EPSILON = 1e-6
_STACKED = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
_XAVIER, _ZEROS = nn.initializers.xavier_uniform(), nn.initializers.zeros


class DiT(nn.Module):
    """Predict from images, mostly latent ones: a transformer over patches, told the time and the condition.

    How it is told is its `conditioning`, one of the paper's four:
      "adaln_zero": the embedding of time and vector scales and shifts what each layer sees, and scales what
        it adds. All of these start at zero: a block starts as the identity.
      "adaln": it scales and shifts what each layer sees, and nothing starts at zero but the output.
      "cross_attention": time and vector are two tokens, to which a further layer of each block attends.
      "in_context": they stand behind the patches, and are left out at the end.

    Tokens are projected to the width of the network. With "cross_attention" and "in_context" they follow the
    tokens of time and vector; with the other two there is a layer of cross-attention in each block for them
    (as in Chen et al. 2024, section 2.3), whose output starts at zero with "adaln_zero".

    Parameters of the blocks are stacked, [depth, ...].

    Attributes:
      out_channels: channels of the output; None for those of `x`, `2 * C` for a learned variance.
      patch_size: side of a patch; must divide height and width.
      hidden_size: width, a multiple of 4.
      depth: number of blocks.
      num_heads: attention heads; must divide the width.
      mlp_ratio: width of the MLP's hidden layer over `hidden_size`.
      conditioning: see above.
      token_features: width of the condition's tokens; None for a network that takes none.
      qk_norm: normalise queries and keys, see `Attention`.
      time_scale: multiplies `t` before its embedding; 1 for times 1..T, 1000 for times in [0, 1].
      times: number of times K; a further one changes nothing until it is trained.
      map_channels: channels of the condition's map, which the patches hold last; 0 for none.
      attention: implementation of the attention, see `attention.attend`.
      remat: what of blocks is computed again in the backward pass to save memory, see `recompute.recomputed`.
      dtype: compute dtype of the layers in the blocks; None follows `x`. Parameters are float32; what layers
        add up to, normalisations, the time's embedding and the output are computed in float32.
      time_shift: of the time's frequencies, see `embeddings.timestep_embedding`.
      mlp_epsilon: added to the variance before the MLP.
      own_embeddings: each block has an embedding of the time of its own, and its part of the vector, of
        `depth * hidden_size`; the output has the first block's. For the adaptive forms. With `time_shift=1`
        and `mlp_epsilon=1e-5` that is the network of diffusers.

    Reference: Peebles & Xie 2023, section 3 and figure 3.
    """

    out_channels: int | None = None
    patch_size: int = 2
    hidden_size: int = 384
    depth: int = 12
    num_heads: int = 6
    mlp_ratio: float = 4.0
    conditioning: Conditioning = "adaln_zero"
    token_features: int | None = None
    qk_norm: bool = False
    time_scale: float = 1.0
    times: int = 1
    map_channels: int = 0
    attention: Implementation = "xla"
    remat: Remat = False
    dtype: Any = None
    time_shift: float = 0.0
    mlp_epsilon: float = _EPSILON
    own_embeddings: bool = False

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.depth * self.hidden_size if self.own_embeddings else self.hidden_size

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: ArrayLike,
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch height width out"]:
        """Apply the network.

        Args:
          x: images [B, H, W, C]; H and W divisible by the patch.
          t: times [B], or [B, times].
          cond: vector [B, vector_features], tokens [B, M, token_features] with a mask, map
            [B, H, W, map_channels]; None for nothing.
          train: accepted by every network; this one behaves the same.

        Returns:
          [B, H, W, out_channels], float32 at least. Zero at initialisation.

        Raises:
          ValueError: for shapes, conditions or fields that do not fit.
        """
        del train
        self._check(x)
        x, size, width = single(x), self.patch_size, self.hidden_size
        cond = checked_condition(
            cond, x, vector_features=self.vector_features, map_channels=self.map_channels,
            token_features=self.token_features,
        )  # fmt: skip
        grid = (x.shape[1] // size, x.shape[2] // size)
        patches = patched(beside(x, cond.map), size)
        init = {"kernel_init": _XAVIER, "dtype": self.dtype}
        h = nn.DenseGeneral(width, axis=(-3, -2, -1), name="patches", **init)(patches).astype(x.dtype)
        h = h + jnp.asarray(sincos_2d(width, grid), x.dtype)

        adaptive, places = self.conditioning in ADAPTIVE, h.shape[1]
        emb = self._embedding(t, x, cond.vector if adaptive else None)
        mask, told = None, Condition(mask=cond.mask)
        if cond.tokens is not None:
            tokens = nn.Dense(width, name="tokens", **init)(cond.tokens)
            told = told._replace(tokens=tokens.astype(x.dtype))
        if not adaptive:
            vectors = [each[:, None] for each in (emb, cond.vector) if each is not None]
            told = merge(*(Condition(tokens=each) for each in vectors), told)
        if self.conditioning == "in_context":
            _, h, mask, _ = merge(Condition(tokens=h), told)
            told = Condition()
        h = self._blocks(h, emb, mask, told)[:, :places]

        h = _layer_norm(self.conditioning, name="out_norm")(h)
        if adaptive:
            modulation = Modulation(2, self.conditioning == "adaln_zero", name="out_modulation")
            shift, scale = modulation(emb[0] if self.own_embeddings else emb)
            h = h * (1 + scale) + shift
        features = self.out_channels or x.shape[-1]
        h = nn.Dense(size * size * features, kernel_init=_ZEROS, name="out")(h)
        return unpatched(h.reshape(*h.shape[:2], size, size, features), grid)

    def _check(self, x):
        optional = (name for name in ("token_features", "out_channels") if getattr(self, name) is not None)
        counts(self, "hidden_size", "depth", "num_heads", "patch_size", "times", *optional)
        checks.positive("mlp_ratio", self.mlp_ratio)
        if self.mlp_ratio * self.hidden_size < 1:
            raise ValueError(f"mlp_ratio must give a hidden layer at least one unit, got {self.mlp_ratio!r}")
        for name, allowed in (("conditioning", Conditioning), ("attention", Implementation)):
            if (value := getattr(self, name)) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {value!r}")
        if self.hidden_size % 4:
            raise ValueError(f"hidden_size must be a multiple of 4, got {self.hidden_size}")
        if self.own_embeddings and self.conditioning not in ADAPTIVE:
            raise ValueError(f"own_embeddings must be False with conditioning={self.conditioning!r}")
        size = self.patch_size
        if x.shape[1] % size or x.shape[2] % size:
            raise ValueError(
                f"x: height and width must be divisible by {size}, the patch_size; "
                f"got {x.shape[1]}x{x.shape[2]}"
            )

    def _embedding(self, t, x, vector):
        """Embed times and vector, [B, F]; of each block, [depth, B, F], where they have their own."""
        make = TimeEmbedding
        if self.own_embeddings:
            axes: Any = (None, None, 0)
            make = nn.vmap(make, in_axes=axes, axis_size=self.depth, **_STACKED)
            if vector is not None:
                vector = jnp.moveaxis(vector.reshape(len(x), self.depth, self.hidden_size), 1, 0)
        fields = (self.hidden_size, _TIME_FEATURES, self.time_scale, self.times)
        embed = make(*fields, shift=self.time_shift, name="embed")
        return embed(t, x, vector).astype(x.dtype)

    def _blocks(self, h, emb, mask, told):
        axes: Any = (0 if self.own_embeddings else nn.broadcast, nn.broadcast, nn.broadcast)
        block = recomputed(Block, self.remat, prevent_cse=False)
        blocks = nn.scan(block, in_axes=axes, length=self.depth, **_STACKED)
        run = blocks(
            self.num_heads, int(self.mlp_ratio * self.hidden_size), self.conditioning, self.qk_norm,
            self.attention, self.mlp_epsilon, self.dtype, name="blocks",
        )  # fmt: skip
        return run(h, emb, mask, told)[0]


class Block(nn.Module):
    """Self-attention, cross-attention where there is something to attend to, and the MLP, each added.

    Attributes:
      num_heads, conditioning, qk_norm, attention, mlp_epsilon, dtype: as of `DiT`.
      mlp_features: units of the MLP's hidden layer.

    Reference: Peebles & Xie 2023, figure 3.
    """

    num_heads: int
    mlp_features: int
    conditioning: Conditioning = "adaln_zero"
    qk_norm: bool = False
    attention: Implementation = "xla"
    mlp_epsilon: float = _EPSILON
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        h: Float[Array, "batch length width"],
        emb: Float[Array, "batch features"],
        mask: Bool[Array, "batch length"] | None = None,
        told: Condition = Condition(),  # noqa: B008
    ) -> tuple[Float[Array, "batch length width"], None]:
        """Map h.

        Args:
          h: sequence [B, N, F].
          emb: embedding of time and vector, [B, E]; only the adaptive forms look at it.
          mask: which of h is there, [B, N]; None for all of it.
          told: tokens and mask to attend to.

        Returns:
          (h, None), as `nn.scan` takes it.
        """
        attention = partial(
            Attention, self.num_heads, self.qk_norm, implementation=self.attention, dtype=self.dtype
        )
        zero, norm = self.conditioning == "adaln_zero", partial(_layer_norm, self.conditioning)
        (shift, scale, gate), (mlp_shift, mlp_scale, mlp_gate) = self._rows(emb)
        normal = norm(name="attention_norm")(h) * (1 + scale) + shift
        h = h + gate * attention(name="attention")(normal, mask=mask)
        if told.tokens is not None:
            normal = norm(name="cross_norm")(h)
            h = h + attention(zero=zero, name="cross")(normal, told.tokens, told.mask)
        normal = norm(epsilon=self.mlp_epsilon, name="mlp_norm")(h) * (1 + mlp_scale) + mlp_shift
        h = h + mlp_gate * FeedForward(self.mlp_features, self.dtype, name="mlp")(normal)
        return h, None

    def _rows(self, emb):
        """Return shift, scale and gate of the attention, and of the MLP."""
        if self.conditioning not in ADAPTIVE:
            return (0, 0, 1), (0, 0, 1)
        zero = self.conditioning == "adaln_zero"
        rows = Modulation(6 if zero else 4, zero, name="modulation")(emb)
        return (rows[:3], rows[3:]) if zero else ((*rows[:2], 1), (*rows[2:], 1))


class Modulation(nn.Module):
    """Regress rows that scale and shift a sequence from the embedding.

    Attributes:
      count: number of rows.
      zero: all of them start at zero.
    """

    count: int
    zero: bool

    @nn.compact
    def __call__(self, emb: Float[Array, "batch width"]) -> list[Float[Array, "batch 1 width"]]:
        """Map emb [B, F] to `count` times [B, 1, F]."""
        init = _ZEROS if self.zero else _XAVIER
        rows = nn.Dense(self.count * emb.shape[-1], kernel_init=init, name="rows")(nn.silu(emb))
        return jnp.split(rows[:, None], self.count, axis=-1)


def patched(
    x: Float[Array, "batch height width channels"], size: int
) -> Float[Array, "batch places size size channels"]:
    """Cut images [B, H, W, C] into patches [B, N, size, size, C], rows first."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, -1, size, size, channels)


def unpatched(
    patches: Float[Array, "batch places size size channels"], grid: tuple[int, int]
) -> Float[Array, "batch height width channels"]:
    """Join patches [B, N, size, size, C] of a grid (rows, columns) to images: the inverse of `patched`."""
    batch, _, size, _, channels = patches.shape
    x = patches.reshape(batch, *grid, size, size, channels).swapaxes(2, 3)
    return x.reshape(batch, grid[0] * size, grid[1] * size, channels)


def _layer_norm(conditioning, *, epsilon=_EPSILON, name):
    """Normalise the width; with a scale and a shift of its own, unless they follow from the embedding."""
    own = conditioning not in ADAPTIVE
    return nn.LayerNorm(epsilon, use_bias=own, use_scale=own, use_fast_variance=False, name=name)
