"""nginx's locations: which release a request is handed to. Pure.

Directives of the rewrite module run in their order, and a fixed `proxy_pass` in the branch that holds costs less than
one with a variable. What is looked up is small files, relative to the directory that nginx works in.
"""

from __future__ import annotations

from switchback.proxies import nginx_holding, nginx_maintenance
from switchback.proxies.routing import Entry
from switchback.proxies.shares import BUCKET, COOKIE, COOKIE_ATTRIBUTES, NEXT, SHARE
from switchback.specs import Features, Target

PORT, PROBE_PORT = 8080, 2020

_ONLY_INSIDE = f"""\
            if ($server_port != {PROBE_PORT}) {{
                return 404;
            }}
"""
_PASSED_ON = """\
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_connect_timeout 3s;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            proxy_next_upstream off;
            add_header X-Switchback-Upstream $switchback_upstream always;
"""
SHARE_MAPS = f"""\
    # A client's bucket: what its cookie says, or else what it draws now and is told to keep.
    map $cookie_{COOKIE} $switchback_kept {{
        ~{BUCKET} $cookie_{COOKIE};
        default   '';
    }}
    map $request_id $switchback_drawn {{
        ~^(?<switchback_digits>..) $switchback_digits;
    }}
    map $switchback_kept $switchback_draw {{
        ''      $switchback_drawn;
        default $switchback_kept;
    }}
    map "$server_port $switchback_kept" $switchback_told {{
        "{PORT} " "{COOKIE}=$switchback_drawn; {COOKIE_ATTRIBUTES}";
        default '';
    }}
"""


def marker(service: str, container: str) -> str:
    """The file whose presence says that this release of the service takes the traffic."""
    return f"{service}@{container}"


def locations(entry: Entry, targets: list[Target], features: Features) -> str:
    """The locations of a path prefix by whole segments: `/api` takes `/api` and `/api/x`, not `/apish`."""
    closing = nginx_maintenance.check(entry, targets[0].probe.path) if features.maintenance else ""
    holding = nginx_holding.check(entry.service, PORT) if features.holder else ""
    body = closing + holding + proxied(entry.service, targets, features)
    if entry.path == "/":
        return f"        location / {{\n{body}        }}\n"
    return (
        f"        location = {entry.path} {{\n{body}        }}\n"
        f"        location ^~ {entry.path}/ {{\n{body}        }}\n"
    )


def inner(by_service: dict[str, list[Target]], digest: str, features: Features) -> str:
    """What only the inner port answers: which configuration runs, and the way to a release before it is pointed to."""
    ways = "".join(
        f"        location = /.switchback/next/{service} {{\n{_ONLY_INSIDE}{_rehearsed(service, targets, features)}"
        "        }\n"
        for service, targets in sorted(by_service.items())
    )
    told = nginx_maintenance.told(_ONLY_INSIDE) if features.maintenance else ""
    return f"""\
        location = /.switchback/config {{
{_ONLY_INSIDE}            return 200 "{digest}";
        }}
{told}{ways}"""


def proxied(service: str, targets: list[Target], features: Features) -> str:
    """Hands the request to the release that the pointer names; the first branch that holds is the last looked at."""
    first = _branches(f"pointer/current/{service}", targets)
    # Between two looks the pointer may have been renamed, from what comes later in the list to what came before.
    again = first if len(targets) > 1 else ""
    if features.shares:
        first = _share(service) + _branches(f"pointer/current/{service}$switchback_next", targets)
        again = _branches(f"pointer/current/{service}", targets)
    told = "            add_header Set-Cookie $switchback_cookie always;\n" if features.shares else ""
    return f'{first}{again}            return 503 "No release of {service} takes traffic.\\n";\n{_PASSED_ON}{told}'


def _branches(file: str, targets: list[Target]) -> str:
    return "".join(
        f"""\
            if (-f {marker(file, target.container)}) {{
                proxy_pass http://{target.container};
                break;
            }}
"""
        for target in _ordered(targets)
    )


def _share(service: str) -> str:
    """While a release has a share: whether this client goes to it, and the cookie that says so next time."""
    share = f"pointer/current/{service}{SHARE}"
    return f"""\
            set $switchback_bucket '';
            set $switchback_cookie '';
            set $switchback_next '';
            if (-d {share}) {{
                set $switchback_bucket $switchback_draw;
                set $switchback_cookie $switchback_told;
            }}
            if (-f {share}/$switchback_bucket) {{
                set $switchback_next {NEXT};
            }}
"""


def _rehearsed(service: str, targets: list[Target], features: Features) -> str:
    """Asks the release under the pointer that is about to be for its health, or the incoming one where there is one.

    A path of its own can't stand in a branch, so the release is chosen by a variable.
    """
    files = [f"{service}{NEXT}", service] if features.shares else [service]
    choices = "".join(
        f"""\
            if (-f pointer/next/{marker(file, target.container)}) {{
                set $switchback_target {target.container};
                break;
            }}
"""
        for file in files
        for target in _ordered(targets)
    )
    return f"""\
            set $switchback_target '';
{choices}\
            if ($switchback_target = '') {{
                return 503 "No release of {service} takes traffic.\\n";
            }}
            proxy_pass http://$switchback_target{targets[0].probe.path};
{_PASSED_ON}"""


def _ordered(targets: list[Target]) -> list[Target]:
    return sorted(targets, key=lambda target: target.container)
