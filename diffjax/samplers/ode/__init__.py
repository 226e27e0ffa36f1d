"""Runge-Kutta methods of the probability-flow ODE, with or without churn."""
