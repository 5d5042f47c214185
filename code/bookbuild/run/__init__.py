"""Executing the pages: keys, the cache, shipped outputs, values for the prose; and the studies.

Imports `bookbuild.source` and `onebound.machine`; `studies` alone imports more of `onebound`.
"""
