"""Files of a run's folder, cut, emptied, with another bit or gone, when the run goes on; and of its data."""

import functools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from chaos import children, config, judging
from chaos.judging import Bench, Fault
from PIL import Image


def cut(path: Path, draw: random.Random) -> None:
    """Leave the beginning of a file."""
    raw = path.read_bytes()
    path.write_bytes(raw[: draw.randrange(len(raw))] if raw else raw)


def empty(path: Path, draw: random.Random) -> None:
    """Leave an empty file."""
    del draw
    path.write_bytes(b"")


def flip(path: Path, draw: random.Random) -> None:
    """Change one bit."""
    raw = bytearray(path.read_bytes())
    if raw:
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)


def gone(path: Path, draw: random.Random) -> None:
    """Delete a file."""
    del draw
    path.unlink()


WAYS = {"cut": cut, "emptied": empty, "a bit flipped": flip, "missing": gone}


def of_a_run(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """A file of a run that was killed while it wrote its last checkpoint."""

    @functools.cache
    def killed():
        """Return a run that died before its last checkpoint had its name: 20 and 30 are whole."""
        folder = bench.place / "killed"
        children.run(judging.train(folder), children.at_rename(folder / "checkpoints" / str(config.STEPS)))
        return folder

    def run(folder, file, way, seed):
        shutil.copytree(killed(), folder, dirs_exist_ok=True)
        file = folder / file
        kept = file.read_bytes()
        WAYS[way](file, random.Random(seed))
        harmed = "checkpoints/30/" in str(file)
        least = config.EVERY * (2 if harmed else 3)
        mend = functools.partial(_put_back, file, kept)
        return bench.judged(folder, least=least, mend=mend, log=file.name != "metrics.jsonl")

    whole = [path for path in killed().rglob("*") if path.is_file() and path.stat().st_size]
    files = sorted(str(path.relative_to(killed())) for path in whole)
    outer = [file for file in files if not file.startswith("checkpoints")]
    inner = [file for file in files if file.startswith("checkpoints")]
    chosen = [*outer, *draw.choices(inner, k=max(0, count // len(WAYS) - len(outer)))]
    for file in chosen:
        for way in WAYS:
            seed = draw.randrange(2**31)
            work = functools.partial(run, file=file, way=way, seed=seed)
            yield Fault(f"a file of the run {way}", f"{file}, {seed}", work)


def _put_back(file, kept):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(kept)


def in_a_row(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """Several faults in one run: kills, full disks and damage of the checkpoint that it would go on from."""

    def run(folder, ways):
        ended = []
        for way in ways:
            latest = folder / "checkpoints" / str(judging.latest(folder))
            files = sorted(path for path in latest.glob("*/**/*") if path.is_file() and path.stat().st_size)
            whole = [each for each in latest.parent.glob("[0-9]*") if each.name.isdigit()]
            others = len(whole) > 1 and not judging.sound(folder)
            if way in WAYS and others:  # there is one to fall back on
                WAYS[way](draw.choice(files), draw)
            else:
                befalls = children.full_disk if way == "full" else children.at_change
                ended.append(children.run(judging.train(folder), befalls(draw.randrange(130, 230), folder)))
        found = bench.judged(folder, *ended)
        early = [each.status for each in ended if each.status == 0]
        return found._replace(about=f"{found.about} {len(early)} were not hit") if early else found

    ways = [("kill", "a bit flipped", "full", "missing")[i % 4] for i in range(count)]
    yield Fault("faults in a row, in one run", f"{count} of them", functools.partial(run, ways=ways))


def of_the_data(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """A picture that cannot be read, found before a run, while it goes on, or when it goes on."""
    data = bench.place / "pictures"
    if not data.exists():
        data.mkdir()
        for i in range(24):
            pixels = np.random.default_rng(i).integers(256, size=(4, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(data / f"{i:02}.png")
    files = sorted(data.glob("*.png"))

    def run(folder, file, way, seed, moment):
        kind, kept = f"pictures,{data}", file.read_bytes()
        bench.whole(kind)
        before = []
        if moment != "before the start":
            child = children.Child(judging.train(folder, kind))
            for _ in children.waits(child, lambda: judging.latest(folder) >= config.EVERY):
                if moment == "when it goes on":
                    child.kill()
                    child.wait()
                WAYS[way](file, random.Random(seed))
            before = [] if moment == "when it goes on" else [child.wait()]
        else:
            WAYS[way](file, random.Random(seed))
        try:
            least = judging.latest(folder)
            mend = functools.partial(_put_back, file, kept)
            return bench.judged(folder, *before, kind=kind, least=least, mend=mend)
        finally:
            file.write_bytes(kept)

    moments = ("before the start", "while it runs", "when it goes on")
    for i in range(count):
        file, way, moment = draw.choice(files), list(WAYS)[i % len(WAYS)], moments[i % 3]
        if way == "missing" and moment == moments[0]:  # that is another data set
            moment = moments[1]
        seed = draw.randrange(2**31)
        work = functools.partial(run, file=file, way=way, seed=seed, moment=moment)
        yield Fault("a picture of the data broken", f"{file.name} {way} {moment}, {seed}", work)
