from .base import CREDITS as CREDITS
from .base import SHARP as SHARP
from .base import SOURCES as SOURCES
from .base import Ask as Ask
from .base import Batch as Batch
from .base import Connection as Connection
from .base import credit as credit
from .base import event_id as event_id
