"""Exponential integrators in log SNR: DPM-Solver, DPM-Solver++, UniPC, and what k-diffusion made of them."""
