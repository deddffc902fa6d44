"""`make down`: removes what the demo made, and nothing else."""

from __future__ import annotations

from demo.stack import CONFIG, RESULT, STACK, exists, pulumi


def main() -> int:
    """Destroys the stack and forgets it. Can be run again."""
    if not exists():
        print(f"There is no stack {STACK}: nothing to remove.")
        return 0
    for words in (("destroy", "--yes"), ("stack", "rm", "--yes")):
        ran = pulumi(*words)
        if ran.returncode != 0:
            print(f"{ran.stdout}\nThe demo was not removed; mend what is said above and run `make down` again.")
            return 1
    CONFIG.unlink(missing_ok=True)
    RESULT.unlink(missing_ok=True)
    print("The demo's containers, volumes, network and stack are removed.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
