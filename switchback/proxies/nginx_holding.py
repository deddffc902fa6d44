"""nginx's part of holding requests: named locations, because a release is chosen in the first phase of each. Pure."""

from __future__ import annotations

from switchback.proxies.holding import FILE, FOLDER, FULL, PATIENCE, RETRY_AFTER

_HELD = 490  # a status of our own, which nobody sees


def check(service: str, port: int) -> str:
    """For a location: on the public port, a request waits first."""
    return f"""\
            set $switchback_held '';
            if (-f {FOLDER}/{FILE}) {{
                set $switchback_held $server_port;
            }}
            if ($switchback_held = {port}) {{
                return {_HELD};
            }}
            error_page {_HELD} = @switchback_hold_{service};
            recursive_error_pages on;
"""


def places(holder: str, releases: dict[str, str]) -> str:
    """For a `server` block: where requests wait, and where they go on.

    Args:
        holder: Its address.
        releases: Service to what a location does that hands a request to its release.
    """
    ways = "".join(
        f"""\
        location @switchback_hold_{service} {{
            auth_request /.switchback/hold;
            error_page 403 =503 @switchback_hold_full;
            # The holder is dead, or silent for too long.
            error_page 500 = @switchback_released_{service};
            try_files /.switchback/none @switchback_released_{service};
        }}
        location @switchback_released_{service} {{
{body}        }}
"""
        for service, body in sorted(releases.items())
    )
    full = FULL.replace("\n", "\\n")
    return f"""\
{ways}\
        location @switchback_hold_full {{
            add_header Retry-After {RETRY_AFTER} always;
            return 503 "{full}";
        }}
        location = /.switchback/hold {{
            internal;
            # By a variable, the name is looked up when it is needed: the toolbox may be younger than the proxy.
            set $switchback_holder {holder};
            proxy_pass http://$switchback_holder;
            resolver_timeout 2s;
            proxy_pass_request_body off;
            proxy_pass_request_headers off;
            proxy_set_header Content-Length '';
            proxy_connect_timeout 1s;
            proxy_read_timeout {PATIENCE}s;
            proxy_next_upstream off;
        }}
"""
