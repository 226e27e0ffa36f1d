"""The same work in PyTorch diffusers, as its example of unconditional training and its pipeline do it."""

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, DiTTransformer2DModel, UNet2DModel
from diffusers.training_utils import EMAModel

from benchmarks.networks import (
    BATCH,
    CHAIN,
    CLIP_NORM,
    DDIM_STEPS,
    EMA_DECAY,
    FORWARDS,
    LEARNING_RATE,
    THREADS,
    TRAIN_STEPS,
    Transformer,
    dit_arguments,
)

VARIANTS = {
    "default": (torch.contiguous_format, False),
    "channels_last": (torch.channels_last, False),
    "compiled": (torch.channels_last, True),
}


def unet(network):
    """Return diffusers' U-Net of this shape."""
    plain = len(network.widths) - 1
    return UNet2DModel(
        sample_size=network.size,
        in_channels=network.channels,
        out_channels=network.channels,
        block_out_channels=network.widths,
        layers_per_block=network.blocks,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        attention_head_dim=None,  # one head
        norm_num_groups=network.groups,
    )


def dit(network):
    """Return diffusers' DiT of this shape."""
    return DiTTransformer2DModel(**dit_arguments(network))


def train(network, variant):
    """Return a function that makes training steps, and the number of them; see `benchmarks.ours.train`."""
    model, call = _prepared(network, variant)
    scheduler = DDPMScheduler(CHAIN)
    adamw = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    average = EMAModel(model.parameters(), decay=EMA_DECAY, foreach=True)
    shape = (BATCH, network.channels, network.size, network.size)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def step():
        x0 = torch.from_numpy(x).to(memory_format=VARIANTS[variant][0])
        eps = torch.randn_like(x0)
        t = torch.randint(0, CHAIN, (BATCH,))
        loss = torch.nn.functional.mse_loss(call(scheduler.add_noise(x0, eps, t), t), eps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        average.step(model.parameters())

    def run():
        for _ in range(TRAIN_STEPS):
            step()

    return run, TRAIN_STEPS


def forward(network, variant):
    """Return a function that calls the network without gradients, and the number of calls."""
    model, call = _prepared(network, variant)
    model.eval()
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, network.channels, network.size, network.size, generator=draw)
    x, t = x.to(memory_format=VARIANTS[variant][0]), torch.randint(0, CHAIN, (BATCH,), generator=draw)

    def run():
        with torch.inference_mode():
            for _ in range(FORWARDS):
                call(x, t)

    return run, FORWARDS


def sample(network, variant):
    """Return a function that draws a batch of images, and the number of batches."""
    model, _ = _prepared(network, variant)
    pipeline = DDIMPipeline(model.eval(), DDIMScheduler(CHAIN))
    pipeline.set_progress_bar_config(disable=True)
    return lambda: pipeline(BATCH, num_inference_steps=DDIM_STEPS, output_type="np").images, 1


def versions():
    """Return the libraries and their versions."""
    return {"torch": torch.__version__, "diffusers": diffusers.__version__}


def _prepared(network, variant):
    """Return the network, and (x, t) -> its output."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    layout, compiled = VARIANTS[variant]
    transformer = isinstance(network, Transformer)
    model = (dit(network) if transformer else unet(network)).to(memory_format=layout)
    model = torch.compile(model) if compiled else model
    told = {"class_labels": torch.zeros(BATCH, dtype=torch.long)} if transformer else {}
    return model, lambda x, t: model(x, t, **told).sample
