// Has the databases of a stopped instance follow its state: columns that hold its path get the new one. It runs
// in the instance's sandbox, in the state directory; its request are pairs, each a path before and after. As
// measured on OpenClaw 2026.9.6: `cron_jobs.store_key` is what cron jobs are found by; the state of a workspace
// is kept under the SHA-256 of the workspace's path.
//
// One transaction for each database, so that what a kill leaves is done or not, and to run it again is no
// mistake. Where a row of the new path is there already under the same key, the one that moves replaces it. On
// the way back a database that is itself at fault, as one that is damaged, is no hindrance: it did not follow
// either.
//
// Where it was `restored`, what OpenClaw 2026.9.6 leaves out of its own backups goes too (dist/openclaw-state-
// snapshot-sanitizer): leases, whose owner is a process of another time that may have the PID of one of now,
// and what was queued to be sent, which would be sent once more.
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
