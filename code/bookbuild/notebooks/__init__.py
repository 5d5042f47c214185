"""Each page with code as a notebook in plain Markdown, for those who know no MyST.

Imports `bookbuild.source` and `bookbuild.run`.
"""
