"""Where the proxies write a line for each request that they handed to a release: what the meter reads.

A proxy whose log cannot be opened does not start, and one that cannot count has still to serve. So it writes to a
link of its own, which leads nowhere when the meter's directory is missing.
"""

LOG = "/tmp/access.log"  # noqa: S108 - in a tmpfs of the proxy's own container
_METERED = "/run/meter/access.log"

PREPARE = (
    f"log={_METERED}; (: >>$log) 2>/dev/null || "
    '{ echo "no request is counted: $log cannot be written" >&2; log=/dev/null; }; '
    f"ln -sfn $log {LOG}"
)
"""What a shell does before the proxy starts."""
