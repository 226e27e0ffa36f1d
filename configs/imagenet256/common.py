"""What the configs of ImageNet at 256x256 share: latents of 32x32x4 that were made beforehand, in one file.

They are samples of the posterior of a Stable Diffusion autoencoder that reduces 256x256 pixels to 32x32
(the paper's), times 0.18215, NHWC: in float32 1.28 million of them are 21 GB, which are held in memory. The
paper crops in the middle and mirrors at random, before encoding: to do so, write both ways round.
"""

from typing import Any

from ml_collections import ConfigDict

FILE = "imagenet256_latents.npz"  # in the working directory: train_latent [N, 32, 32, 4], train_label [N]
FOLDER = "imagenet256"  # in the working directory: train/<class>/*.jpg and test/<class>/*.jpg


def config(path: str, num_steps: int) -> ConfigDict:
    """Return a class-conditional DDPM's config, but for schedule, model, objective, sampler and optimizer."""
    config = ConfigDict()
    config.system = "ddpm"
    config.data = ConfigDict(
        {"name": "npz", "path": path, "images": "{split}_latent", "shape": (32, 32, 4), "num_classes": 1000}
    )
    config.training = ConfigDict(
        {
            "num_steps": num_steps,
            "batch_size": 256,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 50_000,
            "sample_every": 50_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"num_samples": 50_000, "batch_size": 250})
    return config


def dit(hidden_size: int, depth: int, num_heads: int, patch_size: int, **more: Any) -> ConfigDict:
    """Return a DiT of one of the paper's sizes (table 1), with learned variances and a null label."""
    return ConfigDict(
        {
            "name": "dit",
            "out_channels": 8,  # the last four are v of the learned variance
            "hidden_size": hidden_size,
            "depth": depth,
            "num_heads": num_heads,
            "patch_size": patch_size,
            "num_classes": 1001,
            **more,
        }
    )


def pictures(path: str) -> ConfigDict:
    """Return the section `data` of the pictures themselves, in a folder: cropped in the middle, mirrored."""
    return ConfigDict(
        {
            "name": "folder",
            "path": path,
            "labels": True,
            "size": 256,
            "shape": (256, 256, 3),
            "num_classes": 1000,
            "flip": True,
        }
    )


def autoencoder(path: str, model: dict[str, Any], **objective: Any) -> ConfigDict:
    """Return the config of one of latent diffusion's autoencoders, but for what is its own.

    Args:
      path: of the pictures.
      model: the section `model`, but for what all of them have.
      objective: the section `objective`.
    """
    config = ConfigDict()
    config.system = "autoencoder"
    config.data = pictures(path)
    config.model = ConfigDict({"num_res_blocks": 2, "num_groups": 32, **model})
    config.objective = ConfigDict({"perceptual_weight": 1.0, **objective})
    config.perceptual = ConfigDict({"pretrained": "lpips_vgg16_fp16.npz", "architecture": "lpips_vgg16"})
    adam = {"name": "adam", "learning_rate": 5.4e-5, "b1": 0.5, "b2": 0.9}  # 4.5e-6 a picture of the batch
    config.optimizer = ConfigDict({"network": adam, "discriminator": adam})
    config.training = ConfigDict(
        {
            "num_steps": 250_000,
            "batch_size": 12,
            "seed": 0,
            "log_every": 100,
            "checkpoint_every": 10_000,
            "keep": 2,
            "ema": ConfigDict({"name": "constant", "decay": 0.9999}),
        }
    )
    config.evaluation = ConfigDict({"batch_size": 12, "reference": 50_000})
    return config


def published(name: str) -> ConfigDict:
    """Return the section `first_stage` of one of latent diffusion's published autoencoders.

    Args:
      name: "kl_f8" or "vq_f4"; its file is `<name>.safetensors` in the working directory, with the tensors of
        the authors' checkpoint (its `state_dict`).
    """
    kl = name == "kl_f8"
    ddconfig = {
        "double_z": kl,
        "z_channels": 4 if kl else 3,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 128,
        "ch_mult": (1, 2, 4, 4) if kl else (1, 2, 4),
        "num_res_blocks": 2,
        "attn_resolutions": (),
        "dropout": 0.0,
    }
    config = {"ddconfig": ddconfig, "embed_dim": 4 if kl else 3} | ({} if kl else {"n_embed": 8192})
    architecture = "ldm_autoencoder_kl" if kl else "ldm_vqmodel"
    return ConfigDict({"pretrained": f"{name}.safetensors", "architecture": architecture, "config": config})
