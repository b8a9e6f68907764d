// Prints what came since a moment into the transcripts of the agents in the state directory, in the sandbox of
// its instance: for each agent a line with its name, how many messages, and in how many sessions, null where
// they cannot be counted. The last line is `["end"]`. Its request is `since`, in milliseconds since the epoch.
// As OpenClaw 2026.9.6 keeps them (docs/reference/session-management-compaction).
import { DatabaseSync } from "node:sqlite";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const MOST = 1000;
const QUERY = "select count(*) as messages, count(distinct session_id) as sessions from transcript_events " +
  "where created_at > ? and json_valid(event_json) and json_extract(event_json, '$.type') = 'message'";
const { since } = JSON.parse(fs.readFileSync(0, "utf8"));

function count(file) {
  const address = pathToFileURL(path.resolve(file));
  // Without a log SQLite would make one beside it.
  if (!fs.existsSync(`${file}-wal`)) address.searchParams.set("immutable", "1");
  const database = new DatabaseSync(address, { readOnly: true, timeout: 5000 });
  try {
    database.exec("pragma trusted_schema = off");
    const { messages, sessions } = database.prepare(QUERY).get(since);
    return [messages, sessions];
  } finally {
    database.close();
  }
}

const agents = fs.existsSync("agents") ? fs.readdirSync("agents").sort().slice(0, MOST) : [];
for (const agent of agents) {
  const file = path.join("agents", agent, "agent", "openclaw-agent.sqlite");
  try {
    if (fs.lstatSync(file).isFile()) console.log(JSON.stringify([agent, ...count(file)]));
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") console.log(JSON.stringify([agent, null, null]));
  }
}
console.log(JSON.stringify(["end"]));
