// What runs this, by whatever name it was called: for `node --print`.
JSON.stringify({
  node: process.release.name === "node" && !process.versions.bun && !process.versions.electron,
  version: process.versions.node,
  path: process.execPath,
});
