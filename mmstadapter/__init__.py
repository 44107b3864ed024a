"""Parameter- and memory-efficient transfer of frozen image models to video, for MMAction2.

Importing the package checks the host packages' versions, repairs what is broken in them and
registers every class, so that ``type='mmstadapter.STAdapterViT'`` in a config needs no more.
"""

# ruff: noqa: E402, F403  (the repairs come first; what is public is each sub-package's __all__)

import gc

was_enabled = gc.isenabled()
gc.disable()  # what is imported stays: looking through it takes half a second

from . import host, host_versions
from .version import __version__

host_versions.check_versions()
host.mend()

from . import (
    apis,
    datasets,
    engine,
    evaluation,
    exporting,
    models,
    registry,
    search,
    sharing,
    streams,
    weights,
)
from .apis import *
from .datasets import *
from .engine import *
from .evaluation import *
from .exporting import *
from .models import *
from .search import *
from .sharing import *
from .streams import *

if was_enabled:
    gc.enable()
del gc, was_enabled

__all__ = ['__version__', 'apis', 'datasets', 'engine', 'evaluation', 'models', 'registry']
__all__ += ['search', 'sharing', 'streams', 'weights']
__all__ += apis.__all__ + datasets.__all__ + engine.__all__ + evaluation.__all__ + models.__all__
__all__ += search.__all__ + sharing.__all__ + streams.__all__ + exporting.__all__
