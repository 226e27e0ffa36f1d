"""What the listing says of a solver: plain data, read by configs, tests, experiments and documents."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from diffjax.samplers.solver import Solver


class Call(NamedTuple):
    """Arguments of a constructor."""

    args: tuple = ()
    options: Mapping[str, Any] = {}

    def of(self, make: Callable) -> Any:
        """Return what the constructor makes of them."""
        return make(*self.args, **self.options)

    def text(self, make: Callable) -> str:
        """Return the call as a reader would write it."""
        options = (f"{name}={value!r}" for name, value in self.options.items())
        return f"{make.__name__}({', '.join([*map(repr, self.args), *options])})"


def call(*args: Any, **options: Any) -> Call:
    """Make a Call of the arguments as given."""
    return Call(args, options)


class Variant(NamedTuple):
    """One solver of a constructor, which the generic tests walk on every schedule and grid.

    Attributes:
      call: arguments of the constructor.
      needs: "rates" (no chain), "signal" (no grid that touches alpha = 0), "constant alpha".
      fewest: steps that a grid must have; fewer are refused.
      extra_rows: rows of a plan beyond one a step.
      unsuited: grid of the tests -> why it is served badly there.
      no_law: why its samples have no law that could be checked.
      predictor: of a corrector, the solver that it is walked with.
    """

    call: Call
    needs: tuple[str, ...] = ()
    fewest: int = 1
    extra_rows: int = 0
    unsuited: Mapping[str, str] = {}
    no_law: str | None = None
    predictor: Solver | None = None


class Order(NamedTuple):
    """The order of the ODE's end: against its exact flow for a mixture of three tilted Gaussians.

    Attributes:
      call: arguments of the constructor.
      order: of the method.
      seen_on: problems on which the measured order is within `TOLERANCE` of it: "edm", 20 to 0.05 on Karras'
        grid, and "straight", 0.95 to 0.05 in equal steps of the straight path. On the other it is another one
        in the steps measured here, and the document says so.
      steps: of the coarser of two grids.
      shown: whether it has a row in docs/solvers.md.
    """

    call: Call
    order: int
    seen_on: tuple[str, ...] = ("edm", "straight")
    steps: int = 128
    shown: bool = True


class NoisyOrder(NamedTuple):
    """Weak orders of a solver that draws noise, each None where it is not measured.

    Attributes:
      call: arguments of the constructor.
      variance: of samples of N(0, v), exact without chance, as the walk is linear there.
      marginal: of the whole density at the end, from the exact density of a mixture at the start.
      fixed: of the whole density at the end, from one point at the start.
      not_yet: problems ("edm", "vp", "flow") on which `variance` is not yet the measured order in the steps
        taken there.
      shown: whether it has a row in docs/solvers.md.
    """

    call: Call
    variance: int | None = None
    marginal: int | None = None
    fixed: int | None = None
    not_yet: tuple[str, ...] = ()
    shown: bool = True


TOLERANCE = 0.15  # of every measured order


class Entry(NamedTuple):
    """A constructor and everything that is said of it.

    Attributes:
      make: the constructor.
      variants: {name in the tests: Variant}.
      orders, noisy_orders: what is measured.
      elsewhere: rows (call here, name in k-diffusion, name in diffusers).
    """

    make: Callable
    variants: Mapping[str, Variant]
    orders: tuple[Order, ...] = ()
    noisy_orders: tuple[NoisyOrder, ...] = ()
    elsewhere: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """What configs and documents call it: the constructor's name."""
        return self.make.__name__

    @property
    def family(self) -> str:
        """The folder that its file lies in."""
        return self.make.__module__.split(".")[-2]
