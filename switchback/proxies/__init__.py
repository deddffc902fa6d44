"""The proxies that Switchback knows, each a module with the same names."""

from types import ModuleType

from switchback.proxies import caddy, nginx

DRIVERS: dict[str, ModuleType] = {"caddy": caddy, "nginx": nginx}
