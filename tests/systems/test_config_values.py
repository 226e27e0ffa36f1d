"""Wrong values in configs, counted: each is one line that names its field, before anything begins."""

from pathlib import Path

import pytest
from ml_collections import ConfigDict
from systems import tools

from diffjax import systems, train
from diffjax.commands import entry, phases
from diffjax.files import one_line

NAN = float("nan")
FINE = [("model.frequencies", [1, 2])]  # a list of octaves
NEGATIVE = {"log_snr_max", "log_snr_min", "mean", "guidance_weight"}  # may be below 0


def _leaves(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _wrong(path, value):
    """Return values that a field, of which a good one is given, cannot have."""
    if isinstance(value, bool):
        return ["text", NAN, 2, [True]]
    if isinstance(value, int | float):
        below = [] if path.rpartition(".")[2] in NEGATIVE else [-1.5]
        wrong = [NAN, "text", [1, 2], *below, {"a": 1}, -float("inf"), 1j]
        return [each for each in wrong if (path, each) not in FINE]
    if isinstance(value, str):
        return ["nosuch", 3, "", NAN, ["nosuch"], {"a": 1}]
    return [NAN, "text", [NAN], {"a": 1}, [["text"]]] if isinstance(value, list | tuple) else []


def _set(config, path, value):
    changed = config.copy_and_resolve_references()
    *sections, name = path.split(".")
    with changed.ignore_type(), changed.unlocked():
        section = changed
        for each in sections:
            section = section[each]
        section[name] = value
    return changed


def _each():
    """Yield (config, path, value) of every field of the toys' configs, each field once."""
    seen = set()
    for file in sorted(Path(__file__).parents[2].glob("configs/toys/*.py")):
        if file.stem in ("__init__", "common"):
            continue
        config = entry.config_module(file).get_config()
        if "teacher" in config:
            config.teacher.workdir = str(tools.teacher("num_classes" in config.data))
        for path, value in _leaves(config):
            if path not in seen:
                seen.add(path)
                yield from ((file.stem, config, path, wrong) for wrong in _wrong(path, value))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Return {(path, value): what was said, None if nothing, or the name of another error}."""
    folder, told = tmp_path_factory.mktemp("none") / "run", {}
    for name, config, path, wrong in _each():
        changed = _set(config, path, wrong)
        if "num_examples" in changed.data and path not in ("data.num_examples", "training.best_metric"):
            changed.data.num_examples = 40
        try:
            phases.of(changed, folder)
            train._check(changed)
            run = train._Run(changed, folder, systems.load_data(changed, "train"))
            run.system.prepare(None, run.source)
            if path == "training.best_metric":  # what a step measures is known when it is traced
                train._trace(run, None)
            told[name, path, repr(wrong)] = None
        except ValueError as error:
            told[name, path, repr(wrong)] = one_line(error, None)  # as the commands say it
        except Exception as error:
            told[name, path, repr(wrong)] = f"{type(error).__name__}\n"
    assert not folder.exists()
    return told


def test_every_wrong_value_is_one_line_that_names_its_field(refused):
    def named(path, said):
        *section, name = path.split(".")
        names = {name, section[-1]} if name == "name" else {name}  # an entry of a table: by its section, too
        return (
            said is not None and "\n" not in said and len(said) < 400 and any(each in said for each in names)
        )

    assert len(refused) > 400
    assert {key: said for key, said in refused.items() if not named(key[1], said)} == {}
