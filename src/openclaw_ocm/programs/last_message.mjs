// Prints when the last message came to each agent in the state directory or went from it, in the sandbox of its
// instance: for each agent a line with its name and that in milliseconds since the epoch, null where none is among
// its last events, false where they cannot be read. The last line is `["end"]`. Its request is an empty object.
// As OpenClaw 2026.9.6 keeps them (docs/reference/session-management-compaction).
import { DatabaseSync } from "node:sqlite";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const MOST = 1000;
const LAST = "select created_at, event_json from transcript_events order by rowid desc limit 2000";
const QUERY = `select max(created_at) as last from (${LAST}) ` +
  "where json_valid(event_json) and json_extract(event_json, '$.type') = 'message'";
fs.readFileSync(0);

function last(file) {
  const address = pathToFileURL(path.resolve(file));
  // Without a log SQLite would make one beside it.
  if (!fs.existsSync(`${file}-wal`)) address.searchParams.set("immutable", "1");
  const database = new DatabaseSync(address, { readOnly: true, timeout: 1000 });
  try {
    database.exec("pragma trusted_schema = off");
    return database.prepare(QUERY).get().last;
  } finally {
    database.close();
  }
}

const agents = fs.existsSync("agents") ? fs.readdirSync("agents").sort().slice(0, MOST) : [];
for (const agent of agents) {
  const file = path.join("agents", agent, "agent", "openclaw-agent.sqlite");
  try {
    if (fs.lstatSync(file).isFile()) console.log(JSON.stringify([agent, last(file)]));
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") console.log(JSON.stringify([agent, false]));
  }
}
console.log(JSON.stringify(["end"]));
