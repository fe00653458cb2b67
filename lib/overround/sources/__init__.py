"""Providers of odds and results: answers become tidy tables, what is unreadable is set aside."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
