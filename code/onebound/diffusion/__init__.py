"""Diffusion: a process that adds noise, a model that takes it away, its loss, bound and samplers.

Indices are the book's: t from 1 to T, s = t - 1, and x_0 is the data, of shape (B, ...). Images are
in [-1, 1]; where a likelihood does not ask for images, any real data will do. The noise `eps` is
drawn from N(0, I) and has the shape of x_0; without a `generator` it is torch's global one's. Every
function raises ValueError if `t` is not an int64 from 1 to T for each example, if data are neither
float32 nor float64, or if shapes differ that must agree. May import `vae` and what is below it.
"""
