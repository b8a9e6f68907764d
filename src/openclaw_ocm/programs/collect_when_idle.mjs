// Loaded before OpenClaw by its gateway: gives memory back to the system once the gateway rests.
// V8 collects as it allocates: what a start or a turn left stays as long as nothing more is asked of it.
import { performance } from "node:perf_hooks";
import v8 from "node:v8";
import vm from "node:vm";
import { isMainThread } from "node:worker_threads";

const EVERY_MS = 15_000;
// Of the time since the last look; a gateway that nobody asks for anything uses one percent.
const BUSY = 0.1;
// Who waits for a model is about to go on: one rests who had nothing to do at so many looks in a row.
const LOOKS = 2;
// All stands still meanwhile, a third of a second or more: not for less than this, ...
const WORTH_BYTES = 24 * 2 ** 20;
// ... nor for longer than one or two seconds: what is in use takes the time, and V8 collects by itself too.
const MOST_BYTES = 768 * 2 ** 20;
// A conversation leaves something each time. So many times what a collection took there is no other one.
const APART = 200;

let before = performance.eventLoopUtilization();
let rested = 0;
let kept = 0;
let next = 0;

function look() {
  const now = performance.eventLoopUtilization();
  const { utilization } = performance.eventLoopUtilization(now, before);
  before = now;
  rested = utilization < BUSY ? rested + 1 : 0;
  const began = performance.now();
  if (rested < LOOKS || began < next) return;
  const { total_heap_size: size, used_heap_size: used } = v8.getHeapStatistics();
  if (size <= kept + WORTH_BYTES || used > MOST_BYTES) return;
  collect();
  kept = v8.getHeapStatistics().total_heap_size;
  next = performance.now() + APART * (performance.now() - began);
}

function collect() {
  // No script of OpenClaw's is to find gc(), and V8 hashes its flags into what it compiles.
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  gc({ type: "major", execution: "sync", flavor: "last-resort" });
}

if (isMainThread) setInterval(look, EVERY_MS).unref();
