"""Experiments that take longer than a page may, one module each, with its record beside it.

May import everything; `records` reads what runs found.
"""
