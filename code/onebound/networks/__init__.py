"""Networks: tensors in, tensors out. They know no likelihood, no bound and no schedule.

Each is built for images (or codes) of one shape, and raises ValueError for others. It computes in
the type of its weights and answers in that of what it was given. Sizes below 1 are a ValueError.
May import `checks`.
"""
