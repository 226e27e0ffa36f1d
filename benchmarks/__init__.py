"""Timings of diffjax beside PyTorch diffusers, and of its training loop beside the bare steps."""
