// Makes one tree like another by changing only what differs: focus, selection, what a person has
// opened or typed, and running animations stay.

export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(document.importNode(to, true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.nodeValue = to.nodeValue;
    return;
  }
  attributes(from, to);
  if (from.nodeName === "INPUT" || from.nodeName === "TEXTAREA" || from.nodeName === "SELECT") return;
  children(from, to);
}

function attributes(from, to) {
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    const own = name === "open" && (from.nodeName === "DETAILS" || from.nodeName === "DIALOG");
    if (!to.hasAttribute(name) && !own) from.removeAttribute(name);
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.id || "" : "";
}

function children(from, to) {
  const known = new Map();
  for (const child of from.childNodes) {
    const key = keyOf(child);
    if (key) known.set(key, child);
  }
  let at = from.firstChild;
  for (const wanted of to.childNodes) {
    while (at && at.dataset && "keep" in at.dataset) at = at.nextSibling;
    const key = keyOf(wanted);
    let match = key ? known.get(key) : at && !keyOf(at) ? at : null;
    if (match && match.nodeName !== wanted.nodeName) match = null;
    if (!match) {
      from.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (match !== at) from.insertBefore(match, at);
    else at = at.nextSibling;
    known.delete(key);
    morph(match, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    if (!(at.dataset && "keep" in at.dataset)) at.remove();
    at = next;
  }
}
