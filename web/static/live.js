// Keeps a part of a page up to date by server-sent events. Each has the whole
// part; what is the same in it stays in place, with the reader's focus and
// selection, and what they have opened stays open.
//
//   <div data-live="/admin/overview/stream">
//     <li data-key="…">                an item that may come, go and move
//   <span data-live-status hidden>     says whether the part is up to date

const root = document.querySelector("[data-live]");
if (root && "EventSource" in window) {
  follow(root);
}

function follow(root) {
  const status = document.querySelector("[data-live-status]");
  const source = new EventSource(root.dataset.live);

  const say = (text) => {
    if (!status || status.textContent === text) return;
    status.hidden = false;
    status.textContent = text;
  };

  source.addEventListener("part", (event) => {
    const held = root.contains(document.activeElement) ? document.activeElement : null;
    fit(root, new DOMParser().parseFromString(JSON.parse(event.data), "text/html").body);
    if (held && held !== document.activeElement) {
      (held.isConnected ? held : document.getElementById("main")).focus({ preventScroll: true });
    }
    say("Up to date");
  });
  source.addEventListener("end", () => {
    source.close();
    say("No longer up to date: reload the page");
  });
  source.addEventListener("error", () => {
    say(source.readyState === EventSource.CLOSED ? "No longer up to date: reload the page" : "Connecting again…");
  });
  // A page that waits in the back-forward cache must hold no connection.
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}

const keyOf = (node) => node?.dataset?.key;
const alike = (a, b) => a?.nodeName === b.nodeName && keyOf(a) === keyOf(b);

// fit makes the content of one element that of another, and touches nothing that
// is so already.
function fit(element, wanted) {
  const keys = new Set(Array.from(wanted.children, keyOf));
  const there = new Map(Array.from(element.children, (child) => [keyOf(child), child]));
  let at = element.firstChild;
  const drop = () => {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  };
  for (const node of [...wanted.childNodes]) {
    const known = keyOf(node) && there.get(keyOf(node));
    // Up to an item that is further down, what is in its way goes. One that stays
    // does not: then they have changed places.
    while (at && (keyOf(at) ? !keys.has(keyOf(at)) : known)) drop();
    if (alike(at, node)) {
      become(at, node);
      at = at.nextSibling;
    } else if (known && alike(known, node)) {
      element.insertBefore(known, at);
      become(known, node);
    } else {
      element.insertBefore(node, at);
    }
  }
  while (at) drop();
}

// become gives a node the content of one that is alike.
function become(node, wanted) {
  if (!(node instanceof Element)) {
    if (node.nodeValue !== wanted.nodeValue) node.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  fit(node, wanted);
}
