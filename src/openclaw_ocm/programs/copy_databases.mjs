// Copies databases in an instance's own sandbox: it starts in the state directory and reads the directory that
// it is to make, and paths below the state. Each line that it prints says what became of one of them.
//
// SQLite is never let near a live database outside: what lies beside one, the instance decides, and a journal
// there may name any file for SQLite to delete.
//
// `backup` of node:sqlite (Node 24) with more pages a step than any database has: what it copies is then one
// moment of the database, however it is written to. A reader cannot open a database whose last writer was
// killed in the middle; one that may write can, and mends it. Names begin with ./ for `file:` begins a URI.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { backup, DatabaseSync } from "node:sqlite";

const NOT_A_DATABASE = 26;
const { into, paths } = JSON.parse(readFileSync(0, "utf8"));
for (const name of readdirSync(".")) {
  if (/^\.ocm-backup-[0-9a-f]{16}$/.test(name)) {
    try { rmSync(name, { recursive: true, force: true }); } catch {}
  }
}
mkdirSync(into, { mode: 0o700 });

async function copy(path, target, readOnly) {
  const source = new DatabaseSync(path, { readOnly, timeout: 5000 });
  try {
    await backup(source, target, { rate: 2147483647 });
  } finally {
    source.close();
  }
}

async function attempt(path, target) {
  let problem;
  for (const readOnly of [true, false, true, true]) {
    try {
      rmSync(target, { force: true });
      await copy(path, target, readOnly);
      return null;
    } catch (error) {
      problem = String(error.message);
      if ((error.errcode & 0xff) === NOT_A_DATABASE) break;
      await sleep(500);
    }
  }
  return problem;
}

for (const [index, path] of paths.entries()) {
  let late = 60000;
  try { late += statSync(path).size / 2000; } catch {}
  const problem = await Promise.race([
    attempt(path, `${into}/${index}`),
    sleep(late, "it stays locked", { ref: false }),
  ]);
  process.stdout.write(JSON.stringify({ index, problem }) + "\n");
}
process.exit(0);
