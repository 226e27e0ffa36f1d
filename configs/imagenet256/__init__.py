"""The papers' configs on ImageNet at 256x256."""
