"""Overfitting and mode drop in GAN training, with every source of randomness under control.

`__init__.pyi` says where each name is. It is imported when first used: torch takes seconds.
"""

import lazy_loader

__version__ = "0.5.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
