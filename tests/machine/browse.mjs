// Has a headless Chromium open an address, and tells what came of it as JSON in a file.
//
//     node browse.mjs FILE ADDRESS     FILE gets { address, text, asked, processes }
//
// `address` and `text` are the page's once it knows whether it is let in, `asked` is what the browser was given,
// and `processes` are the arguments of all processes that can be seen meanwhile.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

const [file, asked] = process.argv.slice(2);
const BROWSER = "chromium-headless-shell";
const SECONDS = 60;
// What the Control UI says when it is in, asks for a secret, or for an approval (OpenClaw 2026.9.6).
const KNOWN = /Skip to main content|Gateway secret|Approve this browser|origin not allowed/;
const LOOK = "JSON.stringify({ address: location.href, text: document.body?.innerText ?? '' })";

const profile = mkdtempSync(`${file}.profile-`);
const flags = ["--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`];
const browser = spawn(BROWSER, [...flags, "about:blank"], {
  stdio: ["ignore", "ignore", "pipe"],
  env: { ...process.env, HOME: profile },
  // A group of its own: what it starts besides goes on writing when it alone is killed.
  detached: true,
});

function listening() {
  return new Promise((found, lost) => {
    let said = "";
    browser.stderr.on("data", (data) => {
      said += data;
      const match = said.match(/DevTools listening on (ws:\S+)/);
      if (match) found(match[1]);
    });
    browser.on("error", lost);
    browser.on("exit", () => lost(new Error(said)));
  });
}

async function connect(address) {
  const socket = new WebSocket(address);
  const waiting = new Map();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(data);
    waiting.get(id)?.(result);
    waiting.delete(id);
  };
  await new Promise((opened, lost) => Object.assign(socket, { onopen: opened, onerror: lost }));
  return (method, params, sessionId) =>
    new Promise((answered) => {
      last += 1;
      waiting.set(last, answered);
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
}

function processes() {
  const found = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      found.push(readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
    } catch {
      // It has ended, or is hidden.
    }
  }
  return found;
}

async function look() {
  const ask = await connect(await listening());
  const { targetId } = await ask("Target.createTarget", { url: asked });
  const { sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true });
  const deadline = Date.now() + SECONDS * 1000;
  let page = { address: "", text: "" };
  while (!KNOWN.test(page.text) && Date.now() < deadline) {
    await new Promise((waited) => setTimeout(waited, 200));
    const answer = await ask("Runtime.evaluate", { expression: LOOK, returnByValue: true }, sessionId);
    page = answer?.result?.value ? JSON.parse(answer.result.value) : page;
  }
  return { ...page, asked, processes: processes() };
}

let told;
try {
  told = await look();
} catch (error) {
  told = { address: "", text: String(error), asked, processes: [] };
}
writeFileSync(`${file}.new`, JSON.stringify(told));
renameSync(`${file}.new`, file);
const ended = new Promise((exited) => (browser.exitCode === null ? browser.once("exit", exited) : exited()));
try {
  process.kill(-browser.pid, "SIGKILL");
} catch {
  // It never was, or has ended.
}
if (browser.pid) await ended;
rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
process.exit(0);
