// What the server cannot do for a page: the dialog, the focus, keys, the reader's time zone, a lost connection.

const panel = document.querySelector("[data-panel]");
const matrix = document.querySelector("#matrix, [data-live-part]"); // the part of the page that stays live
let opener = null; // the id of the cell that opened the panel; the cell itself may be replaced by a refresh

// --- the panel ---

document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target ?? event.target;
  showTimes(target instanceof Element ? target : document);
  if (!panel || target !== panel || !panel.firstElementChild) return;
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
  (panel.querySelector("#refusal") ?? panel.querySelector("[autofocus]"))?.focus?.();
});

document.addEventListener("click", (event) => {
  const cell = event.target.closest?.(".cell");
  if (cell) opener = cell.id;
  if (event.target === panel) panel.close(); // a click on the backdrop
});

panel?.addEventListener("close", () => {
  panel.replaceChildren();
  document.getElementById(opener)?.focus();
});

// A change whose answer never came, or came as a fault: the form stays as it was typed.
for (const name of ["htmx:error", "htmx:response:error"]) {
  panel?.addEventListener(name, (event) => {
    const { response } = event.detail?.ctx ?? {};
    const unheard = !response || response.status >= 500;
    const said = panel.querySelector("[data-unheard]");
    if (said && unheard) said.hidden = false;
  });
}

document.addEventListener("slice-changed", () => matrix?.dispatchEvent(new CustomEvent("refresh")));

// --- the matrix stays live ---

function live(holds) {
  document.getElementById("live")?.classList.toggle("stale", !holds);
  const word = document.querySelector("[data-live-word]");
  const text = holds ? "live" : "not live";
  if (word && word.textContent !== text) word.textContent = text;
  const lost = document.getElementById("lost");
  if (lost && lost.hidden !== holds) lost.hidden = holds;
}

matrix?.addEventListener("htmx:before:request", (event) => {
  // Nobody looks at a hidden page; the next turn after it is shown again brings everything.
  if (document.hidden && event.detail?.ctx?.sourceElement === matrix) event.preventDefault();
});
matrix?.addEventListener("htmx:before:swap", (event) => {
  // An error page is not a matrix: keep the figures that stand, and say that they are old.
  const { sourceElement, response } = event.detail?.ctx ?? {};
  if (sourceElement !== matrix) return;
  if (response?.status === 200) live(true);
  else event.preventDefault();
});
matrix?.addEventListener("htmx:error", (event) => {
  if ((event.detail?.ctx?.sourceElement ?? event.target) === matrix) live(false);
});
matrix?.addEventListener("htmx:response:error", (event) => {
  if ((event.detail?.ctx?.sourceElement ?? event.target) === matrix) live(false);
});
// A page whose state has changed loads itself anew; under somebody who is on their way to another page that would bring
// them back. Whoever has not gone within this time, in ms, has stayed.
const GONE = 10_000;
let left = -GONE;
addEventListener("beforeunload", () => {
  left = performance.now();
});
matrix?.addEventListener("htmx:before:response", (event) => {
  if (performance.now() - left < GONE) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) matrix?.dispatchEvent(new CustomEvent("refresh"));
});

// --- keys ---

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !panel?.open) {
    event.preventDefault();
    document.getElementById("find")?.focus();
    return;
  }
  const cell = event.target.closest?.(".cell");
  const step = STEPS[event.key];
  if (!cell || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  const td = cell.closest("td");
  const row = td.parentElement;
  const next = row.parentElement.rows[row.sectionRowIndex + step[0]]?.cells[td.cellIndex + step[1]];
  const link = next?.querySelector(".cell");
  if (!link) return;
  event.preventDefault();
  link.focus();
});

// --- times ---

const zone = document.querySelector("[data-zone]");
const twoDigits = (number) => String(number).padStart(2, "0");

function showTimes(root) {
  const local = localStorage.getItem("zone") === "local";
  if (zone) zone.textContent = local ? "Local" : "UTC";
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const text = local
      ? `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ` +
        `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}:${twoDigits(at.getSeconds())}`
      : at.toISOString().slice(0, 19).replace("T", " ");
    if (time.textContent !== text) time.textContent = text;
  }
}

zone?.addEventListener("click", () => {
  localStorage.setItem("zone", localStorage.getItem("zone") === "local" ? "utc" : "local");
  showTimes(document);
});
showTimes(document);

// --- small things ---

const themes = document.querySelector("[data-theme-switch]");
const themeWord = (name) => `Theme: ${name}`;
if (themes) {
  themes.textContent = themeWord(window.twinrunTheme.name());
  themes.addEventListener("click", () => {
    themes.textContent = themeWord(window.twinrunTheme.next());
  });
}

for (const form of document.querySelectorAll("[data-autosubmit]")) {
  for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => form.requestSubmit());
  // Empty filters stay out of the address, so that it can be read and sent on.
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });
}
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.who[open]")) if (!menu.contains(event.target)) menu.open = false;
});
