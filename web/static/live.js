// Keeps the numbers of a page up to date by server-sent events, each in its
// place. Where the page would have other parts, those are fetched anew.
//
//   <div data-live="/admin/overview/stream" data-live-shape="…">
//     <span data-live-figure="active">12</span>
//     <section id="needs" data-live-part> … </section>
//   <p data-live-status hidden></p>   says whether numbers are up to date

const root = document.querySelector("[data-live]");
if (root && "EventSource" in window) {
  follow(root);
}

function follow(root) {
  const status = document.querySelector("[data-live-status]");
  const source = new EventSource(root.dataset.live);
  let fetching = false;

  const say = (text) => {
    if (!status || status.textContent === text) return;
    status.hidden = false;
    status.textContent = text;
  };

  source.addEventListener("figures", async (event) => {
    const { shape, figures } = JSON.parse(event.data);
    say("Up to date");
    show(figures);
    if (shape !== root.dataset.liveShape && !fetching) {
      fetching = true;
      try {
        await renew(shape);
        show(figures);
      } catch {
        say("Reload to see what has changed");
      }
      fetching = false;
    }
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

  function show(figures) {
    for (const place of root.querySelectorAll("[data-live-figure]")) {
      const text = figures[place.dataset.liveFigure];
      if (text !== undefined && place.textContent !== text) place.textContent = text;
    }
  }

  async function renew(shape) {
    const response = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
    if (!response.ok) throw new Error("status " + response.status);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of root.querySelectorAll("[data-live-part]")) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.innerHTML === part.innerHTML) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      part.replaceChildren(...fresh.childNodes);
      if (focused) (part.querySelector(`[href="${CSS.escape(focused)}"]`) ?? document.getElementById("main")).focus({ preventScroll: true });
    }
    root.dataset.liveShape = shape;
  }
}
