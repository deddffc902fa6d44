"""Runs in the toolbox: asks releases whether they are fit, on the path that the proxy will use.

Asks all of them side by side, until each has passed N times in a row, one has failed its deadline, or the
procedure that started it ends it.
"""

from __future__ import annotations

import http.client
import os
import threading
import time

from switchback.events import Event, tell
from switchback.health import Verdict, judge
from switchback.specs import Gate, Target, decode

_ANSWER_WITHIN = 5.0  # seconds for one answer; a slower one is a failed check
_BODY = 256 * 1024  # bytes of an answer that are read
_SAY_EVERY = 5.0  # seconds between two lines about a release that is not fit yet


def main() -> int:
    """Judges the gate in `SWITCHBACK_SPEC`. Exit code 0 when all releases are fit, else 1."""
    gate = decode(os.environ["SWITCHBACK_SPEC"], Gate)
    tell(Event(kind="pid", number=os.getpid()))
    outcome: dict[str, bool] = {}
    threads = [
        threading.Thread(target=_judge_one, args=(target, outcome), daemon=True)
        for target in gate.targets
        if target.port is not None
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0 if all(outcome.get(target.service) for target in gate.targets if target.port is not None) else 1


def _judge_one(target: Target, outcome: dict[str, bool]) -> None:
    probe, began, said = target.probe, time.monotonic(), time.monotonic()
    passes, asked, last = 0, 0, Verdict(fit=False, reasons=("was never asked",))
    while passes < probe.passes:
        left = began + probe.timeout - time.monotonic()
        if left <= 0:
            outcome[target.service] = False
            text = f"not fit within {probe.timeout:g} s ({asked} checks, {passes} of {probe.passes} passes in a row)"
            tell(Event(kind="unfit", service=target.service, text=text, reasons=last.reasons))
            return
        if asked:
            time.sleep(min(probe.interval, left))
        verdict, asked = _ask(target, min(_ANSWER_WITHIN, max(left, 0.05))), asked + 1
        passes = passes + 1 if verdict.fit else 0
        if not verdict.fit:
            last = verdict
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                tell(Event(kind="progress", service=target.service, text=last.reasons[0] if last.reasons else ""))
    outcome[target.service] = True
    tell(Event(kind="fit", service=target.service, text=verdict.version, number=time.monotonic() - began))


def _ask(target: Target, within: float) -> Verdict:
    """One GET of the health path; anything that is no HTTP answer is a failed check with its reason."""
    connection = http.client.HTTPConnection(target.container, target.port, timeout=within)
    try:
        connection.request("GET", target.probe.path, headers={"User-Agent": "switchback-gate"})
        answer = connection.getresponse()
        body = _body(answer, time.monotonic() + within)
    except TimeoutError:
        return Verdict(fit=False, reasons=(f"no complete answer within {within:.3g} s on port {target.port}",))
    except ConnectionRefusedError:
        return Verdict(fit=False, reasons=(f"nothing listens on port {target.port}",))
    except (OSError, http.client.HTTPException) as failed:
        return Verdict(fit=False, reasons=(f"no HTTP answer on port {target.port}: {failed or type(failed).__name__}",))
    finally:
        connection.close()
    return judge(answer.status, body, version=target.version, expect_version=target.probe.expect_version)


def _body(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body, or as much as is read of it; one that never ends, such as a stream of events, is no answer.

    Raises:
        TimeoutError: it did not end in time.
    """
    body = b""
    while len(body) < _BODY and (piece := answer.read1(_BODY - len(body))):
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError
    return body


if __name__ == "__main__":
    raise SystemExit(main())
