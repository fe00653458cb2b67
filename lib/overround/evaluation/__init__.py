"""What a ledger is worth: edge, luck, closing-line value, robustness, comparison, correction for search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
