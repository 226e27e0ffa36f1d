"""DDPM-IP on MNIST: DDPM trained on perturbed inputs.

Ning et al. 2023, algorithm 1, with their gamma = 0.1. All else is that of `configs/mnist/ddpm.py`.

    python -m diffjax.train --config=configs/mnist/ddpm_ip.py --workdir=runs/mnist_ddpm_ip --cpu_devices=2
    python -m diffjax.evaluate --workdir=runs/mnist_ddpm_ip

Not run at this length yet; `experiments/ddpm_ip` has what input perturbation does on digits.
"""

from ml_collections import ConfigDict


def get_config(path="mnist.npz"):
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict({"name": "npz", "path": path, "shape": (28, 28, 1), "num_classes": 10})
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 1000})
    config.model = ConfigDict(
        {
            "name": "unet",
            "model_channels": 16,
            "channel_mult": (1, 2, 4),
            "num_res_blocks": 1,
            "attention_resolutions": (4,),
            "num_heads": 2,
            "num_classes": 11,  # ten digits and the null label
            "num_groups": 8,
            "use_scale_shift_norm": True,
        }
    )
    config.objective = ConfigDict(
        {"kind": "v", "weighting": "none", "input_perturbation": 0.1, "label_dropout": 0.1}
    )
    config.sampler = ConfigDict(
        {"solver": "ddim", "steps": 50, "grid": "uniform", "threshold": "static", "guidance_weight": 0.0}
    )
    config.optimizer = ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 200, "clip_norm": 1.0}
    )
    config.training = ConfigDict(
        {
            "num_steps": 7000,
            "batch_size": 64,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 500,
            "sample_every": 1000,
            "keep": 2,
            "ema": ConfigDict({"name": "warmed_up", "decay": 0.999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 5000, "batch_size": 250, "sweep_steps": (5, 10, 50)})
    return config
