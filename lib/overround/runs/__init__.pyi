from . import history as history
from . import profile_files as profile_files
from .parameters import check_here as check_here
from .reproduce import rebuild as rebuild
from .run import Run as Run
from .runner import run_pipeline as run_pipeline
from .steps import Outcome as Outcome
from .steps import Step as Step
