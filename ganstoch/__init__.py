"""Overfitting and mode drop in GAN training, with every source of chance in hand."""

__version__ = "0.3.0"
