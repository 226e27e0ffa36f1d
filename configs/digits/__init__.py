"""Configs on scikit-learn's handwritten digits."""
