"""A verdict on a GAN's training from the log that it left, whoever wrote it: `ganstoch watch`."""
