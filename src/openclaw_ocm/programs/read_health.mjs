// Asks the gateway of its pod, on the loopback, and prints one line of JSON: what it said by path, or a `problem`.
// Its arguments: the port, how many milliseconds all of it may take, and the paths. The answers are the instance's
// own, and for who reads them to judge.
import http from "node:http";

const [port, patience, ...paths] = process.argv.slice(1);
const MOST = 64 * 1024;

function end(said) {
  process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(0));
}

function ask(path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: "127.0.0.1", port, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        text += part;
        if (text.length > MOST) reject(new Error("too long"));
      });
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    request.on("error", reject);
  });
}

setTimeout(end, Number(patience), { problem: "ETIMEDOUT" });
try {
  const said = {};
  for (const path of paths) said[path] = JSON.parse(await ask(path));
  end(said);
} catch (error) {
  end({ problem: error.code ?? error.name });
}
