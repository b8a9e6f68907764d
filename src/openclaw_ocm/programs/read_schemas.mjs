// Prints the version of each database of OpenClaw's in the state directory, in the sandbox of its instance: each
// a line with kind, agent and `user_version`, null where it cannot be read. The last line is `["end"]`.
import { DatabaseSync } from "node:sqlite";
import fs from "node:fs";
import path from "node:path";

const MOST = 1000;
const MAGIC = Buffer.from("SQLite format 3\0");
const PLACE = 60;

function versionOf(file) {
  // Without a log the file says it, and SQLite, which would make one beside it, is not asked.
  if (!fs.existsSync(`${file}-wal`)) {
    const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
    try {
      const head = Buffer.alloc(PLACE + 4);
      if (fs.readSync(descriptor, head, 0, head.length, 0) === 0) return 0;
      if (!head.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error("it is no database");
      return head.readUInt32BE(PLACE);
    } finally {
      fs.closeSync(descriptor);
    }
  }
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  try {
    return database.prepare("pragma user_version").get().user_version;
  } finally {
    database.close();
  }
}

function tell(kind, agent, file) {
  try {
    if (fs.lstatSync(file).isFile()) console.log(JSON.stringify([kind, agent, versionOf(file)]));
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") console.log(JSON.stringify([kind, agent, null]));
  }
}

tell("state", null, "state/openclaw.sqlite");
const agents = fs.existsSync("agents") ? fs.readdirSync("agents").sort().slice(0, MOST) : [];
for (const agent of agents) tell("agent", agent, path.join("agents", agent, "agent", "openclaw-agent.sqlite"));
console.log(JSON.stringify(["end"]));
