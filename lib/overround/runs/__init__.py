"""Notebooks as steps: parameters, execution, records, what is kept and what is made again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
