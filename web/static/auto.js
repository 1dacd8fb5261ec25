// Sends a form that only waits for somebody to press its one button. Without
// scripts, somebody presses it.
//
//   <form method="post" data-auto> … <button>Go on</button> </form>
//
// Once only: a page that the back button brings again waits to be told.

const [navigation] = performance.getEntriesByType("navigation");

if (navigation?.type !== "back_forward") {
  document.querySelector("form[data-auto]")?.requestSubmit();
}
