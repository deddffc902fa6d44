"""What was seen of an environment: pure data, which the declared side may read. Looking is `observe.py`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from switchback.pointer import whole
from switchback.proxies.maintenance import FILE, FOLDER
from switchback.record import Record
from switchback.specs import Target

LABEL = "switchback."  # prefix of the labels on every container that Switchback makes
ENVIRONMENT = f"{LABEL}environment"
MARK = f"{LABEL}made"  # used once, for every container that the program declares
IMAGE = f"{LABEL}image"  # the id of the image that it was made from
PARTS = frozenset({"proxy", "toolbox", "database"})
SET_ASIDE = re.compile(r"-replaced-[0-9]{14}\Z")  # of the name of what had taken another container's name


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the Engine's list of containers: less than an inspection, but all of them in one call."""

    name: str
    id: str
    status: str  # created, running, restarting, exited, paused, dead
    labels: dict[str, str]
    ports: tuple[tuple[str, int], ...]  # published: host address, host port
    image_id: str = ""  # what it was made from
    networks: tuple[str, ...] = ()
    restarted_at: float = 0.0  # unix time of the Engine's clock; 0 when it was never stopped, or not looked at

    def label(self, key: str) -> str:
        """What one of our own labels says; empty where it is not there."""
        return self.labels.get(f"{LABEL}{key}", "")

    def as_target(self, like: Target) -> Target:
        """This release as a target, and for the rest like another release of its service."""
        return msgspec.structs.replace(
            like,
            container=self.name,
            slot=self.label("slot"),
            release=self.label("release"),
            version=self.label("tag"),
        )

    @property
    def replaced(self) -> str:
        """Why a container with the environment's label is none that Switchback made, or empty when it is one."""
        made = self.labels.get(IMAGE)
        if made and made != self.image_id:
            return f"it runs image {short(self.image_id)}, not {short(made)} as it was made"
        return "" if self.label("part") or self.label("service") else "it was not made by Switchback"


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """What the shared volume says: the files of the pointer, and the digest of the proxy's configuration."""

    current: dict[str, str] = {}
    verified: dict[str, str] = {}
    config_current: str = ""
    config_verified: str = ""
    config_contents: dict[str, str] | None = None  # file to SHA-256, of what config_current is; None: not looked at
    running: str | None = None  # the digest that the proxy itself answers with; None: not asked
    verified_at: float = 0.0  # unix time of the last verified switch; 0 when there is none
    maintenance: bool = False  # users are turned away, so far as the proxy knows of maintenance

    def points_to(self, pointer: Mapping[str, str]) -> bool:
        """Whether the proxy consults exactly this pointer, and it was verified."""
        return self.current == pointer and self.verified == pointer

    def has_config(self, digest: str) -> bool:
        """Whether the proxy's configuration is the one with this digest, and it was verified."""
        return self.config_current == digest and self.config_verified == digest

    def edited(self, file: str, text: str) -> bool:
        """Whether the file of the proxy's configuration holds another text than was written to it."""
        return self.config_contents is not None and self.config_contents.get(file) != digest_of(text.encode())


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one environment."""

    containers: dict[str, Seen]  # the environment's own, by name
    links: Links
    foreign_ports: dict[tuple[str, int], str]  # host address and port -> container of anything else that publishes it
    toolbox_image: str = ""  # the id of the toolbox image as it is now; empty when the Engine has none
    record: Record = Record()
    strangers: dict[str, str] = {}  # a container that took the name of one of the environment's, and why it is none
    now: float = 0.0  # unix time of the Engine's clock; 0 when it was not asked

    def running(self, container: str) -> bool:
        """Whether a container of the environment runs (one that restarts again and again does not)."""
        seen = self.containers.get(container)
        return seen is not None and seen.status == "running"

    def restarted(self, container: str) -> bool:
        """Whether a container that runs was started again after the last switch was verified."""
        seen = self.containers.get(container)
        if seen is None or seen.label("part") == "toolbox":
            return False  # nothing is verified of a toolbox
        # What seems to come from the future was started before the clock was set back.
        return 0 < self.links.verified_at < seen.restarted_at <= self.now

    def part(self, part: str) -> Seen | None:
        """The proxy, the toolbox or the database, so far as it exists."""
        return next((seen for seen in self.containers.values() if seen.label("part") == part), None)

    def pointed(self) -> dict[str, str]:
        """Service to the container that the proxy's pointer names, whichever proxy wrote it."""
        return pointed_in(self.links.current)


def pointed_in(files: Mapping[str, str]) -> dict[str, str]:
    """Service to the container that has its traffic, but for what only has a share of it.

    Caddy reads the content, an address; nginx looks at the name, `service@container`, whatever the content says.
    """
    return {
        (named := file.partition("@"))[0]: named[2] or address.strip().partition(":")[0]
        for file, address in whole(files).items()
    }


def digest_of(content: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def short(image_id: str) -> str:
    """The first digits of an image's id, as `docker images` shows it."""
    return image_id.removeprefix("sha256:")[:12]


def read_links(tree: Mapping[str, bytes]) -> Links:
    """What a tree of the volume (path to content, a link's content being `-> target`) says."""

    def target(link: str) -> str:
        return tree.get(link, b"").decode(errors="replace").removeprefix("-> ").strip("/")

    def files(link: str) -> dict[str, str]:
        folder = f"pointer/{target(link)}/"
        return {
            path.removeprefix(folder): content.decode(errors="replace")
            for path, content in tree.items()
            if path.startswith(folder)
        }

    def digest(link: str) -> str:
        # An emptied or deleted file is no configuration, whatever the link says.
        folder = f"config/{target(link)}/"
        return target(link) if any(p.startswith(folder) and content for p, content in tree.items()) else ""

    def contents(link: str) -> dict[str, str]:
        folder = f"config/{target(link)}/"
        return {
            path.removeprefix(folder): digest_of(content)
            for path, content in tree.items()
            if target(link) and path.startswith(folder)
        }

    moment = re.match(r"[0-9]{1,12}\.[0-9]{3}-", target("pointer/verified"))
    return Links(
        current=files("pointer/current"),
        verified=files("pointer/verified"),
        config_current=digest("config/current"),
        config_verified=digest("config/verified"),
        config_contents=contents("config/current") or None,
        verified_at=float(moment[0][:-1]) if moment else 0.0,
        maintenance=f"{FOLDER}/{FILE}" in tree,
    )
