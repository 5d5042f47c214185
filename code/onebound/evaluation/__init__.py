"""Samples judged: features, distances, shares recognised, neighbours, and the protocol."""
