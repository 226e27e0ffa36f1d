"""Every solver, corrector and walk of a flow map, and all that is said of them in more than one place.

From here a config finds a solver by its name, `samplers` its public names, the tests what they walk and the
orders that they measure, `experiments.solver_orders` and docs/solvers.md their tables. A new solver is a file
of its own, and an import and an entry here.
"""

from diffjax.samplers.dpm.dpm_2 import dpm_2 as dpm_2
from diffjax.samplers.dpm.dpm_2 import dpm_2_ancestral as dpm_2_ancestral
from diffjax.samplers.dpm.dpm_solver import dpm_solver as dpm_solver
from diffjax.samplers.dpm.dpm_solver_pp import dpm_solver_pp as dpm_solver_pp
from diffjax.samplers.dpm.dpm_solver_pp_2s import dpm_solver_pp_2s as dpm_solver_pp_2s
from diffjax.samplers.dpm.dpm_solver_pp_2s import dpm_solver_pp_sde as dpm_solver_pp_sde
from diffjax.samplers.dpm.dpm_solver_single import dpm_solver_pp_single as dpm_solver_pp_single
from diffjax.samplers.dpm.dpm_solver_single import dpm_solver_single as dpm_solver_single
from diffjax.samplers.dpm.unipc import unipc as unipc
from diffjax.samplers.entry import Entry, NoisyOrder, Order, Variant, call
from diffjax.samplers.maps.jump import jump as jump
from diffjax.samplers.mcmc.ald import ald as ald
from diffjax.samplers.mcmc.annealed_langevin import annealed_langevin as annealed_langevin
from diffjax.samplers.mcmc.langevin import langevin as langevin
from diffjax.samplers.multistep.deis import deis as deis
from diffjax.samplers.multistep.deis import lms as lms
from diffjax.samplers.multistep.pndm import pndm as pndm
from diffjax.samplers.ode.edm_heun import edm_euler as edm_euler
from diffjax.samplers.ode.edm_heun import edm_heun as edm_heun
from diffjax.samplers.ode.euler import euler as euler
from diffjax.samplers.ode.heun import heun as heun
from diffjax.samplers.sde.euler_maruyama import euler_maruyama as euler_maruyama
from diffjax.samplers.sde.reverse_diffusion import reverse_diffusion as reverse_diffusion
from diffjax.samplers.transitions.ancestral import ancestral as ancestral
from diffjax.samplers.transitions.ddim import ddim as ddim
from diffjax.samplers.transitions.ddim import euler_ancestral as euler_ancestral

_SIGNAL, _RATES = ("signal",), ("rates",)

_SOLVERS = (
    Entry(
        ancestral,
        {
            "fixed_small": Variant(call()),
            "fixed_large": Variant(call("fixed_large")),
            "learned_range": Variant(call("learned_range")),
            "learned": Variant(
                call("learned"), no_law="the variance is all the network's own, and the tests' means nothing"
            ),
        },
        noisy_orders=(
            NoisyOrder(call(), variance=1, fixed=1),
            NoisyOrder(call("fixed_large"), variance=1, fixed=1, shown=False),
        ),
    ),
    Entry(
        ddim,
        {"ddim": Variant(call()), "ddim_half": Variant(call(0.5))},
        orders=(Order(call(), 1),),
        noisy_orders=(
            NoisyOrder(call(0.5), variance=1, marginal=1, shown=False),  # its law from one x_T is not known
            NoisyOrder(call(1.0), variance=1, fixed=1, shown=False),
        ),
        elsewhere=(("`ddim()` = `edm_euler()`", "`euler`", "DDIM; EulerDiscrete"),),
    ),
    Entry(
        euler_ancestral,
        {"euler_ancestral": Variant(call(s_noise=1.01))},
        noisy_orders=(NoisyOrder(call(), variance=1),),
        elsewhere=(
            (
                "`euler_ancestral(eta, s_noise)` = `ddim(eta, s_noise)`",
                "`euler_ancestral`",
                "EulerAncestralDiscrete, DDIM(eta)",
            ),
        ),
    ),
    Entry(
        euler,
        {"euler": Variant(call(), _RATES)},
        orders=(Order(call(), 1),),
        elsewhere=(("`euler(...)`", "", "FlowMatchEuler (`euler` on `rectified_flow`)"),),
    ),
    Entry(
        heun,
        {
            "heun": Variant(call(), _RATES),
            "heun_churned": Variant(call(alpha=0.75, s_churn=2.0), _RATES + _SIGNAL),
        },
        orders=(
            Order(call(), 2),
            Order(call(2 / 3), 2, ("straight",), shown=False),
            Order(call(0.5), 2, ("straight",), shown=False),
        ),
        elsewhere=(("`heun(alpha, s_churn, ...)`", "", "(EDM's `ablation_sampler`)"),),
    ),
    Entry(
        edm_euler,
        {"edm_euler": Variant(call(s_churn=2.0), _SIGNAL)},
        orders=(Order(call(), 1),),
        elsewhere=(
            (
                "`edm_euler(s_churn, ...)`",
                "`euler` with churn",
                "(EulerDiscrete's churn comes after the network call: another method)",
            ),
        ),
    ),
    Entry(
        edm_heun,
        {"edm_heun": Variant(call(), _SIGNAL), "churned": Variant(call(s_churn=2.0), _SIGNAL)},
        orders=(Order(call(), 2),),
        elsewhere=(("`edm_heun(s_churn, ...)`", "`heun`", "HeunDiscrete, which has no churn"),),
    ),
    Entry(
        dpm_2,
        {"dpm_2": Variant(call(), _SIGNAL), "dpm_2_churned": Variant(call(s_churn=2.0), _SIGNAL)},
        orders=(Order(call(), 2),),
        elsewhere=(("`dpm_2(s_churn, ...)`", "`dpm_2`", "KDPM2Discrete"),),
    ),
    Entry(
        dpm_2_ancestral,
        {"dpm_2_ancestral": Variant(call(), _SIGNAL)},
        noisy_orders=(
            # down by an ODE of order 2, up by exact noise: order 2 in the marginal, not in what x_s owes x_T
            NoisyOrder(call(), variance=2, marginal=2, fixed=1),
            NoisyOrder(call(0.5), variance=2, shown=False),
        ),
        elsewhere=(("`dpm_2_ancestral(eta)`", "`dpm_2_ancestral`", "KDPM2AncestralDiscrete"),),
    ),
    Entry(
        dpm_solver,
        {
            "dpm_2m": Variant(call(), _SIGNAL, fewest=2),
            "dpm_2m_sde": Variant(call(eta=1.0), _SIGNAL, fewest=2),
        },
        orders=(
            Order(call(2), 2),
            Order(call(2, "heun"), 2, ("straight",), shown=False),
            Order(call(3, "taylor"), 3, ("edm",), steps=192, shown=False),
        ),
        noisy_orders=(
            NoisyOrder(call(1, eta=1.0), variance=1, shown=False),
            NoisyOrder(call(2, eta=1.0), variance=2),
            NoisyOrder(call(2, "heun", eta=0.5), variance=2, shown=False),
        ),
        elsewhere=(("`dpm_solver(order, solver_type, eta)`", "", '"dpmsolver", "sde-dpmsolver"'),),
    ),
    Entry(
        dpm_solver_pp,
        {
            "dpm_pp_1": Variant(call(1)),
            "dpm_pp_2": Variant(call(), fewest=2),
            "dpm_pp_3": Variant(call(3, "taylor"), fewest=3),
            "dpm_pp_2_sde": Variant(call(2, "heun", eta=1.0), fewest=2),
            "dpm_pp_3_sde": Variant(call(3, "heun", eta=0.5), fewest=3),
        },
        orders=(
            Order(call(1), 1, shown=False),
            Order(call(2), 2),
            Order(call(2, "heun"), 2),
            Order(call(3), 2),  # as published, with half of the second derivative
            Order(call(3, "taylor"), 3, ("edm",), steps=192),
        ),
        noisy_orders=(
            NoisyOrder(call(1, eta=1.0), variance=1, fixed=1),
            NoisyOrder(call(1, eta=0.5), variance=1, shown=False),
            NoisyOrder(call(2, eta=1.0), variance=2),
            NoisyOrder(call(2, "heun", eta=1.0), variance=2),
            NoisyOrder(call(2, "heun", eta=0.5), variance=2, shown=False),
            NoisyOrder(call(3, "taylor", eta=1.0), variance=2, not_yet=("vp", "flow")),
            NoisyOrder(call(3, "heun", eta=0.5), variance=2, shown=False),
        ),
        elsewhere=(
            ("`dpm_solver_pp(order, solver_type)`", "`dpmpp_2m`", 'DPMSolverMultistep, "dpmsolver++"'),
            (
                "`dpm_solver_pp(2, solver_type, eta=1.0)`",
                "`dpmpp_2m_sde`",
                '"sde-dpmsolver++" of orders 1 and 2',
            ),
            (
                '`dpm_solver_pp(3, "heun", eta=1.0)`',
                "`dpmpp_3m_sde` (`lower_order_final=False` below 15 steps)",
                "(0.42.1 has a 1/2 of the last coefficient with the other sign)",
            ),
        ),
    ),
    Entry(
        dpm_solver_pp_single,
        {
            "dpm_pp_2s_grid": Variant(call(2), _SIGNAL, fewest=2),
            "dpm_pp_3s_grid": Variant(call(3, "heun"), _SIGNAL, fewest=3),
        },
        orders=(
            Order(call(2), 2),
            Order(call(3, "heun", False), 3, steps=192),
            Order(call(3, "midpoint", False), 3, ("straight",), steps=192, shown=False),
        ),
        elsewhere=(("`dpm_solver_pp_single(order, solver_type)`", "", 'DPMSolverSinglestep, "dpmsolver++"'),),
    ),
    Entry(
        dpm_solver_single,
        {"dpm_3s_grid": Variant(call(3, "dpm_solver"), _SIGNAL, fewest=3)},
        orders=(Order(call(3, "dpm_solver", False), 3, steps=192),),
        elsewhere=(
            (
                "`dpm_solver_single(order, solver_type)`",
                '`dpm_fast` (order 3, "dpm_solver", `grids.subdivide`)',
                'DPMSolverSinglestep, "dpmsolver"',
            ),
        ),
    ),
    Entry(
        dpm_solver_pp_2s,
        {
            "dpm_pp_2s": Variant(call(), _SIGNAL),
            "dpm_pp_2s_ancestral": Variant(call(eta=1.0), _SIGNAL),
        },
        orders=(Order(call(), 2),),
        noisy_orders=(
            NoisyOrder(call(eta=1.0), variance=2, marginal=2, fixed=1),
            NoisyOrder(call(eta=0.5), variance=2, shown=False),
        ),
        elsewhere=(("`dpm_solver_pp_2s(eta)`", "`dpmpp_2s_ancestral`", ""),),
    ),
    Entry(
        dpm_solver_pp_sde,
        {"dpm_pp_sde": Variant(call(), _SIGNAL)},
        orders=(Order(call(eta=0.0, r=0.4), 2, ("edm",), shown=False),),
        noisy_orders=(
            NoisyOrder(call(), variance=1, fixed=1),
            NoisyOrder(call(0.5), variance=1, shown=False),
        ),
        elsewhere=(("`dpm_solver_pp_sde(eta, r=r)`", "`dpmpp_sde`", ""),),
    ),
    Entry(
        unipc,
        {
            "unipc_2": Variant(call(), fewest=2),
            "unipc_3": Variant(call(3, "bh1", disable_corrector=(0,)), fewest=3),
            "unipc_eps": Variant(call(2, kind="eps"), _SIGNAL, fewest=2),
        },
        orders=(
            Order(call(1), 2),
            Order(call(2), 3, steps=192),
            Order(call(2, "bh1", "eps"), 3, ("straight",), steps=192, shown=False),
            Order(call(3), 4, ("straight",), steps=192),
        ),
        elsewhere=(("`unipc(order, variant, kind)`", "", "UniPCMultistep (`lower_order_final=True`)"),),
    ),
    Entry(
        deis,
        {
            "deis": Variant(call(), _SIGNAL, fewest=3),
            "deis_log_rho": Variant(call(2, "log_rho"), _SIGNAL, fewest=2),
        },
        orders=(
            Order(call(2), 2),
            Order(call(3), 3, ("edm",)),
            Order(call(3, "log_rho"), 3, ("edm",)),
            Order(call(3, "log_rho", False), 3, ("edm",)),
            Order(call(4), 4, ("edm",), steps=96, shown=False),
        ),
        elsewhere=(
            ('`deis(order, "log_rho")`', "", 'DEISMultistep ("logrho"), `lower_order_final` as there'),
        ),
    ),
    Entry(
        lms,
        {"lms": Variant(call(), _SIGNAL, fewest=4)},
        orders=(
            Order(call(2), 2, ("edm",), shown=False),
            Order(call(3), 3, ("edm",), shown=False),
            Order(call(4), 4, ("edm",), steps=96),
        ),
        elsewhere=(("`lms(order)`", "`lms`", "LMSDiscrete"),),
    ),
    Entry(
        pndm,
        {
            "pndm": Variant(call(), _SIGNAL, extra_rows=9),
            "plms": Variant(call("multistep"), _SIGNAL, extra_rows=1),
        },
        orders=(Order(call(), 2), Order(call("multistep"), 2)),
        elsewhere=(
            ('`pndm("runge_kutta")`, `pndm("multistep")`', "", "PNDM, without and with `skip_prk_steps`"),
        ),
    ),
    Entry(
        euler_maruyama,
        {
            "euler_maruyama": Variant(call(), _RATES + _SIGNAL),
            "euler_maruyama_ode": Variant(call(eta=0.0), _RATES + _SIGNAL),
        },
        noisy_orders=(NoisyOrder(call(), fixed=1, shown=False),),
    ),
    Entry(
        reverse_diffusion,
        {"reverse_diffusion": Variant(call())},
        noisy_orders=(NoisyOrder(call(), fixed=1, shown=False),),
    ),
    Entry(
        annealed_langevin,
        {
            "annealed_langevin": Variant(
                call(step_size=2e-4, steps=8),
                ("constant alpha",),
                unsuited={"edm": "its steps are multiples of the last level's square: 0.002 wants others"},
            )
        },
    ),
)

_CORRECTORS = (
    Entry(langevin, {"langevin": Variant(call(0.1), predictor=reverse_diffusion())}),
    Entry(ald, {"corrected": Variant(call(0.1), predictor=ancestral())}),
)

_JUMPS = (Entry(jump, {"jump": Variant(call()), "renoise": Variant(call(renoise=True))}),)

SOLVERS = {entry.name: entry for entry in _SOLVERS}
CORRECTORS = {entry.name: entry for entry in _CORRECTORS}
JUMPS = {entry.name: entry for entry in _JUMPS}  # walk a flow map, which no denoiser is

__all__ = [*SOLVERS, *CORRECTORS, *JUMPS]
