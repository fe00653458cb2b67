"""From a source into the store, once or continuously; and when prices were polled."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
