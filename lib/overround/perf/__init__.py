"""What the library costs: two revisions or settings in turns, and what is unusual today."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
