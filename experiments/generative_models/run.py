"""Generative models (GAN, VAE, flow, energy, diffusion: one bench)

Each model of `configs/` learns the ring of eight Gaussians of unequal weights, scikit-learn's 8x8 digits and,
where modes are many, the grid of twenty-five equal ones with about the same number of parameters of what
samples (34,000 for points, 200,000 for digits; a GAN's discriminator has as many again) and in the same time,
which numbers of steps were chosen for: about 8 seconds of one core for points, 12 for digits, without
compilation. All networks are dense, but for the flow of digits, whose couplings are convolutions. Nobody asks
for classes. Of points 5,400 are sampled, of digits 1,437.

"distance" is the sliced Wasserstein distance to the mixture, for digits the Fréchet distance to the training
images in the features of a small classifier; "floors" the same over that of as many fresh points, or of
halves of the training digits, which as many perfect digits are at half of. "TV" is how far the shares of
modes or classes are off (total variation) and "modes" how many come a tenth as often as they should at least;
"precision" and "coverage" are those of Kynkäänniemi et al. 2019 and Naeem et al. 2020; "nll" says how
unlikely points are under the true density, nats less the entropy. "bits" are -log2 p of held-out examples a
dimension, for points less that of the true density, so that 0 is the truth: exact of the flow, the energy (by
quadrature) and flow matching (by its ODE), a bound of VAEs (64 draws, importance-weighted) and of DDPM's
chain (at points with a Gaussian last step); of digits, which have 17 of the 256 grey values counted, noise in
the bins makes those of flow (its own) and of ODE (uniform) bounds, too. GAN, NCSN and MeanFlow have none; an
energy's of digits would need its Z. "calls" are network calls a sample, of an energy those of its gradient;
"samples/s" are of one core, "MiB" what the compiled program needs beside its parameters for a batch of 1,800
points or 479 digits.
"""

import sys

from experiments import drawing, study
from experiments.generative_models import pictures, points

_POINTS = {"ring": "ring8", "grid": "grid25"}
DATA = "data"
PLACES = {
    **{place: points.arms(name) for place, name in _POINTS.items()},
    "digits": pictures.arms(),
}
ARMS = {
    f"{place}: {model}": config
    for place, models in PLACES.items()
    for model, config in (*models.items(), (DATA, None))
}


_BITS = {"flow": points.EXACT, "flow matching": points.EXACT, "VAE": points.BOUND}
_CLAIMS = (  # text, what is claimed to have less, what to have more, of which metric
    ("a GAN loses modes that a diffusion covers", "DDPM", "GAN", "TV"),
    ("so it does without R1", "DDPM", "GAN without R1", "TV"),
    ("and with Adam's own b1", "DDPM", "GAN, b1 0.9, without R1", "TV"),
    ("R1 keeps a GAN's modes", "GAN", "GAN without R1", "TV"),
    ("R1 keeps them with Adam's own b1", "GAN, b1 0.9", "GAN, b1 0.9, without R1", "TV"),
    ("a GAN samples faster than a diffusion", "DDPM", "GAN", "samples/s"),
    ("so does a VAE", "DDPM", "VAE", "samples/s"),
    ("a VAE is blurred, less precise than a diffusion", "VAE", "DDPM", "precision"),
    ("more levels of latents are sharper", "VAE", "hierarchical VAE", "precision"),
    ("a flow's density is better than a VAE's bound", "flow", "VAE", "bits"),
    ("so is a diffusion's, by its ODE", "flow matching", "VAE", "bits"),
    ("a flow's density is better than a diffusion's", "flow", "flow matching", "bits"),
    ("a flow is heavy, its samples slower than a VAE's", "flow", "VAE", "samples/s"),
    ("a diffusion comes nearer than a GAN", "DDPM", "GAN", "distance"),
    ("flow matching is nearer in a fifth of DDPM's calls", "flow matching", "DDPM", "distance"),
    ("one call instead of 49 costs distance", "flow matching", "MeanFlow", "distance"),
)
CLAIMS = [
    study.Claim(
        f"{place}: {text}",
        "A26",
        *((f"{place}: {model}", _BITS[model] if metric == "bits" else metric) for model in sides),
    )
    for place, models in PLACES.items()
    for text, *sides, metric in _CLAIMS
    if set(sides) <= set(models)
]
REMARKS = """
- "GAN: one call, modes lost." One call it is: 190,000 samples a second of digits and a million points, 30
  and 350 times as many as DDPM's 50 and 250 calls give. That it loses modes does not show with Adam's first
  moment left out (b1 = 0) and a moving average of the generator, as in `configs/`: on the ring its shares
  are as near as fresh points', and on digits it covers all ten classes and is the nearest of all. With
  Adam's own b1 of 0.9 on the grid it does what is said of it: shares are off by 0.22 with R1 and by 0.74
  without, when 5 to 11 of the 25 modes are left.
- R1 keeps shares where the game is hard: with b1 = 0.9 on the grid, and on digits, where classes' shares
  are off by 0.04 with it and 0.12 without, at the same ten classes. Where the game is easy, on grid and
  ring with b1 = 0, it costs precision and gives no modes.
- "VAE: fast and blurred." The fastest beside the GAN, and points between the modes, 1.3 nats of them on the
  ring, which a second level of latents does not take away. On digits three levels are sharper than one
  (precision 0.64 and 0.56), nearer (3.6 and 5.9 floors) and bound 0.2 bits/dim lower. DDPM is no sharper
  than the VAE after 12 seconds; flow matching and the GAN are.
- "Flow: exact likelihood, heavy." On the ring its density is nearest to the truth, 0.014 bits a dimension
  above it, an eighth of flow matching's. Splines of points are sampled in one pass, 250,000 a second. The
  digits' mixtures of logistics are inverted by bisection, 615 a second, a tenth of what DDPM gives, and 12
  seconds are 125 steps of its convolutions: no samples to speak of, and yet 1.6 bits/dim fewer than flow
  matching's ODE, with a network's noise in the bins where that has uniform noise. The VAE's bound, which
  has no noise to pay for, is 1.5 bits below.
- "Diffusion: slow, covers." On ring and grid DDPM is on the floor, covers, and is the slowest but for the
  energy's 1,000 steps; flow matching is there with a fifth of the calls. DDPM's bound says little of that:
  of points it is 0.8 to 0.9 bits above the truth, probably for the fixed variances of its steps. On digits
  an MLP of 12 seconds is not done: the U-Net of `configs/digits/ddpm.py` is at 0.43 floors after 2.4
  minutes.
- The energy's density is 0.3 bits above the truth, behind the VAE's bound, and samples are farther off than
  that: chains from noise stay in the modes they met first (`configs/toys/ebm.py`). MeanFlow has a third of
  flow matching's steps in the same time and is 3.6 times as far, in one call.
"""
REMARKS_OF = "f3f123aceb41"
CAPTION = """
Above: distance of samples, over that of fresh data, against samples a second of one core; to the right is
faster, below is better, and the dotted line is where data themselves are. Below: precision (crosses: are
samples among the data?) and coverage (circles: is all of the data reached?). Large marks are means, strokes
the three seeds. To look at: what is fast and on the floor; a GAN's circles beside its crosses (lost modes);
a VAE's crosses (points between the modes).
"""


def trained(config, seed, out):
    """Train; networks of convolutions without a loop of many steps, as they are compiled sooner so."""
    return study.train(config, seed, progress=f"seed {seed}", looped=len(config.data.shape) == 1)


def measure(name, config, variables, seed):
    place, _, model = name.partition(": ")
    if place in _POINTS:
        name = _POINTS[place]
        return points.measure(model, config, variables, seed) if config else points.of_data(name, seed)
    return pictures.measure(model, config, variables, seed) if config else pictures.of_data(seed)


_TO_THE_LEFT = (
    "ring: hierarchical VAE",
    "ring: MeanFlow",
    "grid: GAN, b1 0.9, without R1",
    "grid: GAN, b1 0.9",
)


def figure(path, results):
    drawn, axes = drawing.panels(2, len(PLACES), 5.2 * len(PLACES), 9)
    colors = {model: f"C{i}" for i, model in enumerate(PLACES["ring"])}
    for (above, below), (place, models) in zip(axes.T, PLACES.items()):
        names = [f"{place}: {model}" for model in models]
        for name, model in zip(names, models):
            x, y = drawing.values(results, [name], ["samples/s", "floors"])
            color = colors.get(model, "0.4")
            above.plot(x, y, linestyle="none", marker="|", color=color)
            above.plot(x.mean(), y.mean(), linestyle="none", marker="o", color=color)
            side = -1 if name in _TO_THE_LEFT else 1
            where = {
                "xytext": (5 * side, 4),
                "textcoords": "offset points",
                "ha": ("left", "right")[side < 0],
            }
            above.annotate(model, (x.mean(), y.mean()), **where, fontsize=8, color=color)
        real = f"{place}: {DATA}"
        drawing.level(above, drawing.values(results, [real], ["floors"]), "data")
        drawing.log(above, (1e2, 1e3, 1e4, 1e5, 1e6), (0.5, 1, 2, 5, 10, 20, 50))
        above.set(title=place, xlabel="samples a second of one core", xlim=(3e2, 2e7))
        for metric, color, marker in (("coverage", "C0", "o"), ("precision", "C1", "X")):
            drawing.dots(
                below,
                range(len(names) + 1),
                drawing.values(results, [*names, real], [metric]),
                metric,
                color,
                marker,
            )
        drawing.titled_rows([below], [*models, DATA])
        below.set(xlabel="share, 1 is best", xlim=(0, 1.02))
    axes[0, 0].set(ylabel="distance of samples, in floors")
    drawing.save(drawn, path, 3, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])
