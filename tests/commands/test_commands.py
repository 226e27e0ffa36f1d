"""The commands as a person runs them, in processes of their own."""

import json
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import forked
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from diffjax import commands, sample, systems, train
from diffjax.commands import previews
from diffjax.data import Source
from diffjax.training import Pass, System, Variables, checkpoints

ROOT = pathlib.Path(__file__).parents[2]
TOY = ["--config=configs/toys/ddpm.py"] + [
    f"--config.{override}"
    for override in (
        "training.num_steps=120", "training.checkpoint_every=20", "training.log_every=10",
        "training.sample_every=0", "training.batch_size=64", "model.width=16", "data.num_examples=500",
        "sampler.steps=10", "optimizer.warmup_steps=10",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An uninterrupted run of the toy config."""
    workdir = tmp_path_factory.mktemp("runs") / "toy"
    argv = [sys.executable, "-m", "diffjax.train", *TOY, f"--workdir={workdir}"]
    done = subprocess.run(argv, cwd=ROOT, env=forked.ENVIRONMENT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return workdir


def test_the_run_folder_explains_itself(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(10, 121, 10))
    assert rows[-1]["loss"] < rows[0]["loss"]
    config = json.loads((trained / "config.json").read_text())
    assert config["model"]["width"] == 16 and config["data"]["name"] == "ring8"
    readme = (trained / "README.md").read_text()
    assert "ring of eight Gaussians" in readme and f"diffjax.sample --workdir={trained}" in readme
    assert {"environment.json", "loss.png", "checkpoints"} <= {path.name for path in trained.iterdir()}


@pytest.mark.slow  # the same promise as of the loop, test_loop, and of a system, test_everything
def test_a_killed_run_ends_with_the_same_bits(trained, tmp_path):
    workdir = tmp_path / "killed"
    wait = random.Random()
    for _ in range(2):
        process = forked.Command("train", *TOY, f"--workdir={workdir}")
        checkpoint = checkpoints.latest_step(workdir) or 0
        while process.poll() is None and (checkpoints.latest_step(workdir) or 0) == checkpoint:
            time.sleep(0.01)  # there is something to lose
        time.sleep(wait.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    code, _, err = forked.run("train", *TOY, f"--workdir={workdir}")
    assert code == 0, err
    for ema in (False, True):
        ours, whole = (checkpoints.restore_params(folder, ema=ema) for folder in (workdir, trained))
        jax.tree.map(np.testing.assert_array_equal, ours, whole)


def test_samples_do_not_depend_on_the_batch(trained, tmp_path):
    arrays = []
    for i, batch in enumerate((7, 20)):
        out = tmp_path / str(i)
        sampler = "--num=20", f"--batch_size={batch}", "--solver=ddim", "--steps=5", "--option=eta=0.5"
        code, _, err = forked.run("sample", f"--workdir={trained}", f"--out={out}", *sampler)
        assert code == 0, err
        assert (out / "samples.png").stat().st_size > 0
        arrays.append(np.load(out / "samples.npz")["points"])
    assert arrays[0].shape == (20, 2) and np.isfinite(arrays[0]).all()
    np.testing.assert_allclose(*arrays, rtol=1e-5, atol=1e-6)


def test_images_with_labels_from_a_picture_that_is_edited(tmp_path):
    overrides = (
        "training.num_steps=2", "training.batch_size=16", "training.sample_every=2", "training.log_every=1",
        "model={'name': 'mlp', 'width': 8, 'depth': 1, 'num_classes': 11}", "sampler.steps=3",
        "optimizer.warmup_steps=1",
    )  # fmt: skip
    code, _, err = forked.run("train", "--config=configs/digits/ddpm.py", f"--workdir={tmp_path}",
                       *(f"--config.{each}" for each in overrides))  # fmt: skip
    assert code == 0, err
    assert (tmp_path / "samples" / "step_0000002.png").exists()
    picture, mask = np.arange(64, dtype=np.uint8).reshape(8, 8), np.eye(8, dtype=bool)
    for name, pixels in (("picture", picture), ("mask", mask)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    code, out, err = forked.run(
        "sample", f"--workdir={tmp_path}", "--num=5", "--label=3", "--guidance_weight=0.5", "--seed=0",
        f"--init_image={tmp_path / 'picture.png'}", f"--mask={tmp_path / 'mask.png'}", "--strength=0.7",
    )  # fmt: skip
    assert code == 0, err
    assert "samples.npz" in out
    samples = np.load(tmp_path / "samples.npz")
    assert samples["images"].shape == (5, 8, 8, 1) and samples["images"].dtype == np.uint8
    np.testing.assert_array_equal(samples["labels"], [3] * 5)
    # what a mask keeps of a file is in the samples
    np.testing.assert_array_equal(samples["images"][..., 0][:, mask], [picture[mask]] * 5)


MISTAKES = [
    (["train", "--workdir=w", "--config=configs/toys/ddpm.py", "--config.training.num_step=5"],
     "config has no key 'training.num_step'; did you mean 'training.num_steps'"),
    (["train", "--workdir=w", "--config=configs/toys/dddpm.py"], "which does not exist"),
    (["train", "--config=configs/toys/ddpm.py"], "give --config=configs/<dataset>/<system>.py and"),
    (["train", "--workdir=w", "--config=configs/toys/ddpm.py:ring9"], "did you mean \"ring8\""),
    (["train", "--workdir=w", "--config=configs/toys/ddpm.py", "--config.training.batch_size=99999"],
     "batch_size must be in 1..20000"),
    (["train", "--workdir=w", "--config=configs/toys/ddpm.py", "--config.training.num_steps=abc"], "abc"),
    (["train", "--workdir=w", "--config=configs/digits/flow.py", "--config.objective.times=uniform"],
     "config.objective.times must be a dict, e.g. \"{'name': 'uniform'}\"; got 'uniform'"),
    (["sample", "--workdir=nowhere"], "no such workdir: nowhere"),
    (["sample", "--workdir=configs"], "has no config.json"),
    (["sample"], "give --workdir"),
]  # fmt: skip


def test_a_mistake_is_one_line_and_status_2():
    for argv, message in MISTAKES:
        code, _, err = forked.run(*argv)
        assert code == 2 and message in err, err
        assert "Traceback" not in err and len(err.strip().splitlines()[-1]) < 400
        assert not (ROOT / "w").exists()


def test_what_a_config_leaves_at_none_is_set_on_the_command_line(tmp_path):
    lines = (
        "from configs.toys import ddpm", "def get_config():", "    config = ddpm.get_config()",
        "    config.training.update({'sample_every': None})", "    return config",
    )  # fmt: skip
    (tmp_path / "mine.py").write_text("\n".join(lines))
    own = f"--config={tmp_path / 'mine.py'}"
    code, _, err = forked.run("train", own, "--workdir=w", "--config.training.sample_every=-1")
    assert code == 2 and "training.sample_every must be an integer in 0..2147483647, got -1" in err


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "training.mesh",
            {"dta": 1},
            r"training\.mesh\.dta is not an option of make_mesh; did you mean 'data'",
        ),
        ("training.log_every", "often", r"training\.log_every must be an integer of at least 1, got 'often'"),
        ("training.batch_size", float("nan"), r"training\.batch_size must be an integer of at least 1"),
        ("training.keep", 0, r"training\.keep must be an integer of at least 1, got 0"),
        ("training.sample_every", -1, r"training\.sample_every must be an integer in 0\.\.\d+, got -1"),
        ("training.seed", 1.5, r"training\.seed must be an integer in 0\.\.\d+, got 1\.5"),
        ("training.seed", None, r"config\.training\.seed is missing"),
        ("training.ema", {"decay": 0.9}, r"config\.training\.ema\.name is missing"),
        ("training", None, r"config\.training is missing"),
        ("training", "short", r"config\.training must be a section, a dict; got 'short'"),
        ("sampler", None, r"config\.sampler is missing"),
        ("schedule.num_steps", 300, r"sampler: times must start near the noisy end t_max = 300"),
        ("evaluation.num_samples", -5, r"evaluation\.num_samples must be an integer of at least 10, got -5"),
        ("evaluation.num_sample", 10, r"evaluation has no key 'num_sample'; did you mean 'num_samples'"),
    ],
)
def test_a_config_is_refused_before_training(tmp_path, field, value, message):
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config().to_dict()
    section, _, key = field.partition(".")
    config[section] = config[section] | {key: value} if key else value
    with pytest.raises(ValueError, match=message):
        train.train(ConfigDict(config), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_chain_that_ends_in_data_is_trained_and_not_sampled(tmp_path):
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config()
    config.schedule.num_steps, config.training.sample_every = 300, 0
    made = train._Run(config, tmp_path, systems.load_data(config, "train"))
    train._trace(made, previews.drawn(made.system, made.config.training))
    init = partial(made.system.init, jax.random.key(0))
    variables = Variables(*jax.eval_shape(init, made.system.example, {}))
    with pytest.raises(ValueError, match="sampler: times must start near the noisy end t_max = 300"):
        jax.eval_shape(lambda v: made.system.sample(v, jax.random.key(0), {}, 4), variables)


def test_training_without_jit_is_refused_by_name(tmp_path):
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config()
    with jax.disable_jit(), pytest.raises(ValueError, match="JAX_DISABLE_JIT must be off: training"):
        train.train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_options_of_a_sampler_are_read_as_python():
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config()
    texts = {
        "a=False": False, "b=true": True, "c=-1,1": (-1, 1), "d=0.5": 0.5, "e=inf": float("inf"),
        "f=ald": "ald", "g=None": None, "h=3": 3,
    }  # fmt: skip
    found = sample.with_sampler(config, "ddim", texts).sampler
    assert [found[text[0]] for text in texts] == list(texts.values())
    ebm = commands.config_module(ROOT / "configs/toys/ebm.py").get_config()
    with pytest.raises(ValueError, match=r"system 'ebm' has none \(sampler\.solver\); got 'heun'"):
        sample.with_sampler(ebm, "heun")


def test_samples_that_are_not_finite_are_told(tmp_path, capsys):
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config()
    flat = lambda v, keys, asked, made: v.params["network"] * jnp.ones((len(keys), 2))
    system = System({}, None, (), (), passes=(Pass("walk", flat, {"network": 1}),), gives="points")
    points = Source(np.zeros((9, 2), np.float32), None, None, "points")
    made = SimpleNamespace(system=system, source=points, config=config)
    draw = previews.drawn(made.system, made.config.training)
    on_sample = previews.report(made.system, made.source, draw, tmp_path)
    on_sample(1, Variables({"network": jnp.float32(np.nan)}))
    assert "warning: 4000 of 4000 values in" in capsys.readouterr().err


def test_commands_of_a_run_s_readme_can_be_pasted_into_a_shell():
    system = SimpleNamespace(passes=("walk",))
    for told in train._next_commands("/home/me/my runs/it's", system).values():
        assert "--workdir=/home/me/my runs/it's" in shlex.split(told)


def test_a_mistaken_sampler_is_named(trained):
    mistakes = [
        ("--solver=dimm", "sampler.solver must be one of"),
        ("--label=3", "label must be left out"),
        ("--ask=label", "ask must be part=value"),
        ("--option=eta", "option must be name=value"),
        ("--checkpoint=7", "no checkpoint of step=7"),
        ("--solver=euler", "a discrete chain has none"),
    ]
    for arg, message in mistakes:
        code, _, err = forked.run("sample", f"--workdir={trained}", arg)
        assert code == 2 and message in err and "Traceback" not in err, (arg, err)


def test_the_core_needs_no_training_stack():
    forbidden = (
        "flax",
        "optax",
        "orbax",
        "tensorflow_datasets",
        "grain",
        "ml_collections",
        "matplotlib",
        "sklearn",
    )
    code = f"import sys, diffjax; assert not (set({forbidden!r}) & set(sys.modules)), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=forked.ENVIRONMENT)
