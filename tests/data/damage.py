"""Ways to damage a file, as disks, downloads and people do."""

import random
from collections.abc import Iterator


def ways(raw: bytes, others: dict[str, bytes], count: int = 100) -> Iterator[tuple[str, bytes]]:
    """Yield what was done and the damaged content, at least `count` of them and always the same.

    Args:
      raw: the whole file.
      others: files of other formats by name, under whose content the name of this one may come.
      count: number of cuts and flipped bits.
    """
    draw = random.Random(0)
    yield "empty", b""
    yield "zeros", bytes(len(raw))
    yield "text", b"<html>404 not found</html>\n"
    yield "twice", raw + raw
    yield "more at the end", raw + b"\0" * 10
    yield "more at the start", b"\n" + raw
    yield "lines ended as on Windows", raw.replace(b"\n", b"\r\n")
    yield "a block of zeros", raw[: len(raw) // 3] + bytes(len(raw) // 3) + raw[2 * (len(raw) // 3) :]
    yield "halves exchanged", raw[len(raw) // 2 :] + raw[: len(raw) // 2]
    for name, content in others.items():
        yield f"a {name}", content
    cuts = [1, 4, 8, 30, len(raw) - 1, len(raw) - 2, len(raw) - 12, len(raw) - 22, len(raw) // 2]
    for end in cuts + [draw.randrange(len(raw)) for _ in range(count // 4 - len(cuts))]:
        yield f"cut at {end}", raw[: max(end, 0)]
    ends = [*range(24), *range(-24, 0)]
    for place in ends + [draw.randrange(len(raw)) for _ in range(count - count // 4 - len(ends))]:
        place %= len(raw)
        flipped = raw[place] ^ (1 << draw.randrange(8))
        yield f"another bit at {place}", raw[:place] + bytes([flipped]) + raw[place + 1 :]
