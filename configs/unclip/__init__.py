"""Configs of unCLIP (DALL-E 2) at its full size: pictures with captions."""
