"""Hosts and paths, asked of real proxies: every request goes to the service with the longest path that fits."""

from __future__ import annotations

import pytest

from tests.integration.world import World, web

pytestmark = pytest.mark.integration

ROUTES = {
    "web": [{"path": "/"}, {"host": "shop.example.com", "path": "/"}],
    "api": [{"path": "/api"}, {"host": "api.example.com", "path": "/v1.0/"}],
    "admin": [{"host": "*.example.com", "path": "/admin"}],
}
WANTED = {
    ("elsewhere.org", "/"): "web",
    ("elsewhere.org", "/api"): "api",
    ("elsewhere.org", "/api/x?y=1"): "api",
    ("elsewhere.org", "/%61pi"): "api",
    ("elsewhere.org", "//api/x"): "api",
    ("elsewhere.org", "/apish"): "web",  # whole segments
    ("elsewhere.org", "/API"): "web",  # as written
    ("api.example.com", "/v1.0"): "api",
    ("api.example.com:8080", "/v1.0/x"): "api",
    ("API.example.com", "/v1.0"): "api",
    ("api.example.com", "/v1x0"): "web",  # a dot is a dot
    ("api.example.com", "/admin"): "admin",  # a host's other paths go to the wildcard that covers it
    ("other.example.com", "/admin/x"): "admin",
    ("a.other.example.com", "/admin"): "web",  # a wildcard stands for one label
    ("example.com", "/admin"): "web",
    ("shop.example.com", "/api"): "api",
}


def test_E1_every_request_finds_its_service(world: World) -> None:
    world.config["services"] = {name: web(routes=routes, env={"SERVICE_NAME": name}) for name, routes in ROUTES.items()}
    world.must_up()
    asked = {where: world.get(where[1], where[0])[1].get("service") for where in WANTED}
    assert asked == WANTED
    # Without a service for all else, what is left is the proxy's own answer.
    del world.config["services"]["web"]
    world.must_up()
    assert world.get("/", "elsewhere.org")[0] == 404
    assert world.get("/x", "api.example.com")[0] == 404
    assert world.get("/api", "elsewhere.org")[1]["service"] == "api"
