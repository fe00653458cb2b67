from .store import Appended as Appended
from .store import Store as Store
