"""Data larger than memory: a function of one league and season at a time, here, in processes or on Dask."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
