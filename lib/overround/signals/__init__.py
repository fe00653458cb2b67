"""The bets of a strategy, from information known at the time and nothing later."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
