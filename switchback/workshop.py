"""The door to the Docker Engine for building an image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docker.utils.build import tar

from switchback.docker_host import Engine
from switchback.errors import EngineError


class Workshop(Engine):
    """A connection to the same Engine, on which images are built."""

    def build(
        self,
        context: Path,
        *,
        dockerfile: str,
        tag: str,
        args: Mapping[str, str],
        labels: Mapping[str, str],
        within: float,
        on_output: Callable[[bytes], None],
    ) -> str:
        """Builds an image as `docker build` does, leaving out what `.dockerignore` says.

        Args:
            context: The directory.
            dockerfile: Path from there.
            tag: What the image is called when all has gone well, and not before.
            args: Build arguments.
            labels: Labels of the image.
            within: Seconds. A build that is not done by then ends with this process's connection.
            on_output: Called with what the build says, from another thread.

        Returns:
            Why it failed; empty when it did not.
        """
        wrong: list[str] = []
        ignoring = context / ".dockerignore"
        lines = ignoring.read_text(errors="replace").splitlines() if ignoring.is_file() else []
        exclude = [line.strip() for line in lines if line.strip() and not line.startswith("#")]

        def work() -> None:
            try:
                packed: Any = tar(context, exclude=exclude, dockerfile=(dockerfile, None))
                with packed, self._readable(f"build {tag}", must_exist=True):
                    for said in self._api.build(
                        fileobj=packed,
                        custom_context=True,
                        dockerfile=dockerfile,
                        tag=tag,
                        buildargs=dict(args),
                        labels=dict(labels),
                        rm=True,
                        forcerm=True,
                        decode=True,
                        timeout=int(within) + 1,
                    ):
                        on_output(str(said.get("stream", "")).encode())
                        if "error" in said:
                            wrong.append(str(said["error"]).strip())
            except (EngineError, OSError) as failed:
                wrong.append(str(failed))

        working = threading.Thread(target=work, daemon=True)
        working.start()
        working.join(within)
        return f"not done within {within:g} s" if working.is_alive() else "; ".join(wrong)
