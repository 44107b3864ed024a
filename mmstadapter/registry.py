"""Registries of scope ``mmstadapter``, each a child of MMAction2's registry of that name.

Our classes are registered with MMAction2 itself. These children exist for a user who writes
``default_scope = 'mmstadapter'`` or ``_scope_='mmstadapter'``: they look in their parents, so
that every bare name of ours, of MMAction2 and of MMEngine is found, in nested dicts as well.
MMEngine imports this module by its name when it meets the scope.
"""

import mmaction.registry
from mmengine.registry import Registry


def _child_of(parent: Registry) -> Registry:
    """A registry of our scope that imports what its parent would import on first use.

    MMEngine looks a name up in a parent's table without filling that table first, hence the
    same locations here. MMAction2 names a location that does not exist for its functions,
    which MMEngine fills on its own.
    """
    locations = [name for name in parent._locations if name != 'mmaction.mmengine']
    return Registry(parent.name, parent=parent, scope='mmstadapter', locations=locations)


CHILDREN = {
    name: _child_of(registry)
    for name, registry in vars(mmaction.registry).items()
    if isinstance(registry, Registry) and registry.scope == 'mmaction'
}
