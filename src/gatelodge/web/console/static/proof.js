// The button "Verify" of a page that shows leaves: it gets the proof and has it checked here.
"use strict";

const SEEN = "gatelodge-seen";

function lastSeen() {
  try { return JSON.parse(localStorage.getItem(SEEN) ?? "{}") ?? {}; } catch { return {}; }
}

function remember(found) {
  const seen = lastSeen();
  const last = seen[found.origin];
  if (last && last.size >= found.size) return;
  // A size and a root of each log, and nothing of anybody.
  seen[found.origin] = { size: found.size, root: found.root };
  try { localStorage.setItem(SEEN, JSON.stringify(seen)); } catch { /* a browser that keeps nothing */ }
}

function shownLeaves() {
  const found = {};
  for (const table of document.querySelectorAll("table[data-leaf]")) {
    const rows = found[table.dataset.leaf] = Object.create(null);
    for (const row of table.rows) rows[row.cells[0].textContent] = row.cells[1].textContent;
  }
  return found;
}

function line(step) {
  const item = document.createElement("li");
  const chip = document.createElement("span");
  chip.className = "chip " + (step.good ? "good" : step.verdict === "UNVERIFIABLE" ? "wait" : "bad");
  chip.textContent = step.good ? "holds" : step.verdict;
  item.append(chip, " " + step.name + ": " + step.text + ".");
  if (step.path) {
    const more = document.createElement("details");
    const title = document.createElement("summary");
    title.textContent = "The path";
    const list = document.createElement("ol");
    list.className = "path";
    for (const text of step.path) {
      const one = document.createElement("li");
      const code = document.createElement("code");
      code.textContent = text;
      one.append(code);
      list.append(one);
    }
    more.append(title, list);
    item.append(more);
  }
  return item;
}

async function getText(url) {
  const answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error("the gate answered " + answer.status);
  return answer.text();
}

async function verifyHere(place) {
  const told = place.querySelector("[role=status]");
  const steps = place.querySelector("ol.steps");
  steps.replaceChildren();
  told.className = "verdict";
  told.textContent = "Checking …";
  let text;
  try { text = await getText(place.dataset.proof); } catch (fault) {
    told.textContent = "UNVERIFIABLE: there is no proof to check (" + fault.message + ").";
    told.classList.add("wait");
    return;
  }
  const consistency = async (_origin, from, to) =>
    JSON.parse(await getText(place.dataset.consistency + "&old=" + from + "&new=" + to)).path;
  const given = {
    text, consistency, vkey: place.dataset.key, log: place.dataset.log, page: shownLeaves(), last: lastSeen(),
    pair: place.dataset.pair,
  };
  const found = await gatelodgeProof.verify(given, (step) => steps.append(line(step)));
  if (found.verdict === "VERIFIED") remember(found);
  told.textContent = found.verdict + (found.reason ? ": " + found.reason + "." : ": these leaves stand in the log that this key signed.");
  told.classList.add(found.verdict === "VERIFIED" ? "good" : found.verdict === "UNVERIFIABLE" ? "wait" : "bad");
  place.querySelector(".limits").hidden = false;
}

for (const place of document.querySelectorAll("section.proof")) {
  const button = place.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try { await verifyHere(place); } finally { button.disabled = false; }
  });
}
