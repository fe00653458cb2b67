from .collector import collect as collect
from .poll_times import gaps as gaps
from .poll_times import observations as observations
from .poll_times import regularity as regularity
from .poll_times import spans as spans
from .poller import Polled as Polled
from .poller import poll as poll
from .quota import plan as plan
