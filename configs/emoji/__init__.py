"""Configs on emoji: pictures with captions."""
