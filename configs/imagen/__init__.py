"""Configs of Imagen at its full size: pictures with captions."""
