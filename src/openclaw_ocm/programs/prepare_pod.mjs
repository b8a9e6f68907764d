// Runs before the gateway of a pod, by its Node and as its user, and makes what that is to find in its volumes: the
// directories for temporary files, sticky as OpenClaw wants them, one for ~/.cache, and the state, with the first
// config where there is none. Its arguments: the roots of the two volumes and, where there is one, the config.
// What is there is the instance's own to write: nothing of it is followed or replaced.
import fs from "node:fs";
import path from "node:path";

const [scratch, volume, config] = process.argv.slice(1);

function directory(place, mode) {
  try {
    fs.mkdirSync(place);
  } catch (error) {
    if (error.code !== "EEXIST" || !fs.lstatSync(place).isDirectory()) throw error;
  }
  // Not by mkdir(2), from which the umask takes.
  fs.chmodSync(place, mode);
}

function seed(place, data) {
  if (fs.lstatSync(place, { throwIfNoEntry: false })) return;
  // Where the instance sees nothing.
  const half = path.join(volume, "first-config");
  fs.rmSync(half, { force: true });
  const file = fs.openSync(half, "wx", 0o600);
  try {
    fs.writeFileSync(file, data);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  fs.renameSync(half, place);
}

directory(path.join(scratch, "tmp"), 0o1777);
directory(path.join(scratch, "var-tmp"), 0o1777);
directory(path.join(scratch, "cache"), 0o700);
const state = path.join(volume, "state");
directory(state, 0o700);
if (config) seed(path.join(state, "openclaw.json"), fs.readFileSync(config));
