"""The table of `results.json`, on the screen and between two comment lines of the README."""

import argparse
from statistics import median

BEGIN, END = "<!-- table: python -m benchmarks.run --write -->", "<!-- end of table -->"

_TASKS = {
    "train": ("training step", "ms", 1e3),
    "forward": ("network call", "ms", 1e3),
    "sample": ("{ddim_steps} DDIM steps", "s", 1.0),
}


def table(results):
    """Make the Markdown.

    Args:
      results: what `benchmarks.run.measure` returned.

    Returns:
      Markdown with a line at its end.
    """
    machine, versions = results["machine"], results["versions"]
    parameters = {row["network"]: row["parameters"] for row in results["parity"]}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{results['date']}, {machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} "
        f"before; {told}. {results['threads']} threads each, float32, batch {results['batch']}, medians of "
        f"{results['rounds']} rounds.",
        "",
        *_comparisons(results, parameters),
        "",
        *_parity(results["parity"]),
        "",
        *_walk(results.get("walk", [])),
        *_compiling(results.get("compiling", [])),
        *_peers(results),
        *_loop(results["loop"]),
    ]
    return "\n".join(lines) + "\n"


def write(path, results):
    """Put the table into the README; see `put`, and `benchmarks.run.measure` for the results."""
    put(path, table(results), BEGIN, END)


def put(path, text, begin, end):
    """Replace what stands between two comment lines.

    Args:
      path: a file of Markdown.
      text: Markdown with a line at its end.
      begin, end: the lines.

    Raises:
      ValueError: if the lines are not there, once each.
    """
    whole = path.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise ValueError(f"{path} must have the lines {begin!r} and {end!r} once each")
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{text}{end}{after}")


def command(about, page, begin, end, measure):
    """Read a command line, print the table of a measurement and put it into a page if asked to.

    Args:
      about: what the command says of itself.
      page, begin, end: see `put`.
      measure: number of rounds -> Markdown.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each, default 7")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{page.name}")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    found = measure(options.rounds)
    print(found)
    if options.write:
        put(page, found, begin, end)


def _comparisons(results, parameters):
    variants = {side: list(times) for side, times in results["comparisons"][0]["seconds"].items()}
    names = [f"diffusers, {name}" for name in variants["theirs"]]
    names += [f"diffjax, {name}" for name in variants["ours"]]
    yield f"| task | parameters | {' | '.join(names)} | diffjax / diffusers |"
    yield "|---|---:|" + "---:|" * (len(names) + 1)
    for row in results["comparisons"]:
        name, unit, scale = _TASKS[row["task"]]
        seconds = row["seconds"]
        shown = lambda times, unit=unit, scale=scale: (
            f"{scale * median(times['wall']):.{0 if unit == 'ms' else 2}f} {unit}" if times else ""
        )
        cells = [shown(seconds[side].get(variant)) for side in variants for variant in variants[side]]
        count = parameters[row["network"]]
        ratio = f"**{_ratio(seconds):.2f}**"
        yield f"| {' | '.join([name.format(**results), f'{count:,}', *cells, ratio])} |"


def _ratio(seconds):
    """Return the median over rounds of the best variant of ours over the best of theirs."""
    best = {
        side: min((times["wall"] for times in variants.values()), key=median)
        for side, variants in seconds.items()
    }
    return median(ours / theirs for ours, theirs in zip(best["ours"], best["theirs"], strict=True))


def _parity(parity):
    yield (
        "Same computation: with diffusers' weights the outputs differ by at most "
        f"{max(row['output'] for row in parity):.0e} of their standard deviation, the images after all DDIM "
        f"steps by {max(row.get('images', 0.0) for row in parity):.0e}."
    )


def _walk(walks):
    told = []
    for row in walks:
        ratio = median(walk / calls for walk, calls in zip(row["walk"], row["calls"], strict=True))
        told.append(f"{ratio - 1:+.1%} ({row['network']}, {1e3 * median(row['walk']):.0f} ms)")
    if told:
        yield f"The walk: 50 DDIM steps beside 50 bare calls of the network: {', '.join(told)} of the time."
        yield ""


def _compiling(networks):
    told = [
        f"{row['network']} {row['whole'][0]:.1f} s of wall and {row['whole'][1]:.1f} of processor (tracing "
        f"{row['trace'][0]:.1f}, lowering {row['lower'][0]:.1f}, XLA {row['compile'][0]:.1f} of wall; "
        f"{row['lines']:,} lines of StableHLO)"
        for row in networks
    ]
    if told:
        yield f"Compiling a training step in a fresh process, without a cache: {'; '.join(told)}."
        yield ""


def _peers(results):
    """Tell of libraries in JAX that are given the same network."""
    for peer, name in (("flaxdiff", "FlaxDiff"), ("hackable", "hackable_diffusion")):
        rows = results.get(peer, [])
        for key, work in (("walk", f"{results['ddim_steps']} DDIM steps"), ("train", "training steps")):
            told = []
            for row in (row for row in rows if key in row):
                pairs = zip(row[key]["ours"], row[key]["theirs"], strict=True)
                own = median(row[key]["ours"]) / (row["steps"] if key == "train" else 1)
                ratio = median(ours / theirs for ours, theirs in pairs)
                told.append(f"**{ratio:.2f}** ({row['network']}, {own:.2f} s)")
            if told:
                yield f"Beside {name}'s {work} of the same network, time of the processor: {', '.join(told)}."
                yield ""


def _loop(loop):
    bare = [(before + after) / 2 for before, after in zip(loop["bare"], loop["bare"][1:])]
    segments, steps = len(loop["loop"]), len(loop["loop"]) * loop["segment"]
    overhead = [looped / alone - 1 for looped, alone in zip(loop["loop"], bare, strict=True)]
    end_bare = loop["end_steps"] * sum(bare) / steps
    yield (
        f"The loop: {steps} steps of the digits config in `training.fit` took "
        f"**{sum(loop['loop']) / sum(bare) - 1:+.1%}** longer than the same compiled steps alone "
        f"({1e3 * sum(bare) / steps:.1f} ms each; median of {segments} segments of {loop['segment']} steps "
        f"{median(overhead):+.1%}), a row of the log every {loop['log_every']} and a checkpoint every "
        f"{loop['checkpoint_every']} steps included. The last checkpoint and the loss curve add "
        f"{loop['end'] - end_bare:.1f} s once."
    )
