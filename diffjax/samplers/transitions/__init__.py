"""One transition of the process itself a step: ancestral sampling and DDIM."""
