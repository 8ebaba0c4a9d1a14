"""Training: the GAN, its average, micro-batches and ranks."""
