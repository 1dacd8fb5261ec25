// Says that something is under way after a form was sent, and keeps it from
// being sent twice.
//
//   <form data-busy="Asking Toggl…"> … <button>Link account</button> </form>
//
// The button is not disabled: a disabled one loses the focus and its value.

const slow = 8000; // milliseconds until it is said that it takes longer

for (const form of document.querySelectorAll("form[data-busy]")) {
  watch(form);
}

function watch(form) {
  // A live region is only read out when it was there before its text.
  const status = document.createElement("p");
  status.className = "busy-status";
  status.setAttribute("role", "status");
  form.append(status);

  let timer = 0;
  let pressed = null;

  const reset = () => {
    clearTimeout(timer);
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
    pressed?.removeAttribute("aria-disabled");
    pressed?.classList.remove("is-busy");
    pressed = null;
    status.textContent = "";
  };

  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
    pressed = event.submitter ?? form.querySelector("button:not([type=button])");
    pressed?.setAttribute("aria-disabled", "true");
    pressed?.classList.add("is-busy");
    status.textContent = form.dataset.busy;
    timer = setTimeout(() => {
      status.textContent = form.dataset.busy + " This takes longer than usual. Please keep this page open.";
    }, slow);
  });

  // Coming back by the back button shows the page as it was left: waiting for
  // an answer that has long come.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) reset();
  });
}
