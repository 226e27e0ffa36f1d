"""Configs on MNIST."""
