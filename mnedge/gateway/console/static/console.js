// What scripts add to pages that work without them.

import "./keys.js";
import { follow } from "./live.js";

for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
for (const part of document.querySelectorAll("[data-plain]")) part.hidden = true;

for (const choice of document.querySelectorAll("[data-theme-choice]")) {
  choice.addEventListener("change", () => {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${choice.value}; Path=/; Max-Age=31536000; SameSite=Strict${secure}`;
    document.documentElement.dataset.theme = choice.value;
    for (const other of document.querySelectorAll("[data-theme-choice]")) other.value = choice.value;
  });
}

// One press is one request.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

follow();
