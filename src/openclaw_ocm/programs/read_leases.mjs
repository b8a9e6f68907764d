// Prints the leases in the database of an instance, in its sandbox and in its state directory: each a line with
// scope, end and last renewal, in milliseconds since the epoch. As OpenClaw 2026.9.6 keeps them.
import { DatabaseSync } from "node:sqlite";

const MOST = 50;
const database = new DatabaseSync("./state/openclaw.sqlite", { readOnly: true, timeout: 2000 });
const query = "select scope, expires_at, coalesce(heartbeat_at, updated_at) as renewed from state_leases " +
  "where expires_at is not null order by expires_at desc limit ?";
for (const row of database.prepare(query).all(MOST)) {
  console.log(JSON.stringify([row.scope, row.expires_at, row.renewed]));
}
