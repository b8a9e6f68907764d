// Copies databases in an instance's own sandbox: it starts in the state directory and reads the directory that
// it is to make, and paths below the state. Each line that it prints says what became of one of them.
//
// SQLite is never let near a live database outside: what lies beside one, the instance decides, and a journal
// there may name any file for SQLite to delete.
//
// `backup` of node:sqlite (Node 24) with more pages a step than any database has: what it copies is then one
// moment of the database, however it is written to. It waits for the disk several times, which thousands of
// small ones would make hours: those are taken by `serialize`, where Node has it, as of one moment too. What it
// cannot read it takes for zeros, so all is read once before. They follow one another in a file, `small`, for a
// file system may take longer to make and remove thousands of files than SQLite takes to read them.
//
// A reader cannot open a database whose last writer was killed in the middle; one that may write can, and mends
// it. Names begin with ./ for `file:` begins a URI.
import {
  fstatSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync,
} from "node:fs";
import { relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { backup, DatabaseSync } from "node:sqlite";

const NOT_A_DATABASE = 26;
const SMALL = 4194304;
const PAGES = SMALL / 4096;
const SHOWN = 300;
// Longer than what a registry or a path has: an instance writes what it likes.
const TOLD = 1000;
const PLUGINS = 200;
const OWN = "./state/openclaw.sqlite";
// For all that fail together: an instance can make any number that stay locked, or are damaged.
let patience = 120000;
const { into, paths } = JSON.parse(readFileSync(0, "utf8"));
for (const name of readdirSync(".")) {
  if (/^\.ocm-backup-[0-9a-f]{16}$/.test(name)) {
    try { rmSync(name, { recursive: true, force: true }); } catch {}
  }
}
mkdirSync(into, { mode: 0o700 });
const small = openSync(`${into}/small`, "ax", 0o600);

// Before SQLite opens it: to close a file gives up all locks that a process has on it.
function isRead(path) {
  for (const name of [path, `${path}-wal`]) {
    const found = statSync(name, { throwIfNoEntry: false });
    if (found === undefined) continue;
    if (!found.isFile() || found.size > SMALL) return false;
    readFileSync(name);
  }
  return true;
}

// Returns where in `small` the copy lies, null where it is a file of its own.
async function copy(path, target, readOnly) {
  const wasRead = isRead(path);
  const source = new DatabaseSync(path, { readOnly, timeout: patience > 0 ? 5000 : 0 });
  try {
    // What is in `-wal` may say that there are more pages than the files explain.
    if (wasRead && source.serialize && source.prepare("pragma page_count").get().page_count <= PAGES) {
      const data = source.serialize();
      const offset = fstatSync(small).size;
      if (path !== OWN) {
        writeFileSync(small, data);
        return [offset, data.length];
      }
      writeFileSync(target, data, { mode: 0o600 });
    } else {
      await backup(source, target, { rate: 2147483647 });
    }
    return null;
  } finally {
    source.close();
  }
}

async function attempt(path, target) {
  let problem;
  for (const readOnly of [true, false, true, true]) {
    const began = performance.now();
    try {
      if (problem !== undefined) rmSync(target, { force: true });
      return { problem: null, place: await copy(path, target, readOnly) };
    } catch (error) {
      problem = String(error.message).slice(0, SHOWN);
      if ((error.errcode & 0xff) === NOT_A_DATABASE || patience <= 0) break;
      await sleep(500);
      patience -= performance.now() - began;
    }
  }
  return { problem };
}

// Each time that something is printed may take the processor from here.
const TOGETHER = 2048;
let said = "";
for (const [index, path] of paths.entries()) {
  let late = 60000;
  try { late += statSync(path).size / 2000; } catch {}
  const answer = await Promise.race([
    attempt(path, `${into}/${index}`),
    sleep(late, { problem: "it stays locked" }, { ref: false }),
  ]);
  said += JSON.stringify({ index, ...answer }) + "\n";
  if (said.length > TOGETHER || index === paths.length - 1) {
    process.stdout.write(said);
    said = "";
  }
}

// What OpenClaw 2026.9.6 keeps of the plugins that it installed, in the copy of its own database: those below
// the state, as paths from there. They are no part of a backup, and OpenClaw or a person installs them again.
function plugins(copied) {
  const database = new DatabaseSync(copied, { readOnly: true });
  try {
    const row = database.prepare("select value_json from config_machine_state where state_key = ?")
      .get("plugins.installedIndex");
    const records = Object.entries(JSON.parse(row.value_json).index.installRecords).slice(0, PLUGINS);
    return records.map(([name, record]) => ({
      name,
      package: record.spec,
      version: record.resolvedVersion ?? record.version ?? "",
      path: relative(process.cwd(), record.installPath),
    })).filter((plugin) => Object.values(plugin).every((text) => String(text).length <= TOLD));
  } finally {
    database.close();
  }
}

try {
  const index = paths.indexOf(OWN);
  if (index >= 0) process.stdout.write(JSON.stringify({ plugins: plugins(`${into}/${index}`) }) + "\n");
} catch {
  // A database that holds nothing of the kind, as that of a gateway that never ran.
}
process.exit(0);
