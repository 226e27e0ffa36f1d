"""Configs on points in the plane."""
