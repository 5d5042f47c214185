"""Trained models, one module each, with weights and card beside it; `cards` loads them."""
