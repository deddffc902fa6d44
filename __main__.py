"""Switchback: wiring only. Settings in, a look at what runs, the environment declared, outputs out."""

from functools import partial

import msgspec
import pulumi

from components.database import DATABASE
from components.deployment import Deployment, DeploymentArgs
from components.differences import differences, secret_names
from components.functional_gate import gate_images
from components.gone import remake_what_is_gone, taken_names
from components.image import recipes
from components.lean import keep_lean
from components.leftovers import CONTAINER, NETWORK, before_making
from components.names import part_name
from components.schema_contract import judge_contracts, schema_query
from components.settings import SettingsError, read_settings
from components.targets import as_made, declared, image_key, image_of, wanted_images
from switchback.database import embedded_url, look_at_schema
from switchback.docker_host import Engine
from switchback.errors import EngineError
from switchback.lease import in_the_way
from switchback.leftovers import remove_leftover_container, remove_leftover_network
from switchback.locks import lock_notices
from switchback.observe import observe, values_of
from switchback.preflight import image_labels, look_for_images, moved_tags, port_problem

settings, environment = read_settings(), pulumi.get_stack()
for sentence in lock_notices(pulumi.get_project(), environment):
    pulumi.log.warn(sentence)
releases = declared(settings, environment)

try:
    engine = Engine()
    seen = observe(engine, environment, settings.toolbox.image)
    releases = as_made(releases, seen)
    needed = wanted_images(settings, environment, releases.desired, seen)
    tested = gate_images(settings, releases.desired, seen)
    found = look_for_images(engine, needed | tested, recipes(settings, releases.desired))
    asked = schema_query(settings, lambda: embedded_url(engine, environment, DATABASE))
    schema, unknown = look_at_schema(engine, environment, seen, asked)
    spare = wanted_images(settings, environment, releases.standby, seen)
    labels = image_labels(engine, {**needed, **spare}.values() if asked else ())
    judged = judge_contracts(settings, releases, seen, schema, unknown, labels)
    problems = [*found.problems.values(), *judged.refused]
    if settings.proxy.kind != "none":
        proxy, own = part_name(environment, "proxy"), settings.proxy
        problems.append(port_problem(engine, seen, proxy, own.address, own.http_port))
    if any(problems):
        raise SettingsError([problem for problem in problems if problem])

    # A standby release that cannot be made is no reason to refuse the way back: it stays out, and is named.
    only_spare = {key: image for key, image in spare.items() if key not in needed}
    not_found = look_for_images(engine, only_spare, recipes(settings, releases.standby))
    moved = moved_tags(engine, seen, {t: image_of(settings, t) for t in (*releases.desired, *releases.standby)})
    held = values_of(engine, secret_names(settings, releases, seen))
except EngineError as failed:
    raise pulumi.RunError(
        f"{failed}\nNothing was changed; what serves still serves. Start Docker, or set DOCKER_HOST, and run it again."
    ) from None
if busy := in_the_way(seen.record.lease):
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"{busy}\nNothing was changed; what serves still serves. Wait for it, or end it.")
    pulumi.log.warn(busy)
for key, sentence in found.to_build.items():
    if pulumi.runtime.is_dry_run():  # in an update, the build speaks for itself
        pulumi.log.warn(f"{key}: {sentence}")
for sentence in not_found.problems.values():
    pulumi.log.warn(f"{sentence}; the standby slot goes without it, so a switch to it would be refused")
for key, sentence in not_found.to_build.items():
    pulumi.log.warn(f"{key}: {sentence} when it shall take the traffic; until then the standby slot goes without it")
for sentence in [*judged.said, *moved, *taken_names(seen, environment, releases)]:
    pulumi.log.warn(sentence)
for difference in differences(settings, releases, seen, held):
    (pulumi.log.warn if difference.active else pulumi.log.info)(difference.sentence)
absent = not_found.problems.keys() | not_found.to_build.keys()
there = tuple(target for target in releases.standby if image_key(target) not in absent)

keep_lean()
before_making(
    {
        CONTAINER: partial(remove_leftover_container, environment),
        NETWORK: partial(remove_leftover_network, environment),
    }
)
remake_what_is_gone(seen.containers)
deployment = Deployment(
    environment,
    DeploymentArgs(
        settings=settings,
        declared=msgspec.structs.replace(releases, standby=there),
        seen=seen,
        to_build={t.container: why for t in releases.desired if (why := found.to_build.get(image_key(t)))},
        images_missing=found.missing | not_found.missing,
    ),
)

pulumi.export("activeSlot", settings.active_slot)
pulumi.export("live", deployment.live)
pulumi.export("releases", deployment.releases)
pulumi.export("schema", msgspec.to_builtins(schema))
pulumi.export("services", deployment.services)
pulumi.export("url", deployment.url)
