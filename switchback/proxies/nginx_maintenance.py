"""nginx's part of maintenance: the variables, the check before a release is chosen, and the answer. Pure."""

from __future__ import annotations

from switchback.proxies.maintenance import CONTENT_TYPE, FILE, FOLDER, open_path
from switchback.proxies.routing import Entry
from switchback.specs import Maintenance

_PIECE = 2000  # bytes of the page in one word of the configuration, of which nginx reads at most 4,096
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "$": "${switchback_dollar}"}


def variables(maintenance: Maintenance, port: int) -> str:
    """For the `http` block. The address is the connection's own: no header can claim another."""
    allowed = "".join(f"        {network} 1;\n" for network in maintenance.allow)
    pieces = _pieces(maintenance.page)
    named = "".join(
        f"    map '' $switchback_page_{number} {{\n        default \"{piece}\";\n    }}\n"
        for number, piece in enumerate(pieces)
    )
    whole = "".join(f"$switchback_page_{number}" for number in range(len(pieces)))
    return f"""\
    # Who is turned away while the file {FOLDER}/{FILE} is there, and with what.
    geo $switchback_allowed {{
        default 0;
{allowed}    }}
    map "$server_port $switchback_allowed" $switchback_stranger {{
        "{port} 0" 1;
        default '';
    }}
    geo $switchback_dollar {{
        default $;
    }}
{named}    map '' $switchback_page {{
        default "{whole}";
    }}
"""


def check(entry: Entry, health: str) -> str:
    """For a location: a stranger's request goes to the page, unless it asks for the service's health."""
    path = open_path(entry, health)
    refused = f"^1(?!{path})" if path else "^1"
    return f"""\
            set $switchback_closed '';
            if (-f {FOLDER}/{FILE}) {{
                set $switchback_closed "$switchback_stranger$request_uri";
            }}
            if ($switchback_closed ~ "{refused}") {{
                rewrite ^ /.switchback/closed last;
            }}
"""


def page(maintenance: Maintenance) -> str:
    """For a `server` block: the answer, which nobody can ask for."""
    return f"""\
        location = /.switchback/closed {{
            internal;
            default_type "{CONTENT_TYPE}";
            add_header Retry-After {maintenance.retry_after} always;
            add_header Cache-Control no-store always;
            return 503 $switchback_page;
        }}
"""


def told(only_inside: str) -> str:
    """For the `server` block of any host: whether it is on, as the proxy sees it."""
    return f"""\
        location = /.switchback/maintenance {{
{only_inside}            if (-f {FOLDER}/{FILE}) {{
                return 200 "on";
            }}
            return 200 "off";
        }}
"""


def _pieces(text: str) -> list[str]:
    """A text as words of the configuration, each short enough for nginx."""
    pieces = [""]
    for character in text:
        escaped = _ESCAPES.get(character, character)
        if len(pieces[-1].encode()) + len(escaped.encode()) > _PIECE:
            pieces.append("")
        pieces[-1] += escaped
    return pieces
