"""Networks: tensors in, tensors out. They know no likelihood, no bound and no schedule."""
