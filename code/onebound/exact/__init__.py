"""Models solved exactly: the oracles of the book and of its tests.

May import `diffusion` and what is below it; neither `training` nor `evaluation`.
"""
