"""What a day brought, compared with the day and the week before: market, collection, signals, machine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
