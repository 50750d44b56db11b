// Messages seen on their way: a dot runs along the arrow that a message took.

const MOST_DOTS = 24;
const RUN_MS = 650;
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
let dots = 0;

function drawnFor(figure) {
  if (!figure.drawnFor) {
    try {
      figure.drawnFor = JSON.parse(figure.dataset.drawnFor || "{}");
    } catch {
      figure.drawnFor = {};
    }
  }
  return figure.drawnFor;
}

function wayBetween(figure, from, to) {
  const names = drawnFor(figure);
  const source = names[from] || from;
  const target = names[to] || to;
  return figure.querySelector(`.way[data-from="${CSS.escape(source)}"][data-to="${CSS.escape(target)}"]`);
}

// Show that a message went from one agent to another.
export function message(from, to) {
  for (const figure of document.querySelectorAll('[data-graph="agents"]')) {
    const way = wayBetween(figure, from, to);
    if (way) pulse(way);
  }
}

// Show that a step was reached by those that lead to it.
export function reached(step) {
  for (const figure of document.querySelectorAll('[data-graph="steps"]')) {
    const names = drawnFor(figure);
    const target = CSS.escape(names[step] || step);
    for (const way of figure.querySelectorAll(`.way[data-to="${target}"]`)) pulse(way);
  }
}

function pulse(way) {
  const lit = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  way.animate([{ stroke: lit, strokeWidth: "3px" }, {}], { duration: RUN_MS, easing: "ease-out" });
  const page = document.documentElement.dataset;
  page.pulses = String(Number(page.pulses || 0) + 1);
  if (still.matches || dots >= MOST_DOTS || document.hidden) return;
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  dot.setAttribute("r", "4.5");
  dot.setAttribute("class", "spark-dot");
  dot.setAttribute("data-keep", "");
  dot.style.offsetPath = `path("${way.getAttribute("d")}")`;
  way.parentNode.append(dot);
  dots += 1;
  const run = dot.animate([{ offsetDistance: "0%" }, { offsetDistance: "100%" }], {
    duration: RUN_MS,
    easing: "ease-in-out",
  });
  const gone = () => {
    dots -= 1;
    dot.remove();
  };
  run.finished.then(gone, gone);
}
