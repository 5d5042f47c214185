"""Training: the loop, the optimisers, the state of a run on disk. It knows no model."""
