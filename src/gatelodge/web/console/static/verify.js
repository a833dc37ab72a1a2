// The second verifier of proofs: written apart from the one in Python, after the same texts
// (RFC 6962 2.1, C2SP signed-note, tlog-checkpoint and tlog-proof, RFC 8032, RFC 8785).
// It asks nothing and keeps nothing: bytes go in, steps and a verdict come out.
"use strict";

(() => {
  const HEADER = "c2sp.org/tlog-proof@v1";
  const MOST_TEXT = 4 * 1024 * 1024;
  const MOST_PATH = 63;
  const MOST_SIGNATURES = 64;
  const ED25519 = 1;
  const FIELD = (1n << 255n) - 19n;
  // The y of the points that verify what nobody signed (RFC 8032 5.1).
  const SMALL_ORDER = new Set([0n, 1n, FIELD - 1n,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826n,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7n]);
  const utf8 = new TextEncoder();

  class Judged extends Error {
    constructor(verdict, reason) { super(reason); this.verdict = verdict; }
  }
  const refuse = (reason) => { throw new Judged("NOT VERIFIED", reason); };
  const unsure = (reason) => { throw new Judged("UNVERIFIABLE", reason); };

  const join = (...parts) => {
    const made = new Uint8Array(parts.reduce((sum, each) => sum + each.length, 0));
    let at = 0;
    for (const each of parts) { made.set(each, at); at += each.length; }
    return made;
  };
  const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

  function fromBase64(text, what) {
    let bytes;
    try { bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)); } catch { refuse(what + " is not base64"); }
    // `atob` takes spaces and bits that are left over: of two spellings one is refused.
    if (toBase64(bytes) !== text) refuse(what + " is not in the one spelling of base64");
    return bytes;
  }

  function hashOf(text, what) {
    const bytes = fromBase64(text, what);
    if (bytes.length !== 32) refuse(what + " is not 32 bytes long");
    return bytes;
  }

  function numberOf(text, what) {
    if (!/^(0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(Number(text))) refuse(what + " is no plain number");
    return Number(text);
  }

  const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const leafHash = (body) => sha256(join([0], body));
  const nodeHash = (left, right) => sha256(join([1], left, right));

  // Numbers above 2^31 are no matter for `>>`: sizes are halved by division.
  const half = (number) => Math.floor(number / 2);
  const odd = (number) => number % 2 === 1;

  // RFC 9162 2.1.3.2: the root to which the path leads, and each step on the way.
  async function climb(leaf, index, size, path) {
    if (!(index >= 0 && index < size)) refuse("the place lies outside the tree");
    let at = index, last = size - 1, top = leaf;
    const steps = [];
    for (const sibling of path) {
      if (last === 0) refuse("the path is too long");
      if (odd(at) || at === last) {
        top = await nodeHash(sibling, top);
        steps.push({ side: "left", sibling, top });
        while (!odd(at) && at !== 0) { at = half(at); last = half(last); }
      } else {
        top = await nodeHash(top, sibling);
        steps.push({ side: "right", sibling, top });
      }
      at = half(at);
      last = half(last);
    }
    if (last !== 0) refuse("the path is too short");
    return { root: top, steps };
  }

  // RFC 9162 2.1.4.2: throws unless the tree of `now` begins with the tree of `then`.
  async function verifyConsistency(then, now, path) {
    if (then.size > now.size) refuse("the log has become smaller");
    if (then.size === now.size) {
      if (path.length) refuse("the proof is too long");
      if (!same(then.root, now.root)) refuse("one size has two roots: the log forked");
      return;
    }
    if (then.size < 1) refuse("nothing was remembered");
    let at = then.size - 1, last = now.size - 1;
    while (odd(at)) { at = half(at); last = half(last); }
    const nodes = at === 0 ? [then.root, ...path] : [...path];
    if (!nodes.length) refuse("the proof is too short");
    let older = nodes[0], newer = nodes[0];
    for (const sibling of nodes.slice(1)) {
      if (last === 0) refuse("the proof is too long");
      if (odd(at) || at === last) {
        older = await nodeHash(sibling, older);
        newer = await nodeHash(sibling, newer);
        while (!odd(at) && at !== 0) { at = half(at); last = half(last); }
      } else {
        newer = await nodeHash(newer, sibling);
      }
      at = half(at);
      last = half(last);
    }
    if (last !== 0) refuse("the proof is too short");
    if (!same(older, then.root) || !same(newer, now.root)) refuse("the log does not begin with what was seen of it before");
  }

  function only(value, names, what) {
    if (value === null || typeof value !== "object" || Array.isArray(value)) refuse(what + " is no object");
    const found = Object.keys(value);
    if (found.length !== names.length || !names.every((name) => found.includes(name))) refuse(what + " has other fields");
  }

  function parseFile(text) {
    if (text.length > MOST_TEXT) unsure("the file is larger than 4 MiB");
    let value;
    try { value = JSON.parse(text); } catch { refuse("the file is no JSON"); }
    // Written anew and compared: so no name stands twice, and every byte of the file counts.
    if (JSON.stringify(value) !== text && JSON.stringify(value, null, 1) + "\n" !== text) refuse("the file is not as a gate writes it");
    only(value, ["v", "t", "log", "leaves", "checkpoint"], "the file");
    if (value.t !== "gatelodge-proof" || value.v !== 1) unsure("the file is of another kind or version");
    if (typeof value.log !== "string" || typeof value.checkpoint !== "string" || !Array.isArray(value.leaves)) refuse("the file is not in its form");
    if (!value.leaves.length) refuse("the file proves no leaf");
    for (const each of value.leaves) {
      only(each, ["index", "leaf", "proof"], "a leaf");
      if (!Number.isSafeInteger(each.index) || typeof each.leaf !== "string" || typeof each.proof !== "string") refuse("a leaf is not in its form");
    }
    if (new Set(value.leaves.map((each) => each.index)).size !== value.leaves.length) refuse("two leaves claim one place");
    return value;
  }

  const checkedText = (text, what) => {
    if (/[\x00-\x09\x0b-\x1f]/.test(text)) refuse(what + " holds a control character");
    if (!text.endsWith("\n")) refuse(what + " lacks its last newline");
    return text;
  };

  function parseNote(text) {
    checkedText(text, "the checkpoint");
    const blank = text.lastIndexOf("\n\n");
    if (blank < 0) refuse("the checkpoint bears no signature");
    const lines = text.slice(blank + 2, -1).split("\n");
    if (lines.length > MOST_SIGNATURES || new Set(lines).size !== lines.length) refuse("the checkpoint repeats a signature");
    const signatures = lines.map((line) => {
      const parts = /^\u2014 ([^\s+]+) ([^ ]+)$/.exec(line);
      if (!parts) refuse("a line after the checkpoint is no signature");
      const bytes = fromBase64(parts[2], "a signature");
      if (bytes.length < 5) refuse("a signature is too short");
      return { name: parts[1], id: hex(bytes.slice(0, 4)), bytes: bytes.slice(4) };
    });
    const signed = text.slice(0, blank + 1);
    const [origin, size, root, ...more] = signed.slice(0, -1).split("\n");
    if (!origin || size === undefined || root === undefined || more.some((line) => !line)) refuse("the checkpoint is not in its form");
    return { signed, signatures, origin, size: numberOf(size, "the checkpoint's size"), root: hashOf(root, "the checkpoint's root") };
  }

  async function parseKey(vkey) {
    const parts = /^([^\s+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey);
    if (!parts) refuse("the key is not in its form");
    const bytes = fromBase64(parts[3], "the key");
    if (bytes[0] !== ED25519 || bytes.length !== 33) unsure("the key is no Ed25519 key");
    const id = hex((await sha256(join(utf8.encode(parts[1] + "\n"), bytes))).slice(0, 4));
    if (id !== parts[2]) refuse("the key's id does not belong to its name and bytes");
    const key = bytes.slice(1);
    let y = 0n;
    for (let at = 31; at >= 0; at -= 1) y = y * 256n + BigInt(at === 31 ? key[at] & 127 : key[at]);
    if (y >= FIELD || SMALL_ORDER.has(y)) unsure("the key is a point that signs anything");
    return { name: parts[1], id, key, fingerprint: hex(await sha256(key)) };
  }

  // The gate whose log has this origin: its name stands before gov, unrouted or calls/WORKSPACE.
  function gateOf(origin) {
    const parts = origin.split("/");
    const last = parts.pop().split("@")[0];
    if (last === "gov" || last === "unrouted") return parts.join("/");
    return parts.pop() === "calls" ? parts.join("/") : "";
  }

  const kindOf = (origin) => origin.slice(gateOf(origin).length + 1).split("@")[0];

  async function checkSignature(note, key) {
    if (key.name !== note.origin && key.name !== gateOf(note.origin)) refuse("the key is another gate's");
    const own = note.signatures.filter((each) => each.name === key.name && each.id === key.id);
    if (own.length === 0) refuse("the checkpoint bears no signature of this key");
    if (own.length > 1) refuse("the checkpoint bears two signatures of this key");
    let known;
    try {
      known = await crypto.subtle.importKey("raw", key.key, { name: "Ed25519" }, false, ["verify"]);
    } catch { unsure("this browser cannot check Ed25519 signatures"); }
    if (!await crypto.subtle.verify({ name: "Ed25519" }, known, own[0].bytes, utf8.encode(note.signed))) refuse("the signature is not this key's");
    return note.signatures.length - 1;
  }

  function parsePath(each, checkpoint) {
    const blank = each.proof.indexOf("\n\n");
    if (blank < 0) refuse("the proof lacks its checkpoint");
    const [first, index, ...path] = each.proof.slice(0, blank).split("\n");
    if (first !== HEADER) refuse("the proof is of another kind");
    if (index !== "index " + each.index) refuse("the proof is of another place");
    if (path.length > MOST_PATH) refuse("the path is too long");
    if (each.proof.slice(blank + 2) !== checkpoint) refuse("the proof is of another checkpoint");
    return path.map((line) => hashOf(line, "a hash of the path"));
  }

  // RFC 8785: names sorted, numbers and strings as this very language writes them.
  function canonical(value, depth = 0) {
    if (depth > 32) refuse("the leaf is nested too deeply");
    if (Array.isArray(value)) return "[" + value.map((each) => canonical(each, depth + 1)).join(",") + "]";
    if (value !== null && typeof value === "object") {
      return "{" + Object.keys(value).sort().map((name) => JSON.stringify(name) + ":" + canonical(value[name], depth + 1)).join(",") + "}";
    }
    if (typeof value === "number" && !Number.isSafeInteger(value)) refuse("the leaf holds a number that is no integer");
    return JSON.stringify(value);
  }

  function parseLeaf(body) {
    let text, value;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
      value = JSON.parse(text);
    } catch { refuse("the leaf is no JSON"); }
    // Written anew and compared: one spelling for one value, and no name stands twice.
    if (value === null || typeof value !== "object" || canonical(value) !== text || typeof value.t !== "string") refuse("the leaf is no canonical record");
    return value;
  }

  const shown = (value) => (typeof value === "string" ? value : canonical(value));

  function compareShown(fields, index, page) {
    const rows = page[index];
    if (!rows) refuse("the page does not show leaf " + index);
    const names = Object.keys(fields);
    if (names.length !== Object.keys(rows).length) refuse("the page shows other fields of leaf " + index);
    for (const name of names) {
      if (rows[name] !== shown(fields[name])) refuse("the page shows another " + name + " of leaf " + index);
    }
  }

  // `given`: text of the proof, vkey, what the page shows (`page`: leaf index -> name -> text, may
  // be absent), the `pair` (call or index asked for), the `last` checkpoint seen {size, root in base64}
  // and `consistency(old, new)`, which gets a proof from the gate. `tell(step)` hears each step.
  async function verify(given, tell = () => {}) {
    let at = "Cryptography";
    const step = (name) => { at = name; };
    const good = (text, path) => tell({ name: at, good: true, text, path });
    try {
      if (!globalThis.crypto?.subtle) unsure("this browser lets pages compute hashes over HTTPS or on this machine only");
      step("The proof file");
      const file = parseFile(given.text);
      good(`${file.leaves.length} leaves of ${file.log}`);
      step("The checkpoint");
      const note = parseNote(file.checkpoint);
      if (note.origin !== file.log) refuse("the checkpoint is of another log");
      if (given.log && kindOf(note.origin) !== given.log.split("@")[0].replace(":", "/")) refuse("the checkpoint is of another log than the page shows");
      good(`${note.size} leaves, root ${toBase64(note.root)}`);
      step("The signature");
      const key = await parseKey(given.vkey);
      const others = await checkSignature(note, key);
      good(`made by ${key.name}, key ${key.id}` + (others ? `; ${others} more, of witnesses, were not looked at` : ""));
      const leaves = {};
      for (const each of file.leaves) {
        step(`Leaf ${each.index} in the tree`);
        const body = fromBase64(each.leaf, "the leaf");
        const path = parsePath(each, file.checkpoint);
        const hash = await leafHash(body);
        const way = await climb(hash, each.index, note.size, path);
        if (!same(way.root, note.root)) refuse("its path leads to another root");
        good(`${path.length} hashes lead from it to the signed root`,
          [`leaf hash ${toBase64(hash)}`, ...way.steps.map((one) => `${one.side === "left" ? "left of it" : "right of it"} ${toBase64(one.sibling)} → ${toBase64(one.top)}`)]);
        leaves[each.index] = parseLeaf(body);
      }
      step("One act");
      const pairs = new Set(Object.values(leaves).map((each) => String(each.call ?? each.stream ?? "")));
      if (pairs.size !== 1 || (given.pair !== undefined && !pairs.has(given.pair))) refuse("the leaves are of another call");
      good("all leaves are of what was asked for");
      if (given.page) {
        step("What the page shows");
        if (Object.keys(given.page).length !== file.leaves.length) refuse("the page shows more leaves, or fewer, than were proven");
        for (const index of Object.keys(leaves)) compareShown(leaves[index], index, given.page);
        good("equals the bytes of the leaves, field by field");
      }
      step("The log as this browser saw it last");
      good(await checkHistory(note, given));
      return { verdict: "VERIFIED", reason: "", origin: note.origin, size: note.size, root: toBase64(note.root), leaves, fingerprint: key.fingerprint };
    } catch (fault) {
      const verdict = fault instanceof Judged ? fault.verdict : "UNVERIFIABLE";
      const reason = fault instanceof Judged ? fault.message : "this browser could not go on (" + fault.name + ")";
      tell({ name: at, good: false, text: reason, verdict });
      return { verdict, reason, step: at };
    }
  }

  async function checkHistory(note, given) {
    const last = given.last?.[note.origin];
    if (!last) return "nothing was seen of it before; its size and root are kept from now on";
    const kept = { size: last.size, root: hashOf(last.root, "the kept root") };
    const here = { size: note.size, root: note.root };
    const [then, now] = kept.size <= here.size ? [kept, here] : [here, kept];
    let path = [];
    if (then.size !== now.size) {
      let told = null;
      try { told = await given.consistency(note.origin, then.size, now.size); } catch { /* told below */ }
      if (!Array.isArray(told)) unsure("the gate gives no proof that its log goes on from what this browser saw");
      if (told.length > 2 * MOST_PATH) refuse("the proof is too long");
      path = told.map((text) => hashOf(text, "a hash of the proof"));
    }
    await verifyConsistency(then, now, path);
    return `it goes on from the ${kept.size} leaves that this browser saw last`;
  }

  globalThis.gatelodgeProof = { verify, verifyConsistency, parseNote, fromBase64 };
})();
