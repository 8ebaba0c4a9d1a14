"""How close a generator is to its data, and how much of the data it reaches.

Needs nothing of our trainer: give it images. `__init__.pyi` says where each name is. It is imported
when first used: torchmetrics alone takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
