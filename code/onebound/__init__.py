"""The models of the book *One Bound*: variational autoencoders and diffusion models on MNIST.

One module a concept. Imports go downwards only; ``tests/test_architecture.py`` holds the order.
"""
