"""The models of the book *One Bound*: variational autoencoders and diffusion models on MNIST.

One sub-package a concept. Imports go downwards only: the contract in ``pyproject.toml`` has the
order.
"""
