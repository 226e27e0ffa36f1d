"""The report of an evaluation as Markdown: pure functions of its result."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffjax.evaluation.evaluator import Row
from diffjax.evaluation.evaluators import EVALUATORS, OF_DATA

HELD_OUT = "held-out real"
_COUNT = Row("count", "number", "{:,}")
_SPEED = (
    Row("samples_per_second", "samples a second", "{:.1f}"),
    Row("network_calls", "network calls a sample (NFE)", "{:,}"),
    Row("calls_per_second", "network calls a second, of one image each", "{:,.0f}"),
)
ROWS = (_COUNT, *(row for each in EVALUATORS.values() for row in each.rows), *_SPEED)


def pages(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pages of `evaluation.md`.

    Args:
      name: of the run.
      result: what `evaluation.json` holds, see `diffjax.evaluate`.
    """
    yield f"# Evaluation of {name}"
    yield _made(result)
    if result["samples"]:
        columns = {HELD_OUT: result["real"]} | {title_of(each): each for each in result["samples"]}
        yield table(columns).rstrip()
    if result["left_out"]:
        yield f"Left out (–): {'; '.join(result['left_out'])}."
    if result["conventions"]:
        yield f"Features: {result['conventions']}"
    if result["samples"]:
        yield "Times are of sampling alone, without compilation."
    yield from (f"![{title_of(each)}]({each['picture']})" for each in result["samples"] if each["picture"])
    if "sweep" in result:
        yield f"## Quality against steps, {title_of(result['samples'][0])}"
        yield table({_way(each): each for each in result["sweep"]}).rstrip()
        yield "![quality against steps](evaluation/sweep.png)"
        yield (
            "Each point is one number of steps, at the network calls that it costs; dotted is the floor, as "
            "near as real examples are. Bars are two standard errors."
        )
    for each in OF_DATA.values():
        yield from each.pages(result)


def _made(result):
    made = "" if result["step"] is None else f"The moving average after {result['step']:,} steps. "
    sampler = ", ".join(f"{key} {value}" for key, value in result["sampler"].items())
    made += f"Sampler: {sampler}. " if sampler else ""
    return f"{made}Device: {result['device']}."


def _way(swept: Mapping[str, Any]) -> str:
    return f"teacher, {swept['teacher']}" if "teacher" in swept else in_steps(swept["steps"])


def in_steps(n: int) -> str:
    """Say how many steps."""
    return f"{n} step" if n == 1 else f"{n} steps"


def title_of(measured: Mapping[str, Any]) -> str:
    """Say which samples these are: the title of an arm, or the guidance weight."""
    if "arm" in measured:
        return measured["arm"]
    weight = measured["guidance_weight"]
    return f"guidance weight {weight:g}" if weight else "unguided"


def table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Write results as a Markdown table: a row a metric, a column a set.

    Args:
      columns: title -> {metric: number}; keys that are no metric are left out.

    Returns:
      The table; a metric that no set has is left out, one that some set lacks is a dash there.
    """
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for key, title, form in ROWS:
        if any(key in results for results in columns.values()):
            cells = [_cell(results.get(key), form) for results in columns.values()]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value, form):
    if value is None:
        return "–"
    return " ".join(form.format(v) for v in value) if isinstance(value, Sequence) else form.format(value)
