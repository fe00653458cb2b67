"""Versioned tables of odds, results and runs, in a folder or on an object store."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
