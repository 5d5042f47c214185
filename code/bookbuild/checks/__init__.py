"""Checks of what was built: the pages, the links, the numbers; and the browser for more of them.

Imports `bookbuild.source` and `bookbuild.run`.
"""
