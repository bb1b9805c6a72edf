"""The plugin manager: discover, order, validate, freeze, explain.

* `_discover`: which plugins are installed (entry points), without importing them.
* `_inspect`: what is wrong with a plugin object, said so that its author can mend it.
* `_listing`: what a deployment lists, brought to one form.
* `_configure`: one plugin's start: options, instance, strategies.
* `_load`: from what a deployment lists to configured, checked instances.
* `_chain`: the frozen, compiled hooks of one strategy: plain tuples of bound functions.
* `_manager`: `Plugins`, which ties them together.
"""

from rbee_scheduler._plugins._chain import Call, Chain
from rbee_scheduler._plugins._discover import GROUP, InstalledPlugin, installed_plugins
from rbee_scheduler._plugins._listing import PluginSource
from rbee_scheduler._plugins._manager import Plugins
from rbee_scheduler._plugins._records import PluginConfig, PluginInfo


__all__ = [
    "GROUP",
    "Call",
    "Chain",
    "InstalledPlugin",
    "PluginConfig",
    "PluginInfo",
    "PluginSource",
    "Plugins",
    "installed_plugins",
]
