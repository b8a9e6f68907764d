"""Says what SQLite finds wrong with a copy of a database, and nothing where it finds nothing.

The arguments are the copy's address, `file:///...`, how many bytes of memory and seconds of CPU time the
check may take, and whether a restore `changes` it. A limit that ends the check ends the process. The answer
is ASCII on one line.
"""

from __future__ import annotations

import resource
import sqlite3
import sys


def problem_of(address: str, *, changes: bool) -> str:
    """Return what is wrong with the database at a `file:` address, an empty text where nothing is.

    One that `changes` must take a change as well, which has its triggers run.
    """
    try:
        # immutable: SQLite then reads this file and nothing beside it.
        database = sqlite3.connect(address + "?mode=ro&immutable=1", uri=True)
        database.text_factory = bytes
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if changes:
            compile_changes(database)
    except MemoryError:
        return "to check it takes more memory than any does"
    except (sqlite3.Error, OverflowError) as error:
        return str(error)[:1000]
    return "" if answer == b"ok" else str(answer[:1000], errors="replace")


def compile_changes(database: sqlite3.Connection) -> None:
    """Have SQLite compile a change to each table, and run none; raise its error for unknown functions."""
    tables = database.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    for (table,) in tables.fetchall():
        columns = database.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,))
        assigned = ", ".join(f"{quoted(column)} = {quoted(column)}" for (column,) in columns)
        for change in ("UPDATE {table} SET {assigned}", "DELETE FROM {table}"):
            try:
                database.execute("EXPLAIN " + change.format(table=quoted(table), assigned=assigned))
            except sqlite3.Error as error:
                # A module that is not there is no fault: OpenClaw brings its own.
                if str(error).startswith("no such function"):
                    raise


def quoted(name: bytes) -> str:
    """Return a name as SQL has it."""
    text = name.decode(errors="replace").replace('"', '""')
    return f'"{text}"'


def main() -> None:
    """Print the answer within the limits."""
    address, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    sys.stdout.write(ascii(problem_of(address, changes=sys.argv[4] == "changes"))[1:-1])


if __name__ == "__main__":
    main()
