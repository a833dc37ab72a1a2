// A script of a package that turned against the gate: tries what targets.json names, and tells of it.
const fs = require("fs");
const net = require("net");
const targets = JSON.parse(fs.readFileSync("targets.json"));

function below(folder, depth) {
  let text = "";
  for (const each of fs.readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}/${each.name}`;
    try {
      if (each.isDirectory() && depth) text += below(path, depth - 1);
      else if (each.isFile() && fs.statSync(path).size < 1 << 20) text += fs.readFileSync(path);
    } catch { /* closed */ }
  }
  return text;
}

function connect(where) {
  return new Promise((done, failed) => {
    const plug = net.connect(where, () => { plug.destroy(); done(); });
    plug.on("error", failed);
  });
}

function findWords() {
  const home = process.env.HOME;
  const seen = JSON.stringify(process.env) + below(home, 2) + fs.readFileSync("/proc/self/environ");
  if (!targets.words.some((each) => seen.includes(each))) throw new Error("none");
}

const attempts = {
  data: () => fs.readFileSync(targets.secret),
  home: () => fs.readdirSync(targets.home),
  root: () => fs.readdirSync("/"),
  words: findWords,
  process: () => fs.readFileSync(`/proc/${targets.victim}/environ`),
  signal: () => process.kill(targets.victim, 0),
  plug: () => connect({ path: targets.plug }),
  network: () => connect({ host: "127.0.0.1", port: targets.port }),
  system: () => fs.writeFileSync("/usr/written-by-script", "x"),
};

async function main() {
  const reached = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try { await attempt(); reached.push(name); } catch { /* not this way */ }
  }
  const status = fs.readFileSync("/proc/self/status", "utf8");
  const found = [...status.matchAll(/^Cap\w+:\s+(\w+)/gm)].map((each) => parseInt(each[1], 16));
  const told = { reached, uid: process.getuid(), capabilities: [...new Set(found)] };
  fs.writeFileSync("made.json", JSON.stringify(told));
}

main();
