"""Disks that are full: at each file that is made, at some bytes of one file, and small disks indeed."""

import ctypes
import functools
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos import children, judging
from chaos.judging import Bench, Fault, Outcome


def at_files(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """No room from the n-th new file on."""
    kind = "rich"

    @functools.cache
    def changes():
        folder, file = bench.place / "counted", bench.place / "changes_of_disks"
        shutil.rmtree(folder, ignore_errors=True)
        children.run(judging.train(folder, kind), children.count_changes(folder, file))
        return file.stat().st_size

    def run(folder, share):
        n = 1 + int(share * 0.6 * changes())  # the others are names that change, which needs no room
        ended = children.run(judging.train(folder, kind), children.full_disk(n, folder))
        return bench.judged(folder, ended, kind=kind, least=judging.latest(folder))

    del draw
    for i in range(count):
        name = f"{i}: from {i}/{count} of all files on"
        yield Fault("no room for a new file", name, functools.partial(run, share=i / count))


def at_bytes(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """No file may be larger than so many bytes, also in a run that goes on."""

    def run(folder, limit, half):
        before = []
        if half:
            before = [children.run(judging.train(folder), children.at_change(150, folder))]
        before.append(children.run(judging.train(folder), children.small_files(limit)))
        return bench.judged(folder, *before, least=judging.latest(folder))

    for i in range(count):
        limit = int(10 ** (2.6 + 1.9 * draw.random()))  # what the command says is in a file, too
        name = f"{i}: {limit} bytes{', going on' if i % 2 else ''}"
        yield Fault("files end at a number of bytes", name, functools.partial(run, limit=limit, half=i % 2))


def on_small_disks(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """A file system of a few hundred kilobytes, which is then made larger."""

    def run(folder, kilobytes):
        def within():
            _mount(folder, kilobytes)
            ended = children.run(judging.train(folder))
            _mount(folder, 100_000, again=True)
            return bench.judged(folder, ended, least=judging.latest(folder))

        bench.whole("plain")
        return _isolated(within)

    if not _isolated(lambda: _may_mount(bench.place)):
        print("no file system may be mounted here: small disks are left out")
        return
    for i in range(count):
        kilobytes = int(4 * 2 ** (7 * draw.random()))
        name = f"{i}: {kilobytes} kB"
        yield Fault("a small disk is full", name, functools.partial(run, kilobytes=kilobytes))


_NEW_MOUNTS, _NEW_USER, _REMOUNT = 0x20000, 0x10000000, 32


def _mount(folder: Path, kilobytes: int, again: bool = False) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _REMOUNT if again else 0
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", flags, f"size={kilobytes}k".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def _may_mount(place: Path) -> bool:
    try:
        _mount(place, 100)
    except OSError:
        return False
    return True


def _isolated(work: Callable[[], object]):
    """Return what something returns in a child that has mounts of its own; None if it may have none."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            libc, ids = ctypes.CDLL(None, use_errno=True), (os.getuid(), os.getgid())
            if libc.unshare(_NEW_MOUNTS | _NEW_USER) == 0:
                Path("/proc/self/setgroups").write_text("deny")
                for name, own in zip(("uid_map", "gid_map"), ids):
                    Path(f"/proc/self/{name}").write_text(f"0 {own} 1")
                with os.fdopen(into, "wb") as file:
                    pickle.dump(work(), file)
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as file:
        found = file.read()
    os.waitpid(pid, 0)
    return pickle.loads(found) if found else None


def of_results(bench: Bench, count: int, draw: random.Random) -> Iterator[Fault]:
    """No room, or the end, while results are written: what was there stays, or all of it is new."""

    def argv(command, folder, seed):
        counts = "--num=8" if command == "sample" else "--num=64"
        return [command, f"--workdir={folder}", f"--seed={seed}", counts]

    @functools.cache
    def begun(command):
        """Return a run with results, the digest of the next ones, and how many files these change."""
        folders = [bench.place / f"{command}_{name}" for name in ("old", "new")]
        for folder in folders:
            shutil.copytree(bench.whole("plain").folder, folder)
            children.run(argv(command, folder, 0))
        file = bench.place / f"changes_of_{command}"
        children.run(argv(command, folders[1], 1), children.count_changes(folders[1], file))
        return folders[0], _results(folders[0]), _results(folders[1]), file.stat().st_size

    def run(folder, command, share, how):
        old, before, after, changes = begun(command)
        shutil.copytree(old, folder, dirs_exist_ok=True)
        hook = {"full": children.full_disk, "kill": children.at_change}[how]
        ended = children.run(argv(command, folder, 1), hook(1 + int(share * changes), folder))
        found = _results(folder)
        silent = found not in (before, after) and how == "full"
        scratch = judging.left(folder) if how == "full" else []
        again = children.run(argv(command, folder, 1))
        lost = again.status != 0 or _results(folder) != after
        scratch += judging.left(folder)
        raw = [each for each in (ended, again) if each.raw]
        about = f"{scratch} {again.told[-1000:] if lost else ''} {[each.told[-2000:] for each in raw]}"
        return Outcome("went on", lost, silent, bool(raw), bool(scratch), about)

    for i in range(count):
        command, how = ("sample", "evaluate")[i % 2], ("full", "kill")[i // 2 % 2]
        share = draw.random()
        kind = {"full": "no room for results", "kill": "kill -9 while results are written"}[how]
        work = functools.partial(run, command=command, share=share, how=how)
        yield Fault(kind, f"{i}: {command}, after {share:.2f} of its changes", work)


def _results(folder: Path) -> dict[str, object]:
    """Return what commands wrote, without the speeds."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("samples.*")):
        found[path.name] = path.read_bytes()
    file = folder / "evaluation.json"
    if file.exists():
        numbers = json.loads(file.read_text())
        for row in numbers["samples"]:
            for key in ("samples_per_second", "calls_per_second"):
                row.pop(key)
        found |= {"json": numbers, "md": (folder / "evaluation.md").exists()}
        found |= {path.name: path.read_bytes() for path in sorted((folder / "evaluation").glob("*.png"))}
    return found
