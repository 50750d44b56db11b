// The keyboard: shortcuts, a help dialog, rows that can be walked through.

const PLACES = { o: "/", j: "/jobs", a: "/approvals", b: "/blueprints", r: "/resources", m: "/manual" };
const help = document.getElementById("help");
const choice = document.querySelector("[data-keys]");
let before = "";
let forget = 0;

function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

if (choice) {
  choice.checked = stored("keys") !== "off";
  choice.addEventListener("change", () => {
    try {
      localStorage.setItem("keys", choice.checked ? "on" : "off");
    } catch {
      // it holds for this page then
    }
  });
}

function walk(step) {
  const rows = [...document.querySelectorAll("tr[data-row]")];
  const links = rows.map((row) => row.querySelector("a")).filter((link) => link && link.offsetParent);
  if (!links.length) return;
  const here = links.indexOf(document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : here + step;
  links[Math.max(0, Math.min(links.length - 1, next))].focus();
}

function typing(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.nodeName);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.confirm[open], details.menu[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (help.open || (choice && !choice.checked)) return;
  if (before === "g" && PLACES[event.key]) {
    location.assign(PLACES[event.key]);
    return;
  }
  before = event.key;
  clearTimeout(forget);
  forget = setTimeout(() => (before = ""), 1500);
  if (event.key === "?") help.showModal();
  else if (event.key === "/") {
    const field = document.querySelector("main input[type=search], main .filters input, main .filters select");
    if (!field) return;
    event.preventDefault();
    field.focus();
  } else if (event.key === "j") walk(1);
  else if (event.key === "k") walk(-1);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help.showModal();
  for (const open of document.querySelectorAll("details.confirm[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});
