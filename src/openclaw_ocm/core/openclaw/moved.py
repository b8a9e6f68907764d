"""What holds the path of an instance's state, and how it follows when the state gets another one.

As measured on OpenClaw 2026.9.6: its config, and columns of its databases. `cron_jobs.store_key` is what cron
jobs are found by; the state of a workspace is kept under the SHA-256 of the workspace's path. Transcripts and
the reports of past runs are history and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import with_value
from openclaw_ocm.core.openclaw.settings import lookup
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_PREFIX = "agents.defaults.sandbox.docker.containerPrefix"
_STATE = ".openclaw-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The state directory as it was called and as it is called now, both absolute."""

    before: PurePosixPath
    after: PurePosixPath

    def __post_init__(self) -> None:
        """Refuse what could not be told apart: what was moved would move once more."""
        for path in (self.before, self.after):
            if not path.is_absolute() or ".." in path.parts or not path.name.startswith(_STATE):
                message = f"{str(path)!r} is no state directory of an instance"
                raise OcmError(message, code="path_invalid")
        if self.before in self.after.parents or self.after in self.before.parents:
            message = f"{self.after} and {self.before} lie one within the other"
            raise OcmError(message, code="path_invalid")

    @property
    def back(self) -> Move:
        """The move that undoes this one."""
        return Move(before=self.after, after=self.before)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The spellings of the path, in full and from the home, as OpenClaw takes it; none where it stays."""
        if self.before == self.after:
            return ()
        written = (str(self.before), str(self.after))
        return written, (f"~/{self.before.name}", f"~/{self.after.name}")


def moved_config(config: dict[str, Any], move: Move) -> dict[str, Any]:
    """Return a config in which every path that lies in the state follows the move."""
    changed = _moved(config, move.pairs)
    prefixes = {
        path.name: f"openclaw-sbx-{path.name.removeprefix(_STATE)}-" for path in (move.before, move.after)
    }
    if lookup(changed, _PREFIX) == prefixes[move.before.name]:
        changed = with_value(changed, _PREFIX, prefixes[move.after.name])
    found: dict[str, Any] = changed
    return found


def _moved(value: object, pairs: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _moved(item, pairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, pairs) for item in value]
    return moved_text(value, pairs) if isinstance(value, str) else value


def moved_text(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Return a text that is the path or begins with it with the new path in its place, any other as it is."""
    for before, after in pairs:
        # With the slash, or .openclaw-w10 would follow .openclaw-w1.
        if text == before or text.startswith(f"{before}/"):
            return after + text[len(before) :]
    return text


# For Node, in the state directory; its request are pairs, each a path before and after. One transaction for
# each database, so that what a kill leaves is done or not, and to run it again is no mistake. Where a row of
# the new path is there already under the same key, the one that moves replaces it. On the way back a database
# that is itself at fault, as one that is damaged, is no hindrance: it did not follow either.
#
# Where it was `restored`, what OpenClaw 2026.9.6 leaves out of its own backups goes too (dist/openclaw-state-
# snapshot-sanitizer): leases, whose owner is a process of another time that may have the PID of one of now,
# and what was queued to be sent, which would be sent once more.
REWRITE = r"""
import { DatabaseSync } from "node:sqlite";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
const { pairs, back, restored } = JSON.parse(fs.readFileSync(0, "utf8"));
const JSON_COLUMNS = [["cron_jobs", "job_json"], ["config_machine_state", "value_json"]];
const KEYS = ["workspace_key", "alias_key"];
const PASSED = ["state_leases", "agent_database_leases", "delivery_queue_entries"];
// Locked, interrupted, out of memory or space: that may pass (sqlite.org/rescode.html).
const PASSING = [5, 6, 7, 9, 10, 13];
const MAGIC = Buffer.from("SQLite format 3\0");

const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const digest = (text) => createHash("sha256").update(text).digest("hex");

function moved(value) {
  if (typeof value === "string") {
    const pair = pairs.find(([before]) => value === before || value.startsWith(before + "/"));
    return pair ? pair[1] + value.slice(pair[0].length) : value;
  }
  if (Array.isArray(value)) return value.map(moved);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, moved(item)]));
  }
  return value;
}

function failed(what, error) {
  process.stderr.write(`${what}: ${error.message}\n`);
  if (!back || PASSING.includes(error.errcode & 0xff)) process.exitCode = 1;
}

function directories(folder) {
  try {
    return fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") failed(folder, error);
    return [];
  }
}

function databases(folder) {
  const files = directories(folder).filter((entry) => entry.isFile() && entry.name.endsWith(".sqlite"));
  return files.map((entry) => path.join(folder, entry.name)).filter((file) => {
    try {
      const descriptor = fs.openSync(file, "r");
      const head = Buffer.alloc(MAGIC.length);
      const length = fs.readSync(descriptor, head, 0, head.length, 0);
      fs.closeSync(descriptor);
      return length === MAGIC.length && head.equals(MAGIC);
    } catch (error) {
      failed(file, error);
      return false;
    }
  });
}

function textColumns(database, table) {
  const columns = database.prepare("select name, type, hidden from pragma_table_xinfo(?)").all(table);
  return columns.filter((column) => column.hidden === 0 && !/^(int|real|blob)/i.test(column.type))
    .map((column) => column.name);
}

function rewriteJson(database, table, column) {
  const name = quoted(column);
  const found = pairs.map(([before]) => before);
  const where = found.map(() => `instr(${name}, ?)`).join(" or ");
  const rows = database.prepare(
    `select distinct ${name} as value from ${quoted(table)} where typeof(${name}) = 'text' and (${where})`
  ).all(...found);
  const update = database.prepare(`update or replace ${quoted(table)} set ${name} = ? where ${name} = ?`);
  for (const { value } of rows) {
    let parsed;
    try {
      parsed = JSON.parse(value);
    } catch {
      continue;
    }
    const text = JSON.stringify(moved(parsed));
    // What JSON.stringify did not write (a number beyond its range, another order) is left as it is.
    if (JSON.stringify(parsed) === value && text !== value) update.run(text, value);
  }
}

function rewriteTexts(database, table, column, keys) {
  const name = quoted(column);
  const inside = `typeof(${name}) = 'text' and (${name} = ? or substr(${name}, 1, ?) = ?)`;
  for (const [before, after] of pairs) {
    const match = [before, [...before].length + 1, before + "/"];
    if (keys !== null) {
      const rows = database.prepare(`select distinct ${name} as value from ${quoted(table)} where ${inside}`);
      for (const { value } of rows.all(...match)) keys.set(digest(value), digest(moved(value)));
    }
    database.prepare(
      `update or replace ${quoted(table)} set ${name} = ? || substr(${name}, ?) where ${inside}`
    ).run(after, [...before].length + 1, ...match);
  }
}

function rewrite(database) {
  const tables = database.prepare(
    "select name from pragma_table_list where schema = 'main' and type = 'table' and name not like 'sqlite%'"
  ).all().map((table) => table.name);
  for (const table of restored ? tables.filter((name) => PASSED.includes(name)) : []) {
    database.exec(`delete from ${quoted(table)}`);
  }
  if (!pairs.length) return;
  const columns = new Map(tables.map((table) => [table, textColumns(database, table)]));
  const keys = new Map();
  for (const [table, names] of columns) {
    for (const column of names) {
      const json = JSON_COLUMNS.some(([one, other]) => one === table && other === column);
      if (json) rewriteJson(database, table, column);
      else if (!column.endsWith("_json")) {
        const hashed = names.some((name) => KEYS.includes(name)) && column.endsWith("_path");
        rewriteTexts(database, table, column, hashed ? keys : null);
      }
    }
  }
  for (const [table, names] of columns) {
    for (const column of names.filter((name) => KEYS.includes(name))) {
      const name = quoted(column);
      const update = database.prepare(
        `update or replace ${quoted(table)} set ${name} = ? where ${name} = ?`
      );
      for (const [before, after] of keys) update.run(after, before);
    }
  }
}

const agents = directories("agents").filter((entry) => entry.isDirectory());
const folders = agents.map((one) => path.join("agents", one.name, "agent"));
for (const file of ["state", ...folders].flatMap(databases)) {
  let database;
  try {
    database = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 10000 });
    database.exec("pragma trusted_schema = off; begin immediate");
    rewrite(database);
    database.exec("commit");
  } catch (error) {
    failed(file, error);
  } finally {
    database?.close();
  }
}
"""
