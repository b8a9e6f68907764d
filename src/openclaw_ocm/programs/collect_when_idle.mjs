// Loaded before OpenClaw by its gateway: gives memory back to the system once the gateway rests.
// V8 collects as it allocates: what a start or a turn left stays as long as nothing more is asked of it.
import { performance } from "node:perf_hooks";
import v8 from "node:v8";
import vm from "node:vm";
import { isMainThread } from "node:worker_threads";

const EVERY_MS = 15_000;
// Of the time since the last look; a gateway that nobody asks for anything uses one percent.
const BUSY = 0.1;
// A collection takes a third of a second: not for less than this.
const WORTH_BYTES = 24 * 2 ** 20;

let before = performance.eventLoopUtilization();
let kept = 0;

function look() {
  const now = performance.eventLoopUtilization();
  const { utilization } = performance.eventLoopUtilization(now, before);
  before = now;
  if (utilization < BUSY && v8.getHeapStatistics().total_heap_size > kept + WORTH_BYTES) {
    collect();
    kept = v8.getHeapStatistics().total_heap_size;
  }
}

function collect() {
  // No script of OpenClaw's is to find gc(), and V8 hashes its flags into what it compiles.
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  gc({ type: "major", execution: "sync", flavor: "last-resort" });
}

if (isMainThread) setInterval(look, EVERY_MS).unref();
