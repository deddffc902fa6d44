"""What the service is told by its environment, faults included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What is to go wrong, so that a test causes a fault for real. Times in seconds; None is never."""

    fail_health: bool = False  # FAIL_HEALTH: 503 with a failing check
    health_plain: bool = False  # HEALTH_PLAIN: an endpoint that only says "ok"
    flap: bool = False  # FLAP: every second health request fails
    hang_health: bool = False  # HANG_HEALTH: a health request is never answered
    report_version: str = ""  # REPORT_VERSION: health says this version
    exit_at_start: bool = False  # EXIT_AT_START: exit code 3 before listening
    start_delay: float = 0.0  # START_DELAY: how long until it listens
    answer_delay: float = 0.0  # ANSWER_DELAY: how long a page takes; /health is not slowed down
    error_share: float = 0.0  # ERROR_SHARE: how many of the pages are HTTP 500, from 0 to 1; /health is not
    crash_after: float | None = None  # CRASH_AFTER: exit code 3 this long after listening
    eat_memory: bool = False  # EAT_MEMORY: takes memory until the kernel ends it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The service's settings. `version` is built into the image; `foo` stands for any setting of a release."""

    name: str = "demo"
    version: str = "dev"
    port: int = 8080
    slot: str = ""
    foo: str = ""
    database_url: str = field(default="", repr=False)  # holds a password
    faults: Faults = Faults()

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Reads the settings.

        Raises:
            ValueError: a number is none; the message names the variable.
        """
        return cls(
            name=env.get("SERVICE_NAME", "demo"),
            version=env.get("VERSION", "dev"),
            port=int(_number(env, "PORT", 8080)),
            slot=env.get("SWITCHBACK_SLOT") or env.get("SLOT", ""),
            foo=env.get("FOO", ""),
            database_url=env.get("DATABASE_URL", ""),
            faults=Faults(
                fail_health=_switch(env, "FAIL_HEALTH"),
                health_plain=_switch(env, "HEALTH_PLAIN"),
                flap=_switch(env, "FLAP"),
                hang_health=_switch(env, "HANG_HEALTH"),
                report_version=env.get("REPORT_VERSION", ""),
                exit_at_start=_switch(env, "EXIT_AT_START"),
                start_delay=_number(env, "START_DELAY", 0.0),
                answer_delay=_number(env, "ANSWER_DELAY", 0.0),
                error_share=_number(env, "ERROR_SHARE", 0.0),
                crash_after=_number(env, "CRASH_AFTER", 0.0) if env.get("CRASH_AFTER") else None,
                eat_memory=_switch(env, "EAT_MEMORY"),
            ),
        )


def _switch(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").lower() not in _FALSE


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number") from None
