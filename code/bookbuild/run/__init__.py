"""Executing the pages: keys, the cache, shipped outputs, values for the prose; and the studies.

Imports `bookbuild.source`; `studies` alone imports `onebound` too.
"""
