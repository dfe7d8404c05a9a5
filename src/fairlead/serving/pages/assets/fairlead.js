// Spares the reload: a form or link with `data-live` is fetched, and the parts of the page it names are taken from the
// answer. The page that comes back is the one a browser without scripts would show, so nothing is rendered twice.
"use strict";

const parser = new DOMParser();
const part = (root, name) => root.querySelector(`[data-part="${name}"]`);

function announce(text) {
  const place = document.getElementById("announcement");
  place.textContent = "";
  // An empty moment in between makes a repeated sentence heard again.
  setTimeout(() => { place.textContent = text; }, 50);
}

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

function take(names, page) {
  const focused = document.activeElement && document.activeElement.id;
  for (const name of names) {
    const fresh = part(page, name);
    const stale = part(document, name);
    if (fresh && stale) stale.replaceWith(document.adoptNode(fresh));
  }
  document.title = page.title;
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
}

function reveal(element) {
  const box = element.getBoundingClientRect();
  if (box.top < 0 || box.top > window.innerHeight * 0.7) element.scrollIntoView({ block: "start" });
}

function tellFailure(name) {
  const place = part(document, name);
  const note = document.createElement("div");
  note.className = "complaint";
  note.setAttribute("role", "alert");
  note.textContent = "The service cannot be reached. Your entries are kept: try again in a moment.";
  if (name === "answer") place.replaceChildren(note);
  else place.querySelector(".upload, form > button").before(note);
}

async function load(address, options, names, shown) {
  const busy = part(document, shown);
  busy.setAttribute("data-busy", "");
  try {
    const reply = await fetch(address, { ...options, headers: { Accept: "text/html" }, credentials: "same-origin" });
    const page = parser.parseFromString(await reply.text(), "text/html");
    if (!part(page, shown)) throw new Error("not a page of this endpoint");
    take(names, page);
    localTimes(document);
    return true;
  } catch {
    tellFailure(shown);
    return false;
  } finally {
    busy.removeAttribute("data-busy");
  }
}

function settle(names, shown) {
  const complaint = names.map((name) => part(document, name).querySelector(".complaint[tabindex]")).find(Boolean);
  if (complaint) {
    complaint.focus();
    return;
  }
  const place = part(document, shown);
  const said = place.querySelector("[data-announce]");
  if (said) announce(said.textContent);
  reveal(shown === "many" ? place.querySelector(".results") || place : place);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.hasAttribute("data-live")) return;
  event.preventDefault();
  const shown = form.dataset.live || "answer";
  const names = shown === "answer" ? ["form", "answer"] : [shown];
  const body = shown === "many" ? new FormData(form) : new URLSearchParams(new FormData(form));
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  const done = await load(form.action.split("#")[0], { method: "POST", body }, names, shown);
  button.disabled = false;
  if (!done) return;
  settle(names, shown);
  const again = part(document, names[0]).querySelector("button[type=submit]");
  if (document.activeElement === document.body && again) again.focus({ preventScroll: true });
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest && event.target.closest("a[data-live]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if (await load(link.href, {}, link.dataset.live.split(" "), "answer")) {
    announce("Another example is filled in.");
    const again = document.querySelector("a[data-live]");
    if (again) again.focus({ preventScroll: true });
  }
});

// The API page: copy a sample, send a body.

function copyButton(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  const say = (text) => {
    button.textContent = text;
    button.setAttribute("aria-label", `${text}: ${block.getAttribute("aria-label")}`);
  };
  say("Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      say("Copied");
      announce("Copied.");
    } catch {
      getSelection().selectAllChildren(block);
      say("Selected");
    }
    setTimeout(() => say("Copy"), 2000);
  });
  const frame = document.createElement("div");
  frame.className = "copied";
  block.replaceWith(frame);
  frame.append(block, button);
}

async function send(form) {
  const outcome = form.querySelector(".outcome");
  const status = document.createElement("p");
  const text = document.createElement("pre");
  text.tabIndex = 0;
  text.setAttribute("aria-label", "What came back");
  try {
    const body = form.querySelector("textarea").value;
    const started = performance.now();
    const reply = await fetch(form.action, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const said = await reply.text();
    status.textContent = `${reply.status} ${reply.ok ? "answered" : "refused"} in ${Math.round(performance.now() - started)} ms`;
    try {
      text.textContent = JSON.stringify(JSON.parse(said), null, 2);
    } catch {
      text.textContent = said;
    }
    outcome.replaceChildren(status, text);
  } catch {
    status.textContent = "The service cannot be reached. Try again in a moment.";
    outcome.replaceChildren(status);
  }
}

for (const block of document.querySelectorAll("pre[data-copy]")) copyButton(block);
for (const form of document.querySelectorAll("form[data-try]")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
localTimes(document);
