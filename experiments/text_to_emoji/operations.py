"""Print the billions of operations of a network call: the latents' network, it on pixels, and that of pixels.

    python -m experiments.text_to_emoji.operations

As XLA counts them for one picture and one token; nothing is run, and no run is needed.
"""

import jax

from diffjax.systems import networks, read
from experiments import study

_CASES = {
    "latents": ("emoji/latent_text.py", (16, 16, 4)),
    "the latents' network on pixels": ("emoji/latent_text.py", (64, 64, 3)),
    "one stage": ("emoji/text_64.py", (64, 64, 3)),
}


def main() -> None:
    """Print a line a case."""
    for name, (file, shape) in _CASES.items():
        config = study.config_of(file)
        config.data.shape = shape
        module = read.network(config)
        inputs = networks.inputs(shape, module)
        variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
        cost = jax.jit(module.apply).lower(variables, *inputs).cost_analysis()
        print(f"{name}: {cost['flops'] / 1e9:.2f}")


if __name__ == "__main__":
    main()
