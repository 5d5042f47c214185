"""The latent-variable model: its bound, importance weights, codes and gradients.

May import `networks` and what is below them.
"""
