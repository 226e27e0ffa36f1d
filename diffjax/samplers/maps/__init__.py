"""Walks of a flow map, which goes from level to level by itself: one network call a step, or one in all."""
