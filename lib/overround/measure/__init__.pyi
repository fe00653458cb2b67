from .meter import Meter as Meter
from .meter import cost_table as cost_table
from .paired import Change as Change
from .paired import compare as compare
from .paired import compare_all as compare_all
from .paired import largest as largest
from .paired import significant_first as significant_first
from .sampler import call_table as call_table
