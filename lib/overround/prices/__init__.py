"""What prices say: odds formats, margins, fair probabilities, references, closing lines, movement."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
