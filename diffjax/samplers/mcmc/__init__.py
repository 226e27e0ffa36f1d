"""Langevin dynamics: at one level (correctors), down a ladder of levels, or of a single energy."""
