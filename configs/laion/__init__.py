"""The papers' configs on LAION: pictures with captions from the web."""
