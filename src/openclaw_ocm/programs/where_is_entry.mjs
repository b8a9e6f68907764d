// Tells which program Node was to run, whoever started it, and has it not run: for `node --import`.
import { realpathSync } from "node:fs";

process.stdout.write(`${JSON.stringify({ entry: realpathSync(process.argv[1] ?? "/") })}\n`);
process.exit(0);
