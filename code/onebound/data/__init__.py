"""MNIST: `mnist` is what readers call, `images` turns levels into numbers, `fetch` gets the files.

May import `checks` and `files`.
"""
