// Asks the gateway of its pod, on the loopback, and ends with 0 where a field of the answer has a value, else with 1.
// Its arguments: the port, the path, the field and the value. A status of 200 says nothing, for with that and the
// page of its Control UI OpenClaw answers whatever path it does not know (docs/install/kubernetes.md, 2026.9.6).
import http from "node:http";

const [port, path, field, value] = process.argv.slice(1);
const MOST = 64 * 1024;
// Before the cluster gives this up, which not every container runtime then ends.
const PATIENCE_MS = 9_000;

function end(said) {
  // The event in which the cluster tells of it has it.
  if (said !== value) console.log(path, String(said).slice(0, 100));
  process.exit(said === value ? 0 : 1);
}

function fieldOf(text) {
  try {
    return JSON.parse(text)?.[field];
  } catch {
    return "no JSON";
  }
}

const request = http.get({ host: "127.0.0.1", port, path, agent: false }, (response) => {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (part) => {
    text += part;
    if (text.length > MOST) end("an answer that is too long");
  });
  response.on("end", () => end(fieldOf(text)));
  response.on("error", (error) => end(error.code));
});
request.on("error", (error) => end(error.code));
setTimeout(end, PATIENCE_MS, "no answer");
