"""Time grids: plain numpy, decreasing, N + 1 values for N steps.

Choosing times of the same process is all that respacing is; it makes no new betas. A chain takes the
nearest step of a fractional time.
"""

from collections.abc import Sequence

import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import Schedule
from diffjax.process.schedules import vp_linear
from diffjax.samplers.solver import Times


@checked
def uniform(n: int, t_min: float = 0.0, t_max: float = 1.0) -> np.ndarray:
    """Return n equal steps from t_max down to t_min.

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.uniform(4).tolist()
      [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    _ends(t_min, t_max)
    return np.linspace(t_max, t_min, checks.count("n", n) + 1)


@checked
def quadratic(n: int, t_min: float = 0.0, t_max: float = 1.0) -> np.ndarray:
    """Return n steps whose square roots are equally spaced (Song et al. 2020, app. D.2).

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.quadratic(4, 0.0, 16.0).tolist()
      [16.0, 9.0, 4.0, 1.0, 0.0]
    """
    _ends(t_min, t_max)
    return np.linspace(t_max**0.5, t_min**0.5, checks.count("n", n) + 1) ** 2


@checked
def log_snr(n: int, schedule: Schedule, t_min: float | None = None, t_max: float | None = None) -> np.ndarray:
    """Return n steps equal in log SNR (Lu et al. 2022), from t_max to t_min, by default the schedule's.

    On a chain the last time is n = 1 at the least (log SNR has no end at data; append 0 to arrive there), and
    times that round to the same step are merged, so that there may be fewer.

    Raises:
      ValueError: if log SNR is infinite at an end.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> times = samplers.grids.log_snr(3, schedules.edm(1.0, 1000.0))
      >>> times.round(6).tolist()
      [1000.0, 100.0, 10.0, 1.0]
    """
    chain = schedule.num_steps is not None
    t_min = 1 if t_min is None and chain else t_min
    ends = (schedule.t_max if t_max is None else t_max), (schedule.t_min if t_min is None else t_min)
    top, bottom = (float(schedule(end).log_snr) for end in ends)
    if not np.isfinite([top, bottom]).all():
        raise ValueError(
            f"log_snr needs finite ends; got {top:g} at t = {ends[0]:g} and {bottom:g} at t = {ends[1]:g}"
        )
    times = np.array(schedule.inv_log_snr(np.linspace(top, bottom, checks.count("n", n) + 1)), np.float64)
    times[[0, -1]] = ends
    return distinct(times) if chain else times


@checked
def subdivide(times: Times, schedule: Schedule, parts: int | Sequence[int]) -> np.ndarray:
    """Return the grid with points between, equal in log SNR: the inner points of singlestep solvers.

    Args:
      times: N + 1 times.
      schedule: any schedule; a chain takes the nearest steps.
      parts: into how many each interval is cut, one number or N of them.

    Raises:
      ValueError: if log SNR is infinite at an end of an interval that is to be cut.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> samplers.grids.subdivide([100.0, 1.0, 0.0], schedules.edm(), [2, 1]).round(6).tolist()
      [100.0, 10.0, 1.0, 0.0]
    """
    times = np.asarray(times, np.float64)
    given = np.asarray(parts)
    if given.shape not in ((), (len(times) - 1,)) or (given < 1).any():
        raise ValueError(f"parts must be an integer >= 1, or {len(times) - 1} of them, got {given.tolist()}")
    counts = np.broadcast_to(given, len(times) - 1)
    values = schedule(times).log_snr
    if not np.isfinite(values[:-1][counts > 1]).all() or not np.isfinite(values[1:][counts > 1]).all():
        raise ValueError("subdivide needs finite log SNR at both ends of an interval that it cuts")
    between = [
        schedule.inv_log_snr(np.linspace(values[i], values[i + 1], n + 1)[1:-1]) if n > 1 else []
        for i, n in enumerate(counts)
    ]
    return np.concatenate([np.append(a, b) for a, b in zip(times, between)] + [times[-1:]])


@checked
def until(times: Times, schedule: Schedule, noise: float) -> np.ndarray:
    """Return the grid down to where x has noise of this standard deviation left, of its own unit size.

    That is where sigma / sqrt(alpha^2 + sigma^2) is `noise`, on a variance preserving schedule sigma; of a
    chain it is the nearest step. A cascade's truncated conditioning stops there (Ho et al. 2022, sec. 4.1).

    Args:
      times: decreasing.
      schedule: any schedule.
      noise: in (0, 1).

    Raises:
      ValueError: for another number, or a grid that begins there or ends before.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> samplers.grids.until([1.0, 0.75, 0.5, 0.25, 0.0], schedules.vp_cosine(), 0.6).round(4).tolist()
      [1.0, 0.75, 0.5, 0.4097]
    """
    times = np.asarray(times, np.float64)
    if not 0 < noise < 1:
        raise ValueError(f"noise must be in (0, 1), got {noise}")
    if not (np.diff(times) < 0).all():
        raise ValueError("times must decrease, from noise to data")
    stop = float(schedule.at_ratio(noise / (1 - noise**2) ** 0.5).t)
    if not times[-1] <= stop < times[0]:
        ends = f"from {times[0]:g} to {times[-1]:g}"
        raise ValueError(f"noise {noise:g} is left at t = {stop:g}, which must be on the way {ends}")
    return np.append(times[times > stop], stop)


@checked
def distinct(times: Times) -> np.ndarray:
    """Round times to the steps of a chain and merge those that fall on one; decreasing.

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.distinct([9.0, 3.2, 2.9, 0.0]).tolist()
      [9.0, 3.0, 0.0]
    """
    return np.unique(np.rint(times))[::-1]


@checked
def karras(n: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> np.ndarray:
    """Return n noise levels from sigma_max to sigma_min, then 0 (Karras et al. 2022, eq. 5).

    These are values of sigma / alpha: on a schedule other than `edm` the times are
    `schedule.inv_sigma(karras(...))`. Here rho is the exponent, not sigma / alpha.

    Raises:
      ValueError: unless 0 < sigma_min < sigma_max < inf and rho > 0.

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.karras(3, 1.0, 9.0, rho=2.0).tolist()
      [9.0, 4.0, 1.0, 0.0]
    """
    checks.positive("rho", rho)
    checks.sigmas("karras", sigma_min, sigma_max)
    levels = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), checks.count("n", n)) ** rho
    levels[0] = sigma_max
    levels[-1] = sigma_min if n > 1 else sigma_max
    return np.append(levels, 0.0)


@checked
def exponential(n: int, sigma_min: float, sigma_max: float) -> np.ndarray:
    """Return n noise levels equal in log sigma from sigma_max to sigma_min, then 0 (sigma / alpha).

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.exponential(3, 1.0, 100.0).round(6).tolist()
      [100.0, 10.0, 1.0, 0.0]
    """
    return polyexponential(n, sigma_min, sigma_max, rho=1.0)


@checked
def polyexponential(n: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> np.ndarray:
    """Return n noise levels, then 0, with log sigma a power of a straight line (k-diffusion).

    log sigma_i = log sigma_min + (1 - i / (n - 1))^rho log(sigma_max / sigma_min); rho above 1 puts more
    levels near sigma_min.

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.polyexponential(3, 1.0, 10000.0, rho=2.0).round(6).tolist()
      [10000.0, 10.0, 1.0, 0.0]
    """
    checks.positive("rho", rho)
    checks.sigmas("a grid", sigma_min, sigma_max)
    ramp = np.linspace(1, 0, checks.count("n", n)) ** rho
    return np.append(sigma_min * (sigma_max / sigma_min) ** ramp, 0.0)


@checked
def vp(n: int, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = 1e-3) -> np.ndarray:
    """Return n noise levels sigma / alpha of equal steps in the time of `vp_linear`, from 1 to t_min, then 0.

    These are Song et al. 2021's steps in the units of `karras` (k-diffusion: beta_d = beta_max - beta_min).

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.vp(10).shape
      (11,)
    """
    if not 0 < t_min < 1:
        raise ValueError(f"t_min must be in (0, 1), got {t_min:g}")
    level = vp_linear(beta_min, beta_max)(np.linspace(1, t_min, checks.count("n", n)))
    return np.append(level.sigma / level.alpha, 0.0)


@checked
def spaced(num_steps: int, sections: str | int | Sequence[int]) -> np.ndarray:
    """Return the times of a chain kept by OpenAI's respacing syntax, from high to 0.

    Args:
      num_steps: T.
      sections: "ddim50" (50 times of one integer stride), "250", or "10,15,20" / [10, 15, 20]: the chain
        is cut into equal parts, and each keeps that many equally spaced times.

    Returns:
      int64 times, decreasing, with 0 at the end.

    Raises:
      ValueError: if a section cannot keep that many times.

    Example:
      >>> from diffjax import samplers
      >>> samplers.grids.spaced(10, "ddim5").tolist()
      [9, 7, 5, 3, 1, 0]
    """
    checks.count("num_steps", num_steps)
    if isinstance(sections, str) and sections.startswith("ddim"):
        wanted = _section(sections[len("ddim") :], sections)
        for stride in range(1, num_steps + 1):
            kept = np.arange(0, num_steps, stride)
            if len(kept) == wanted:
                return _descending(kept)
        raise ValueError(f"no integer stride keeps {wanted} of {num_steps} steps: sections={sections!r}")
    if isinstance(sections, int | np.integer):
        sections = [sections]
    counts = [_section(c, sections) for c in (sections.split(",") if isinstance(sections, str) else sections)]
    sizes = num_steps // len(counts) + (np.arange(len(counts)) < num_steps % len(counts))
    kept, begin = [], 0
    for size, count in zip(sizes, counts):
        if count > size:
            raise ValueError(f"a section of {size} steps cannot keep {count}: sections={sections!r}")
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        # added up one by one, as in the reference, so that ties round the same way
        kept.append(begin + np.rint(np.concatenate([[0.0], np.cumsum(np.full(count - 1, stride))])))
        begin += size
    return _descending(np.concatenate(kept))


KINDS = ("uniform", "quadratic", "log_snr", "karras", "spaced")


@checked
def make(schedule: Schedule, steps: int | str | Sequence[int], grid: str = "uniform") -> np.ndarray:
    """Return a grid from the schedule's noisiest time to its cleanest, of a kind that suits any schedule.

    Data are the last time; a schedule that starts at a noise level of its own ends at that level. A chain
    rounds the times to its steps and merges those that meet, so that there may be fewer.

    Args:
      schedule: any schedule.
      steps: at least 1; of "spaced" the sections, see `spaced`.
      grid: "uniform" or "quadratic" in time, equal in "log_snr", "karras" (from sigma / alpha = 80 at the
        most), or a chain's "spaced".

    Returns:
      float64 times, decreasing ("spaced": int64).

    Raises:
      ValueError: for an unknown kind, fewer than 1 step or more than a chain has, or "spaced" without one.

    Example:
      >>> from diffjax import samplers
      >>> from diffjax.process import schedules
      >>> samplers.grids.make(schedules.linear_beta(10), 5, "uniform").tolist()
      [10.0, 8.0, 6.0, 4.0, 2.0, 0.0]
    """
    if grid not in KINDS:
        raise ValueError(f"grid must be one of {', '.join(KINDS)}; got {grid!r}")
    num_steps = schedule.num_steps
    chain = num_steps is not None
    if grid == "spaced":
        if num_steps is None:
            raise ValueError("grid='spaced' respaces a chain, and the schedule is continuous")
        return spaced(num_steps, steps)
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(
            f"steps must be an integer of at least 1 (sections need grid 'spaced'), got {steps!r}"
        )
    if num_steps is not None and grid in ("uniform", "quadratic") and steps > num_steps:
        raise ValueError(f"steps must be at most {num_steps}, the steps of the chain; got {steps}")
    # a schedule that starts at a noise level of its own ends there, not on data one step below
    arrives = chain or schedule.t_min > 0
    if grid == "uniform" or (steps == 1 and grid != "karras"):
        return uniform(steps, 0.0, schedule.t_max)
    if grid == "log_snr":
        return np.append(log_snr(steps - 1, schedule), 0) if arrives else log_snr(steps, schedule)
    if grid == "quadratic":
        times = quadratic(steps, 0.0, schedule.t_max)
    else:
        times = _karras_times(schedule, steps, arrives)
    return distinct(times) if chain else times


def _karras_times(schedule, steps, arrives):
    """Return the times of Karras' levels between the schedule's ends, of `steps` steps, and 0."""
    least, most = schedule(1 if schedule.num_steps is not None else schedule.t_min), schedule(schedule.t_max)
    # sigma/alpha of a chain's last steps runs off to 1e4 and more, where x is noise already
    with np.errstate(divide="ignore"):  # alpha = 0 is infinite noise
        ends = least.sigma / least.alpha, min(most.sigma / most.alpha, 80.0)
    levels = karras(steps, *ends) if arrives else karras(steps + 1, *ends)[:-1]
    times = np.minimum(schedule.inv_sigma(levels), schedule.t_max)
    times[-1] = 0
    return times


def _descending(indices):
    """Turn reference indices 0..T-1 into times 1..T, high to low, and append 0."""
    return np.append(indices.astype(np.int64)[::-1] + 1, 0)


def _section(count, sections):
    """Return how many times a section keeps."""
    try:
        return checks.count("sections", int(count))
    except ValueError:
        raise ValueError(f"sections must be positive integers or 'ddim<integer>', got {sections!r}") from None


def _ends(t_min, t_max):
    if not 0 <= t_min < t_max:
        raise ValueError(f"t_min and t_max must be 0 <= t_min < t_max, got {t_min:g} and {t_max:g}")
