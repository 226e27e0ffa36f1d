"""A small convolutional classifier whose features tell images apart."""

import flax.linen as nn

from diffjax.border import checked
from diffjax.types import Array, Float


class ConvClassifier(nn.Module):
    """Classify small grey or colour images.

    Convolutions and poolings alternate until at most 4 x 4 places are left; one hidden layer follows.

    Attributes:
      num_classes: number of classes.
      features: units of the hidden layer.
      channels: of the first convolutions; twice as many after the first pooling.
      dropout: rate on the features, in training.
    """

    num_classes: int
    features: int = 64
    channels: int = 32
    dropout: float = 0.25

    @nn.compact
    @checked
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        """Apply the network.

        Args:
          x: images [B, H, W, C] in [-1, 1], H and W at least 8.
          train: drop features; needs rngs={"dropout": key}.

        Returns:
          Logits [B, num_classes] and features [B, features], 0 or more.

        Raises:
          ValueError: for another shape.
        """
        if min(x.shape[1:3]) < 8:
            raise ValueError(f"x: must be images of at least 8 x 8; got shape {list(x.shape)}")
        x = nn.relu(nn.Conv(self.channels, (3, 3), name="conv_in")(x))
        level = 0
        while max(x.shape[1:3]) > 4:
            x = nn.relu(nn.Conv(self.channels * min(2, level + 1), (3, 3), name=f"conv_{level}")(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")
            level += 1
        x = nn.relu(nn.Conv(2 * self.channels, (3, 3), name="conv_out")(x))
        x = nn.LayerNorm(name="norm")(x.reshape(len(x), -1))  # without it a third of the features die
        features = nn.relu(nn.Dense(self.features, name="hidden")(x))
        dropped = nn.Dropout(self.dropout, deterministic=not train)(features)
        return nn.Dense(self.num_classes, name="logits")(dropped), features
