"""The report of a study: claims judged seed by seed, tables, and remarks that belong to their results."""

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from diffjax.training import workdir

Results = Mapping[str, Sequence[Mapping[str, float]]]  # arm -> one dict of metrics a seed

_RULE = (
    "The rule: with the same seed all arms have the same initialisation, batches and noise, so differences "
    "are taken seed by seed. *shows*: their mean is beyond twice their standard deviation over the {} seeds, "
    "in the paper's direction; *opposite*: so, the other way; *shows not*: neither."
)


class Claim(NamedTuple):
    """A direction that a paper published: `less` is smaller than `more`.

    Attributes:
      text: the claim.
      paper: the paper's own numbers.
      less, more: (arm, metric) each.
    """

    text: str
    paper: str
    less: tuple[str, str]
    more: tuple[str, str]


def judge(claim: Claim, results: Results) -> dict[str, Any]:
    """Compare the two sides of a claim seed by seed.

    Returns:
      "difference" (mean of more - less) and its "sd" over the seeds; "verdict": "shows" if the difference is
      beyond twice that, "opposite" if it is so the other way, else "shows not".
    """
    less, more = (
        np.array([seed[metric] for seed in results[arm]]) for arm, metric in (claim.less, claim.more)
    )
    difference, sd = float(np.mean(more - less)), float(np.std(more - less, ddof=1))
    verdict = "shows not" if abs(difference) <= 2 * sd else "shows" if difference > 0 else "opposite"
    return {"difference": difference, "sd": sd, "verdict": verdict}


def table(results: Results) -> str:
    """Write mean ± standard deviation over seeds, an arm a row and a metric a column, as Markdown."""
    metrics = list(dict.fromkeys(key for rows in results.values() for key in rows[0]))
    lines = [f"| | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    for arm, rows in results.items():
        cells = [_cell([row[key] for row in rows]) if key in rows[0] else "–" for key in metrics]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims_table(claims: Sequence[Claim], results: Results) -> str:
    """Write each claim, the paper's numbers, both sides here, their difference and the verdict."""
    lines = ["| claim | paper | ours | difference ± sd | verdict |", "|---|---|---|---:|---|"]
    for claim in claims:
        found = judge(claim, results)
        less, more = (_cell([row[key] for row in results[arm]]) for arm, key in (claim.less, claim.more))
        sign = "<" if found["difference"] > 0 else ">"
        difference = f"{found['difference']:.3g} ± {found['sd']:.2g}"
        lines.append(
            f"| {claim.text} | {claim.paper} | {less} {sign} {more} | {difference} | {found['verdict']} |"
        )
    return "\n".join(lines)


def digest(results: Results) -> str:
    """Return a short name of results, which remarks about them give as `REMARKS_OF`."""
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()[:12]


def write(study: ModuleType, found: Mapping[str, Any], folder: Path) -> None:
    """Write results.json of what `study.run` returned, and from that file figure.png and README.md."""
    verdicts = [{**claim._asdict(), **judge(claim, found["results"])} for claim in study.CLAIMS]
    text = json.dumps({**found, "claims": verdicts}, indent=1, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    workdir.write(folder / "results.json", text + "\n")
    found = json.loads((folder / "results.json").read_text())
    study.figure(folder / "figure.png", found["results"])
    workdir.write(folder / "README.md", page(study, found))


def page(study: ModuleType, found: Mapping[str, Any]) -> str:
    """Return README.md of what results.json holds."""
    name, results, count = Path(study.__file__).parent.name, found["results"], len(found["seeds"])
    pages = [f"# {inspect.getdoc(study)}"]
    pages += [f"    python -m experiments.{name}.run --out=runs/{name} --report=experiments/{name}"]
    if study.CLAIMS:
        pages += ["## Claims", claims_table(study.CLAIMS, results), _RULE.format(count)]
    pages += ["## Remarks", _remarks(study, results), "## Results"]
    spread = f"Mean ± standard deviation over {count} seeds" if count > 1 else "One seed"
    minutes = found.get("minutes")
    pages += [f"{spread}." if minutes is None else f"{spread}; about {minutes:.0f} minutes of one core."]
    pages += [table(results), "![figure](figure.png)", getattr(study, "CAPTION", "").strip()]
    return "\n\n".join(filter(None, pages)) + "\n"


def _remarks(study, results):
    own, of = digest(results), getattr(study, "REMARKS_OF", None)
    if of == own:
        return study.REMARKS.strip()
    written = f"for other results, {of}" if of else "without a word for which results"
    return f"Left out: they were written {written}, and these are {own} (`REMARKS_OF`)."


def _cell(values):
    mean = np.mean(values)
    shown = f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.3g}"
    spread = np.std(values, ddof=1) if np.ptp(values) else 0.0
    return shown if len(values) == 1 else f"{shown} ± {spread:.2g}"
