"""Figures of one look: each takes our tables and returns a `Picture`, with words for readers who cannot see.

They know tables, never a source.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
