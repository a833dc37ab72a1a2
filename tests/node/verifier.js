// Runs the page's own verifier over a corpus: one verdict a line, for each case of the file.
"use strict";
const fs = require("node:fs");
const [, , program, corpus] = process.argv;
require(program);
const { verify, verifyConsistency, fromBase64 } = globalThis.gatelodgeProof;

async function judge(each) {
  if (each.then) {
    const tree = (told) => ({ size: told.size, root: fromBase64(told.root, "root") });
    try {
      await verifyConsistency(tree(each.then), tree(each.now), each.path.map((text) => fromBase64(text, "hash")));
      return "VERIFIED";
    } catch (fault) { return fault.verdict ?? "fault " + fault; }
  }
  if (each.without) {
    const whole = globalThis.crypto.subtle.importKey;
    globalThis.crypto.subtle.importKey = () => { throw new Error("NotSupportedError"); };
    try { return (await verify(each)).verdict; } finally { globalThis.crypto.subtle.importKey = whole; }
  }
  const consistency = async () => { if (!each.grown) throw new Error("none"); return each.grown; };
  return (await verify({ ...each, consistency })).verdict;
}

(async () => {
  for (const text of fs.readFileSync(corpus, "utf8").split("\n")) {
    if (text) console.log(await judge(JSON.parse(text)));
  }
})();
