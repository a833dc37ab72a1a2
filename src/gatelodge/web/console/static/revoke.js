// The end of somebody's access, shown as it happens: what each node said, after how many milliseconds.
"use strict";

(() => {
  const form = document.getElementById("revoke");
  const place = document.getElementById("revoking");
  if (!form || !place) return;
  const head = place.querySelector("h2");
  const [text, besides, links] = place.querySelectorAll("p");
  const [list, ended] = place.querySelectorAll("ul");

  function nodeLine(name, what) {
    const item = document.createElement("li");
    const code = document.createElement("code");
    code.textContent = name;
    item.append(code, ": " + what);
    return item;
  }

  function show(told) {
    const done = told.nodes.map((node) => nodeLine(node.node,
      `${node.how} after ${node.after_ms} ms; ${node.calls} calls and ${node.streams} streams were cut.`));
    list.replaceChildren(...done, ...told.waiting.map((name) => nodeLine(name, "waiting …")));
    if (told.problem) {
      head.textContent = "It could not be confirmed";
      text.textContent = told.problem;
    } else if (told.receipt) {
      head.textContent = "Access has ended";
      text.textContent = `On every node ${told.receipt.completed_ms} ms after it was committed (at most ${told.receipt.bound_ms} ms), `
        + `as change ${told.receipt.gov} of the log` + (told.receipt.why ? `, for ${told.receipt.why}.` : ".");
      besides.hidden = !told.with_it.length;
      ended.replaceChildren(...told.with_it.map((each) => {
        const item = document.createElement("li");
        item.textContent = (each.kind || "other things that ended") + ": " + each.names.join(", ");
        return item;
      }));
      links.querySelector("a").href = form.dataset.changes + told.receipt.leaf;
      links.hidden = false;
    } else {
      head.textContent = "Access is ending";
      text.textContent = `It is committed. Each node says so within ${told.bound_ms} ms, or serves nobody.`;
    }
    return told.receipt ? "receipt" : told.problem ? "problem" : "";
  }

  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", last = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return last;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const line of parts) if (line.startsWith("data: ")) last = show(JSON.parse(line.slice(6)));
    }
  }

  // What they had stands on this page: it is loaded again, and the receipt stays on top of it.
  async function renew() {
    const answer = await fetch(form.dataset.page, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) return;
    const main = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    main.querySelector("h1").after(place);
    document.getElementById("main").replaceWith(main);
    place.focus();
  }

  form.addEventListener("submit", async (event) => {
    if (event.submitter && event.submitter.value === "preview") return;
    event.preventDefault();
    const button = form.querySelector("button.danger");
    button.disabled = true;
    let last = false;
    try {
      const answer = await fetch(form.action, {
        method: "POST", credentials: "same-origin", cache: "no-store",
        headers: { accept: "text/event-stream" }, body: new URLSearchParams(new FormData(form)),
      });
      place.hidden = false;
      if (answer.ok) last = await read(answer.body);
      else show({ nodes: [], waiting: [], problem: "The gate answered " + answer.status + ": nothing was changed, or your own access ended." });
      if (!answer.ok) { button.disabled = false; return; }
    } catch { place.hidden = false; }
    if (last === "problem") button.disabled = false;
    else if (last) {
      form.hidden = true;
      for (const chip of document.querySelectorAll(".facts .chip.good")) {
        if (chip.textContent === "active") { chip.textContent = "revoked"; chip.className = "chip bad"; }
      }
      // Where it cannot be loaded, the receipt and the chip still tell what is true.
      await renew().catch(() => {});
    } else show({ nodes: [], waiting: [], problem: "The answer broke off. Load this page again: it shows whether access ended." });
  });
})();
