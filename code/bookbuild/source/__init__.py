"""The book as it lies in the repository: its pages, its equations, where it is published.

`memory` keeps what follows from such content, so that no build finds it out again. Imports no other
room.
"""
