// A page that follows what happens: its parts are fetched anew when something did, and morphed.

import { morph } from "./morph.js";
import { Stream } from "./stream.js";
import * as graph from "./graph.js";

const MOST_QUEUED = 200; // events that wait to be shown; a flood keeps the newest
const SHOWN_BESIDE = new Set([
  "agent_id", "lease_id", "attempt_id", "step_id", "sandbox_name", "message_id",
  "idempotency_key", "deadline_at", "heartbeat_deadline_at", "max_attempts",
]);
const body = document.body;
const job = body.dataset.job || "";
const SOONEST_MS = job ? 900 : 2000; // between two fetches of the page, however much happens
const list = document.querySelector("[data-events]");
const most = list ? Number(list.dataset.most) : 0;
let newest = Number.parseInt(body.dataset.after || "0", 10);
let waiting = [];
let frame = 0;
let timer = 0;
let fetched = 0;
let fetching = false;
let again = false;
let slow = 0;
let stream = null;

function wire(state, why) {
  const words = {
    live: "live",
    lost: why ? `not live: ${why}` : "connection lost, retrying",
    ended: "the job is over",
    resting: "resting while hidden",
  };
  for (const place of document.querySelectorAll("[data-wire]")) {
    place.hidden = false;
    place.dataset.state = state;
    place.textContent = words[state];
  }
}

// Fetch the page as it is now, soon; many wishes become one.
export function refresh() {
  if (document.hidden || timer) return;
  const wait = Math.max(0, fetched + SOONEST_MS - performance.now());
  timer = setTimeout(fetchPage, wait);
}

async function fetchPage() {
  timer = 0;
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  fetched = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { "X-Requested-With": "mnedge" }, cache: "no-store" });
    if (answer.ok && !answer.redirected) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && !beingFilled(part)) morph(part, fresh);
      }
      for (const figure of document.querySelectorAll("[data-graph]")) delete figure.drawnFor;
      menu(page);
    }
  } catch {
    if (stream) stream.doubt();
  } finally {
    fetching = false;
    fetched = performance.now();
    if (again) {
      again = false;
      refresh();
    }
  }
}

// A form that somebody is filling in stays as it is.
function beingFilled(part) {
  const form = document.activeElement && document.activeElement.closest("form");
  if (form && part.contains(form)) return true;
  return [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((field) => field.value !== field.defaultValue);
}

function menu(page) {
  const fresh = page.querySelectorAll(".side nav");
  document.querySelectorAll(".side nav").forEach((nav, at) => fresh[at] && morph(nav, fresh[at]));
}

function show() {
  frame = 0;
  const events = waiting;
  waiting = [];
  const pulses = new Set();
  const rows = document.createDocumentFragment();
  for (const event of events) {
    const payload = event.payload || {};
    if (event.type === "agent_message_received") {
      const way = `${payload.from}\n${event.agent_id}`;
      if (!pulses.has(way)) graph.message(payload.from, event.agent_id);
      pulses.add(way);
    } else if (event.type === "workflow_step_attempt_started" && payload.step_id) {
      if (!pulses.has(payload.step_id)) graph.reached(payload.step_id);
      pulses.add(payload.step_id);
    }
    if (list) rows.prepend(row(event, payload));
  }
  if (!list) return;
  list.prepend(rows);
  while (list.children.length > most) list.lastElementChild.remove();
}

function row(event, payload) {
  const item = document.createElement("li");
  item.className = "fresh";
  item.dataset.seq = event.seq;
  const at = new Date(event.ts);
  const time = element("time", "", Number.isNaN(at.valueOf()) ? "" : clock(event.ts));
  time.dateTime = event.ts || "";
  const what = element("span", "what", "");
  if (event.agent_id) what.append(element("b", "", event.agent_id), " ");
  what.append(told(event.type, payload));
  item.append(element("span", "soft num", event.seq), time, element("span", `who s-${tone(event.type)}`, event.type), what);
  return item;
}

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

// Times are the node's, as everywhere on the page: what stands in the text, in its own offset.
function clock(ts) {
  const offset = Number(body.dataset.offset || 0);
  return new Date(Date.parse(ts) + offset * 1000).toISOString().slice(11, 23);
}

function tone(type) {
  if (/(failed|error|rejected)$/.test(type) || type === "dead_letter") return "bad";
  if (/(timed_out|timeout|retry_scheduled|blocked)$/.test(type) || type === "human_input_requested") return "warn";
  if (["job_completed", "workflow_step_completed", "job_resumed"].includes(type)) return "good";
  return "idle";
}

function told(type, payload) {
  if (type === "agent_message_received") return `${payload.type || ""} from ${payload.from || "outside"}`;
  for (const name of ["message", "reason", "error", "prompt", "text"]) {
    if (typeof payload[name] === "string" && payload[name]) return short(payload[name]);
  }
  const kept = Object.entries(payload).filter(([name, value]) => {
    if (SHOWN_BESIDE.has(name) || value === null || value === "") return false;
    return typeof value !== "object" || Object.keys(value).length;
  });
  return kept.slice(0, 6).map(([name, value]) => `${name} ${short(typeof value === "string" ? value : JSON.stringify(value), 60)}`).join(", ");
}

function short(text, most = 160) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= most ? line : `${line.slice(0, most - 1).trimEnd()}…`;
}

export function take(record, type) {
  if (type === "lagged") return;
  if (type === "end") {
    refresh();
    return;
  }
  if (job && record && typeof record.seq === "number") {
    if (record.seq <= newest) return;
    newest = record.seq;
  }
  if (job && record) {
    waiting.push(record);
    if (waiting.length > MOST_QUEUED) waiting.splice(0, waiting.length - MOST_QUEUED);
    if (!frame) frame = requestAnimationFrame(show);
  }
  refresh();
}

export function follow() {
  const path = body.dataset.stream;
  if (!path) return;
  stream = new Stream(path, body.dataset.after || "", { told: take, state: wire });
  const seldom = Number(body.dataset.refresh || 30) * 1000;
  const look = () => {
    clearInterval(slow);
    if (document.hidden) {
      clearTimeout(timer);
      timer = 0;
      cancelAnimationFrame(frame);
      frame = 0;
      stream.rest();
    } else {
      slow = setInterval(refresh, seldom);
      stream.open();
      refresh();
    }
  };
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", () => stream.rest());
  window.addEventListener("pageshow", (event) => event.persisted && look());
  look();
}
