from . import daily as daily
from .page import render_index as render_index
from .page import render_run as render_run
