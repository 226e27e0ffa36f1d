"""The papers' configs on CIFAR-10."""
