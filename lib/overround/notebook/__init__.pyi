from .widgets import sliders as sliders
