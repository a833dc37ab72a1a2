// Calls as they come: what the stream tells is put on top of the table, and nothing is kept of it.
"use strict";

(() => {
  const MOST = 200;
  const table = document.getElementById("live");
  if (!table || !globalThis.EventSource) return;
  const state = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  const passedPlace = document.getElementById("live-passed");
  let next = Number(table.dataset.next), passed = 0, source = null, paused = false, again = 1000;

  const say = (text, kind) => { state.textContent = text; state.className = "chip " + kind; };

  function cell(row, text, name) {
    const made = row.insertCell();
    made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function rowOf(record) {
    const row = document.createElement("tr");
    row.dataset.index = record.index;
    row.dataset.day = record.at.slice(0, 10);
    const when = cell(row, "", "time");
    const day = document.createElement("span");
    day.className = "day";
    day.textContent = row.dataset.day + " ";
    when.append(day);
    const time = record.at.slice(11, 19);
    if (record.call.startsWith("c_")) {
      const link = document.createElement("a");
      link.href = table.dataset.call + encodeURIComponent(record.call);
      link.textContent = time;
      when.append(link);
    } else when.append(time);
    const who = cell(row, record.who);
    if (record.agent) {
      const by = document.createElement("span");
      by.className = "hint";
      by.textContent = " by " + record.agent;
      who.append(by);
    }
    cell(row, record.server);
    cell(row, record.tool || record.method || record.type);
    const chip = document.createElement("span");
    chip.className = "chip " + (record.outcome === "ok" ? "good" : record.outcome.startsWith("denied") ? "bad" : "wait");
    chip.textContent = record.outcome;
    cell(row, "").append(chip);
    cell(row, record.ms ?? "", "number");
    const took = cell(row, "");
    if (record.ms !== null && !record.type.startsWith("instance")) {
      const bar = document.createElement("meter");
      bar.max = 4;
      bar.value = Math.log10(1 + record.ms);
      bar.textContent = record.ms + " ms";
      took.append(bar);
    }
    return row;
  }

  function take(told) {
    next = told.next;
    const known = new Set(Array.from(table.rows, (row) => row.dataset.index));
    const rows = told.items.filter((each) => !known.has(String(each.index))).map(rowOf).reverse();
    table.prepend(...rows);
    // The day stands where it changes; of what stood on top it may stand above by now.
    let above = "";
    for (const row of table.rows) {
      row.querySelector(".day").hidden = row.dataset.day === above;
      above = row.dataset.day;
    }
    while (table.rows.length > MOST) table.deleteRow(-1);
    if (table.rows.length) document.getElementById("live-empty").hidden = true;
    passed += told.passed;
    passedPlace.hidden = !passed;
    passedPlace.textContent = passed + " leaves of the log went by unshown: more came than fits. They are in the audit.";
  }

  function open() {
    source = new EventSource(table.dataset.events + "?after=" + next);
    source.onopen = () => { say("Live", "good"); again = 1000; };
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.onerror = () => {
      // Opened anew by hand, for the place from where to go on is another by now.
      const refused = source.readyState === EventSource.CLOSED;
      source.close();
      if (paused) return;
      if (refused) say("Not live: the session ended, or too many pages watch. Load again", "bad");
      else {
        say("Interrupted: trying again", "wait");
        setTimeout(() => { if (!paused) open(); }, again);
        again = Math.min(again * 2, 30000);
      }
    };
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) { source.close(); say("Paused", "wait"); } else open();
  });
  addEventListener("pagehide", () => { paused = true; source.close(); });
  open();
})();
