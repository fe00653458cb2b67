"""Providers of odds and results: an answer becomes tidy tables, and what could not be read is set aside with its place."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
