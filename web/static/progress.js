// Keeps the numbers of something that goes on in the background up to date.
//
//   <section data-progress="/…/progress" data-status="running">
//     <span data-live="done">12</span>
//     <progress data-live-value="done" data-live-max="total"></progress>
//   </section>
//
// The address answers an event "progress" with the numbers, and the browser asks
// again by itself. Once the status is another one, the page is loaded anew: it
// has more to say then. Nothing is read out but the end of it.

for (const section of document.querySelectorAll("[data-progress]")) {
  follow(section);
}

function follow(section) {
  const events = new EventSource(section.dataset.progress);
  events.addEventListener("progress", (event) => {
    const now = JSON.parse(event.data);
    for (const element of section.querySelectorAll("[data-live]")) {
      const text = String(now[element.dataset.live]);
      if (element.textContent !== text) element.textContent = text;
    }
    for (const bar of section.querySelectorAll("[data-live-value]")) {
      bar.max = Math.max(now[bar.dataset.liveMax], 1);
      bar.value = now[bar.dataset.liveValue];
    }
    if (now.status !== section.dataset.status) {
      events.close();
      location.reload();
    }
  });
  window.addEventListener("pagehide", () => events.close());
}
