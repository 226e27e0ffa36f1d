"""What a run has counted since its last row and its last checkpoint, which a checkpoint keeps."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from diffjax.training import metrics
from diffjax.training.metrics import Row, Running


@dataclasses.dataclass
class Counted:
    """Sums of metrics, and the numbers of pictures made on the way.

    Attributes:
      since_log: sums of the steps since the last row.
      since_checkpoint: since the last checkpoint, of which the best is chosen.
      sampled: numbers of `on_sample` since the last row.
      latest: the latest of each.
    """

    since_log: Running = dataclasses.field(default_factory=Running)
    since_checkpoint: Running = dataclasses.field(default_factory=Running)
    sampled: dict[str, float] = dataclasses.field(default_factory=dict)
    latest: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "Counted":
        """Go on from what `meta` returned."""
        since = {name: Running(**meta.get(name, {})) for name in ("since_log", "since_checkpoint")}
        return cls(**since, sampled=dict(meta.get("sampled", {})), latest=dict(meta.get("latest", {})))

    def meta(self) -> dict[str, Any]:
        """Return all of it as JSON data."""
        return {
            "since_log": self.since_log._asdict(), "since_checkpoint": self.since_checkpoint._asdict(),
            "sampled": self.sampled, "latest": self.latest,
        }  # fmt: skip

    def add(self, rows: Iterable[Row]) -> None:
        """Add the metrics of further steps."""
        rows = list(rows)
        self.since_log = metrics.add(self.since_log, rows)
        self.since_checkpoint = metrics.add(self.since_checkpoint, rows)

    def add_sampled(self, numbers: Mapping[str, float]) -> None:
        """Add numbers of pictures."""
        self.sampled, self.latest = self.sampled | dict(numbers), self.latest | dict(numbers)

    def row(self) -> dict[str, float]:
        """Return the row of a log step, and begin the next."""
        row = metrics.means(self.since_log) | self.sampled
        self.since_log, self.sampled = Running(), {}
        return row

    def score(self, whole: bool) -> dict[str, float]:
        """Return what a checkpoint is judged by, and begin anew; nothing for one at a signal.

        The few steps until then do not compare with whole intervals.
        """
        if not whole:
            return {}
        score = metrics.means(self.since_checkpoint) | self.latest
        self.since_checkpoint = Running()
        return score
