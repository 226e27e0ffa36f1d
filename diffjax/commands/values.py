"""Values as they are typed on a command line."""

import ast
from typing import Any


def value(text: Any) -> Any:
    """Read a number, or True, False, None or a tuple of them; anything else is text."""
    text = text.capitalize() if text in ("true", "false") else text
    for read in (int, float, ast.literal_eval):
        try:
            return read(text)
        except (TypeError, ValueError, SyntaxError):
            continue
    return text


def checkpoint(text: str | None) -> int | str | None:
    """Read the step of a checkpoint, or "best"; None for the latest.

    Raises:
      ValueError: for anything else.
    """
    if text is None or text == "best":
        return text
    if not text.isdigit():
        raise ValueError(f"checkpoint must be a step or 'best', got {text!r}")
    return int(text)


def arm(text: str) -> dict[str, Any]:
    """Read an arm of an evaluation, "title: key=value; key=value", as `config.evaluation.arms` has it.

    Raises:
      ValueError: for another form.
    """
    title, colon, changes = text.partition(":")
    pairs = [each.partition("=") for each in changes.split(";") if each.strip()]
    if not colon or not title.strip() or not pairs or not all(equals for _, equals, _ in pairs):
        raise ValueError(
            "arm must be 'title: key=value; key=value', e.g. 'w = 1: sampler.guidance_weight=1'; got "
            f"{text!r}"
        )
    return {"title": title.strip()} | {key.strip(): value(given.strip()) for key, _, given in pairs}
