"""Holding requests: while a file on the shared volume says so, each waits for a word of the holder's. Pure.

The proxies ask the holder, a small server in the toolbox that runs only while something is held, and choose the
release after its word. A request's body stays unread until then.
"""

FOLDER, FILE = "hold", "on"  # on the volume; looked at for every request
PORT = 2021  # of the holder, on the environment's network
LONGEST = 30.0  # seconds that a hold may last
PATIENCE = 35  # seconds after which a proxy goes on without the holder's word
GO_ON, TOO_MANY = 204, 403  # what the holder says; nginx's auth_request knows no 503
RETRY_AFTER = 1  # seconds
FULL = "Too many requests are waiting.\n"
