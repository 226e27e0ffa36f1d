"""The papers' configs on ImageNet at 64x64."""
