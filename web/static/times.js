// Shows moments in the reader's own zone, and the exact one in UTC on hover.
// Without scripts they are UTC, as the page says.
//
//   <time datetime="2026-03-01T12:00:00Z">1 Mar 2026, 12:00 UTC</time>
//   <span data-times-zone>all times are UTC</span>

const moment = new Intl.DateTimeFormat(navigator.languages, { dateStyle: "medium", timeStyle: "short" });

export function localize(root) {
  for (const time of root.querySelectorAll("time[datetime*=T]")) {
    // What is shown to the day is a day in UTC.
    if (time.title || !time.textContent.endsWith("UTC")) continue;
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title = at.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
    time.textContent = moment.format(at);
  }
}

localize(document);
for (const zone of document.querySelectorAll("[data-times-zone]")) {
  zone.textContent = "times are those of " + moment.resolvedOptions().timeZone.replaceAll("_", " ");
}
// What another module puts into the page later.
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) {
      if (node instanceof Element) localize(node.parentNode ?? node);
    }
  }
}).observe(document.getElementById("main"), { childList: true, subtree: true });
