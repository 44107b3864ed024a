"""Parameter- and memory-efficient transfer of frozen image models to video, for MMAction2.

Importing the package checks the host packages' versions, mends what is broken in them and
registers every class, so that ``type='mmstadapter.STAdapterViT'`` in a config needs no more.
"""

import pkgutil
from importlib import import_module

from . import host, host_versions
from .version import __version__

host_versions.check_versions()
host.mend()

from . import registry  # noqa: E402

__all__ = ['__version__', 'registry']

for _info in pkgutil.iter_modules(__path__):
    if _info.ispkg:
        _module = import_module(f'{__name__}.{_info.name}')
        globals().update({name: getattr(_module, name) for name in _module.__all__})
        __all__ += _module.__all__
