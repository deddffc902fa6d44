"""A procedure as a command resource: constant command text, the specification on standard input."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pulumi
from pulumi_command import local

# What unlocks the stack's secrets is no business of a gate or a switch, but a command inherits the environment of
# `pulumi`; a variable can be overridden there, not removed.
_SCRUBBED = dict.fromkeys(
    ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG"), ""
)


def procedure(
    name: str,
    kind: str,
    spec: pulumi.Input[str],
    *,
    due: str | None,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> local.Command:
    """Declares that a procedure runs when, and only when, reality differs from the declaration.

    Args:
        name: Logical name.
        kind: Which procedure, a constant of the program's.
        spec: Its specification as JSON text.
        due: Why it has to run, shown in the preview; None when what runs is what is declared, and then nothing
            about the resource changes. (Of a resource that does not exist yet, every run is due.)
        parent: The component it belongs to.
        depends_on: What has to be done before.
    """
    # Pulumi knows no "run this now", only "an input changed": a trigger that is never the same twice says now.
    # The observed state itself as the trigger would miss the second time that the same thing goes wrong.
    reason = f"{due or 'first run'} [{uuid.uuid4().hex[:8]}]"
    command = local.Command(
        name,
        create=f"exec python -m switchback {kind}",
        environment=_SCRUBBED,
        stdin=spec,
        triggers=[reason],
        logging=local.Logging.STDOUT,  # standard error is the report of a failure, and comes with the error
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[*depends_on], ignore_changes=["*"] if due is None else None
        ),
    )
    if due is not None:
        # What a command prints is shown while it runs, and gone afterwards; a warning has to stay on the screen.
        command.stdout.apply(lambda said: _tell(said, command))
    return command


def upkeep(name: str, kind: str, spec: pulumi.Input[str], *, parent: pulumi.Resource) -> local.Command:
    """Declares that a procedure runs once, and again whenever its specification changes."""
    return local.Command(
        name,
        create=f"exec python -m switchback {kind}",
        environment=_SCRUBBED,
        stdin=spec,
        logging=local.Logging.STDOUT,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _tell(said: str, about: pulumi.Resource) -> None:
    warns = any(line.startswith("Warning:") for line in said.splitlines())
    (pulumi.log.warn if warns else pulumi.log.info)(said.removeprefix("Warning: "), about)
