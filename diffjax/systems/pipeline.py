"""A pipeline: a system without updates, made of trained ones whose passes run one after another."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from diffjax.keys import fold_each
from diffjax.systems.stages import Stage
from diffjax.training.system import Conditioning, Pass, System

HandOn = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
_HANDS = 1000  # folded into a sample's keys for what is handed on, beside the stages' own numbers


def pipeline(stages: Mapping[str, Stage], hand_on: Mapping[str, HandOn]) -> System:
    """Make the system.

    Args:
      stages: in order; the last one gives the samples.
      hand_on: {stage: (keys [n], made, request) -> request}: what a stage is asked, of its own request and of
        {"<stage>/<pass>": x} that was made before it. Noise that it adds comes of the sample's own key.

    Returns:
      A System whose frozen variables are {stage: Variables} and whose request is {stage: request}, made by
      each stage's own tokenizer of ONE raw input. A pass is "<stage>/<pass>", and keeps its own batch size;
      what a stage prepares of data (tokens) is "<stage>/<array>".

    Raises:
      ValueError: without stages, or if one of them samples nothing or is handed to and not there.
    """
    if not stages:
        raise ValueError("a pipeline needs at least one stage")
    for name, each in stages.items():
        if not each.system.passes:
            raise ValueError(f"stage {name!r} of a pipeline samples nothing")
    for name in hand_on:
        if name not in stages:
            raise ValueError(f"hand_on must name stages, {', '.join(stages)}; got {name!r}")
    last = list(stages.values())[-1].system
    return made_of(
        stages,
        example=last.example,
        request=requests(stages),
        passes=tuple(
            _lifted(i, name, each, own, hand_on.get(name))
            for i, (name, each) in enumerate(stages.items())
            for own in each.system.passes
        ),
        gives=last.gives,
    )


def made_of(stages: Mapping[str, Stage], **fields: Any) -> System:
    """Make a system that learns nothing of trained ones: its frozen variables are {stage: Variables}.

    Args:
      stages: read where they are.
      **fields: of the System, beside those that say so.
    """
    return System(
        init=lambda key, batch, frozen: ({}, {}),
        updates=(),
        serves=(),
        frozen={name: each.shapes() for name, each in stages.items()},
        prepare=prepare(stages),
        stages=stages,
        **fields,
    )


def prepare(stages: Mapping[str, Stage]) -> Callable:
    """Return the `System.prepare` of a system made of trained ones: frozen is {stage: Variables}.

    They are read where they are: only what a trained run stands on is copied. What a stage prepares of data
    is "<stage>/<array>".
    """
    read = cache(lambda name: stages[name].read(None))

    def prepared(folder, source=None):
        del folder
        frozen = {name: read(name) for name in stages}
        if source is None:
            return frozen, None
        given = source
        for name, each in stages.items():
            own = each.system.prepare(None, given)[1].arrays
            source = source.add(**{f"{name}/{key}": own[key] for key in own if key not in given.arrays})
        return frozen, source

    return prepared


def _lifted(i: int, name: str, stage: Stage, own: Pass, hand_on: HandOn | None) -> Pass:
    def run(variables, keys, asked, made):
        before = of_stage(name, made)
        mine = asked.get(name, {})
        if hand_on is not None:
            mine = hand_on(fold_each(keys, _HANDS + i), made, mine)
        return own.run(variables.frozen[name], fold_each(keys, i), mine, before)

    calls = {f"{name}/{network}": count for network, count in own.calls.items()}
    return own._replace(name=f"{name}/{own.name}", run=run, calls=calls)


def of_stage(name: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to one stage of {"<stage>/<name>": value}."""
    return {key.removeprefix(f"{name}/"): each for key, each in named.items() if key.startswith(f"{name}/")}


def requests(stages: Mapping[str, Stage]) -> Conditioning:
    """Return the conditioning whose request is {stage: request}, of the stages that take one."""
    own = {name: each.system.request for name, each in stages.items()}

    def of_user(given, n):
        known = {part for each in own.values() for part in each.parts}
        for part in given:
            if part not in known:
                raise ValueError(
                    f"this pipeline takes {', '.join(sorted(known)) or 'no request'}; got {part!r}"
                )
        return {
            name: each.of_user(mine, n) if mine else each.default(n)
            for name, each in own.items()
            for mine in [{part: given[part] for part in given if part in each.parts}]
        }

    def of_batch(variables, key, batch):
        return {
            name: each.of_batch(variables.frozen[name], key, {**batch, **of_stage(name, batch)})
            for name, each in own.items()
        }

    def describe(request):
        said = [each.describe(request[name]) for name, each in own.items()]
        return next((each for each in said if each is not None), None)

    return Conditioning(
        parts={part: each for conditioning in own.values() for part, each in conditioning.parts.items()},
        of_batch=of_batch,
        of_user=of_user,
        default=lambda n: {name: each.default(n) for name, each in own.items()},
        describe=describe,
    )
