// Sign-in, sign-out and keys. Everything else is the page's own HTML.
"use strict";

const keepNothing = { method: "POST", credentials: "same-origin", cache: "no-store" };

async function told(answer, place) {
  if (answer.ok) return true;
  place.textContent = answer.status === 401 || answer.status === 403
    ? "It opens nothing here: the token or link is unknown, was used, or has ended."
    : "The gate answered " + answer.status + ". Try again.";
  return false;
}

const form = document.getElementById("sign-in");
if (form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = document.getElementById("token");
    const place = document.getElementById("told");
    const headers = { authorization: "Bearer " + field.value.trim() };
    field.value = "";
    const answer = await fetch("/console/session", { ...keepNothing, headers });
    if (await told(answer, place)) location.reload();
    else field.focus();
  });
  document.getElementById("token").focus();
}

const enter = document.getElementById("enter");
if (enter) {
  const code = location.hash.slice(1);
  // Taken away before anything else: what stands in the address is kept in the history.
  history.replaceState(null, "", location.pathname);
  const headers = { "x-gatelodge-code": code };
  fetch("/console/enter", { ...keepNothing, headers }).then(async (answer) => {
    if (await told(answer, enter)) location.replace("/console/");
  });
}

const out = document.getElementById("sign-out");
if (out) {
  // Without this script it is a form, which leads to the sign-in by itself.
  out.addEventListener("click", async (event) => {
    event.preventDefault();
    const answer = await fetch("/console/sign-out", keepNothing);
    // 401: the session had ended already. Anything else has ended nothing, and has to be seen.
    if (answer.ok || answer.status === 401) location.assign("/console/");
    else out.textContent = "Not signed out (" + answer.status + "): try again";
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      // Over plain HTTP from elsewhere there is no clipboard: it stands selected.
      button.textContent = "Press Ctrl+C";
    }
  });
}

// On a narrow screen the navigation is one line that scrolls: the page's own name is in view.
const list = document.querySelector("header nav");
const current = list?.querySelector("a[aria-current]");
if (current && list.scrollWidth > list.clientWidth) {
  list.scrollLeft = current.offsetLeft - list.offsetLeft - list.clientWidth / 3;
}

let going = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    const first = document.querySelector("form.filters input");
    if (first) { event.preventDefault(); first.focus(); }
  } else if (going) {
    const link = document.querySelector('nav a[data-key="' + CSS.escape(event.key) + '"]');
    if (link) link.click();
  }
  going = event.key === "g";
});
