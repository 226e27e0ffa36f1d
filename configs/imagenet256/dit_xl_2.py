"""DiT-XL/2 on latents of ImageNet at 256x256: a transformer of 28 blocks, adaLN-Zero, patches of 2x2.

Peebles & Xie 2023, table 2, rows "DiT-XL/2" and "DiT-XL/2-G".

    python -m diffjax.train --config=configs/imagenet256/dit_xl_2.py --workdir=runs/dit_xl_2
    python -m diffjax.sample --workdir=runs/dit_xl_2 --num=50000

The paper, FID of 50,000 samples of 250 ancestral steps:

    updates      400 thousand     2.35 million     7 million     7 million, guided by the scale 1.5
    DiT-XL/2     19.47            10.67            9.62          2.27

Obtained: not run at full size here; it builds and traces, with 674,834,720 parameters (with the paper's table
of positions, which is not trained, 675,129,632). The authors' settings: betas 1e-4 to 0.02 over 1000 steps,
learned variances, labels dropped for one in ten, AdamW at 1e-4 without decay or warm-up, batches of 256, a
moving average of 0.9999 from the start. Their class table and time embedding start at a standard deviation of
0.02; ours are wider.

The authors guide three of the four channels; here all four are guided. They find scale 1.375 of four
about the same as 1.5 of three (FID 2.23, their pull request 12), and 0.375 is the weight here.

Data: latents that were made beforehand, see `configs/imagenet256/common.py`. What is sampled are latents too;
pixels need the autoencoder's decoder, and so does the paper's FID: `python -m diffjax.evaluate` compares the
latents themselves.
"""

from ml_collections import ConfigDict

from diffjax.configs.imagenet256 import common


def get_config(path: str = common.FILE) -> ConfigDict:
    config = common.config(path, num_steps=7_000_000)
    config.schedule = ConfigDict({"name": "linear_beta", "num_steps": 1000})
    config.model = common.dit(hidden_size=1152, depth=28, num_heads=16, patch_size=2)
    config.objective = ConfigDict(
        {
            "kind": "eps",
            "loss": "hybrid",
            "variance": "learned_range",
            "bound_weight": 0.001,  # of 1000 terms: the bound of a step counts as much as its error
            "label_dropout": 0.1,
        }
    )
    config.sampler = ConfigDict(
        {
            "solver": "ancestral",
            "variance": "learned_range",
            "steps": 250,
            "grid": "uniform",
            "guidance_weight": 0.375,
        }
    )
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-4})
    return config
