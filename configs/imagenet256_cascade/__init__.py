"""Configs of cascades to ImageNet at 256x256: 32, 64 and 256 pixels, each stage told the class."""
