"""Says what SQLite finds wrong with a copy of a database, and nothing where it finds nothing.

The arguments are the copy's address, `file:///...`, and how many bytes of memory and seconds of CPU time the
check may take: a limit that ends it ends the process. The answer is ASCII on one line.
"""

from __future__ import annotations

import resource
import sqlite3
import sys


def problem_of(address: str) -> str:
    """Return what is wrong with the database at a `file:` address, an empty text where nothing is."""
    try:
        # immutable: SQLite then reads this file and nothing beside it.
        database = sqlite3.connect(address + "?mode=ro&immutable=1", uri=True)
        database.text_factory = bytes
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except MemoryError:
        return "to check it takes more memory than any does"
    except (sqlite3.Error, OverflowError) as error:
        return str(error)[:1000]
    return "" if answer == b"ok" else str(answer[:1000], errors="replace")


def main() -> None:
    """Print the answer within the limits."""
    address, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    sys.stdout.write(ascii(problem_of(address))[1:-1])


if __name__ == "__main__":
    main()
