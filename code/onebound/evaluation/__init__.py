"""Samples judged: features, distances, shares recognised, neighbours, and the protocol.

May import `networks`, `data` and what is below them; no model.
"""
