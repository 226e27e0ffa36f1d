"""How commands begin and end: flags, a config's overrides, and errors a person can read."""

import ast
import contextlib
import importlib.util
import io
import itertools
import logging as standard_logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from diffjax import configs
from diffjax.files import one_line
from diffjax.systems.options import nearest


def define_run_flags() -> None:
    """Define the flags of the commands on runs: `--config` and `--workdir`."""
    define_config_flag()
    flags.DEFINE_string("workdir", None, "Folder of the run.")


def define_config_flag() -> None:
    """Define `--config`, with overrides of its keys."""
    config_flags.DEFINE_config_file("config", None, "File with get_config(), optionally file.py:argument.")


def run(main: Callable[[list[str]], None]) -> None:
    """Run a command: parse flags, call `main`, and end with status 2 on a user's mistake.

    A ValueError or OSError, a missing package, a flag that cannot be parsed, or a key that a config lacks,
    becomes one line on stderr; `--verbosity=1` shows the traceback too. So does the end of another process of
    the same run, with status 1. Ctrl-C ends it with status 130, and a reader that goes away (`| head`) with
    141, as a shell has it, and without a word.

    Args:
      main: takes the arguments that are no flags; the program's name is the first and only one.
    """

    def checked(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # orbax and tfds tell of every file
            # What orbax cannot write it logs with tracebacks, from threads; it raises it, too.
            logging.get_absl_logger().addFilter(lambda record: "/orbax/" not in record.pathname)
            # And what its tasks raised that nobody asked for, asyncio tells when they are deleted.
            standard_logging.getLogger("asyncio").setLevel(standard_logging.CRITICAL)
        if len(argv) > 1:
            raise ValueError(f"unexpected arguments {' '.join(argv[1:])!r}: options look like --name=value")
        main(argv)
        sys.stdout.flush()  # here, where a reader that went away can be told of

    _open_streams()
    try:
        app.run(checked, flags_parser=_parse)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # what is still to be flushed
            os.dup2(nowhere, stream)
        sys.exit(141)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        logging.debug("traceback", exc_info=True)
        told = f"another process of this run is gone: {one_line(error)}"
        print(f"{Path(sys.argv[0]).name}: error: {told}", file=sys.stderr, flush=True)
        os._exit(1)  # JAX would wait at its exit for the one that is gone
    except (ValueError, OSError, ImportError, KeyError, AttributeError) as error:
        if isinstance(error, KeyError | AttributeError):
            if "ml_collections" not in traceback.extract_tb(error.__traceback__)[-1].filename:
                raise  # a bug
            error = _no_field(error)
        logging.debug("traceback", exc_info=True)
        print(f"{Path(sys.argv[0]).name}: error: {one_line(error, None)}", file=sys.stderr, flush=True)
        sys.exit(2)


def _open_streams():
    """Open the standard streams that whoever started this closed, and let none stumble over a letter."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened would get the messages
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def config_module(file: str | Path) -> ModuleType:
    """Load a config file, which `configs.locate` finds.

    Raises:
      ValueError: if it does not exist.
    """
    file = configs.locate(str(file))
    if not Path(file).is_file():
        raise ValueError(
            f"config must be a Python file with get_config(), got {str(file)!r}, which does not exist"
        )
    spec = importlib.util.spec_from_file_location("config_file", file)
    if spec is None or spec.loader is None:
        raise ValueError(f"config must be a Python file with get_config(), got {str(file)!r}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _overrides(argv):
    """Return what overrides say of a config's keys, checked: {key: text}, and the config as its file has it.

    Raises:
      ValueError: for a key that the config lacks, naming the nearest ones, or a section that is no dict.
    """
    words = [word.removeprefix("-") for word in argv if word.startswith("-")]
    overrides = [word[len("-config.") :].partition("=") for word in words if word.startswith("-config.")]
    paths = [word.partition("=")[2] for word in words if word.startswith("-config=")]
    paths += [after for word, after in itertools.pairwise(argv) if word in ("--config", "-config")]
    if not paths:
        return {}, {}
    file, _, argument = paths[-1].partition(":")
    module = config_module(file)
    keys = dict(_dotted(module.get_config(argument) if argument else module.get_config()))
    for override, equals, text in overrides:
        if override not in keys:
            raise ValueError(f"config has no key {override!r}{nearest(override, keys)}")
        if equals and isinstance(keys[override], ConfigDict) and not _is_dict(text):
            raise ValueError(f"config.{override} must be a dict, e.g. \"{{'name': {text!r}}}\"; got {text!r}")
    return {override: text for override, equals, text in overrides if equals}, keys


def _dotted(config, prefix=""):
    for key, value in config.items():
        yield f"{prefix}{key}", value
        if isinstance(value, ConfigDict):
            yield from _dotted(value, f"{prefix}{key}.")


def _is_dict(text):
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError):
        return False


def _located(argv):
    """Return the arguments with the path of the config file, telling of one that is not where it was said."""
    argv = list(argv)
    for i, word in enumerate(argv):
        flag, equals, config = word.partition("=")
        if flag in ("--config", "-config") and (equals or i + 1 < len(argv)):
            given = config if equals else argv[i + 1]
            found = configs.locate(given)
            if found != given:
                print(f"{given} is not here: taking the one that ships, {found}", file=sys.stderr)
            argv[i if equals else i + 1] = f"{flag}={found}" if equals else found
    return argv


def _parse(argv):
    argv = _located(argv)
    overrides, keys = _overrides(argv)
    # config_flags reads a text by the type of the value there is, and None has none
    untyped = {key: text for key, text in overrides.items() if keys[key] is None or text == "None"}
    argv = [
        word for word in argv if word.lstrip("-").partition("=")[0] not in {f"config.{k}" for k in untyped}
    ]
    before, sys.argv = sys.argv, argv  # where config_flags looks for overrides
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise ValueError(error) from error
    except (AttributeError, KeyError) as error:  # what config_flags raises
        raise _no_field(error) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"a value of the config cannot be read: {error}") from error
    finally:
        sys.argv = before
    for key, text in untyped.items():
        _set(flags.FLAGS.config, key, text)
    return rest


def _set(config, key, text):
    *path, last = key.split(".")
    for part in path:
        config = config[part]
    value = text
    with contextlib.suppress(ValueError, SyntaxError):  # what is no literal is a string
        value = ast.literal_eval(text)
    with config.ignore_type():
        config[last] = value


def _no_field(error):
    """Return what a KeyError or AttributeError of a ConfigDict says, as a ValueError."""
    field = error.args[0].args[0] if isinstance(error.args[0], Exception) else error.args[0]
    return ValueError(f"config has no field {field}")
