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

const again = 3000; // milliseconds until a server is asked again that is not there
const mostTries = 100; // it is not there, or nobody is signed in any more

for (const section of document.querySelectorAll("[data-progress]")) {
  follow(section, 0);
}

function follow(section, tries) {
  const events = new EventSource(section.dataset.progress);
  events.addEventListener("error", () => {
    // Where the connection is lost the browser asks again by itself; where the
    // answer is another one than events it does not.
    if (events.readyState === EventSource.CLOSED && tries < mostTries) {
      setTimeout(() => follow(section, tries + 1), again);
    }
  });
  events.addEventListener("progress", (event) => {
    tries = 0;
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
