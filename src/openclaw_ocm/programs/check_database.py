"""Says what SQLite finds wrong with copies of databases, and nothing where it finds nothing.

The arguments are how many bytes of memory and how many seconds of CPU time the checks may take. Each line
that is read has the seconds that one more adds, whether a restore `changes` it or `keeps` it as it is, and
the copy's address, `file:///...`: a limit that ends a check ends the process. Each answer is a line of ASCII;
where a check took all memory it is `memory`, and the last.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import sys


def opened(address: str) -> sqlite3.Connection:
    """Return a database, opened with suspicion."""
    database = sqlite3.connect(address, uri=True, isolation_level=None)
    database.text_factory = bytes
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    return database


def is_sound(empty: sqlite3.Connection, address: str) -> bool:
    """Tell whether a database is sound for sure: within another one, which takes a third of the time."""
    try:
        empty.execute("ATTACH ? AS one", (address,))
        (answer,) = empty.execute("PRAGMA one.integrity_check(1)").fetchone()
        empty.execute("DETACH one")
    except (sqlite3.Error, OverflowError, MemoryError):
        return False
    return bool(answer == b"ok")


def problem_of(address: str, *, changes: bool) -> str:
    """Return what is wrong with the database at an address, an empty text where nothing is.

    One that `changes` must take a change as well, which has its triggers run.
    """
    try:
        with contextlib.closing(opened(address)) as database:
            (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if changes:
                compile_changes(database)
    except MemoryError:
        return "memory"
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
    """Answer each line within the limits."""
    memory, left = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    empty = opened("file::memory:")
    for line in sys.stdin:
        more, kind, address = line.split()
        # immutable: SQLite then reads this file and nothing beside it.
        address += "?mode=ro&immutable=1"
        left += float(more)
        # Its signal is not handled and ends the process, wherever it is.
        signal.setitimer(signal.ITIMER_PROF, left)
        problem = ""
        if kind == "changes" or not is_sound(empty, address):
            empty.close()
            problem, empty = problem_of(address, changes=kind == "changes"), opened("file::memory:")
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(f"{ascii(' '.join(problem.split()))[1:-1]}\n")
        sys.stdout.flush()
        if problem == "memory":
            break


if __name__ == "__main__":
    main()
