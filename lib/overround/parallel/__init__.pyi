from .partitions import map_partitions as map_partitions
from .partitions import partition_sizes as partition_sizes
