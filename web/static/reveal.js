// Adds a "Show" button to secret inputs. Without scripts there is simply none.
//
//   <div class="input-row"><input type="password" id="…" data-reveal="API token"></div>
//
// The button's name stays "Show API token"; aria-pressed tells the state.

for (const input of document.querySelectorAll("input[type=password][data-reveal]")) {
  add(input);
}

function add(input) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-controls", input.id);
  const what = document.createElement("span");
  what.className = "visually-hidden";
  what.textContent = " " + input.dataset.reveal;
  button.append("Show", what);
  input.after(button);
  input.parentElement.classList.add("has-reveal");

  const show = (on) => {
    input.type = on ? "text" : "password";
    button.setAttribute("aria-pressed", String(on));
  };

  button.addEventListener("click", (event) => {
    const { selectionStart, selectionEnd } = input;
    show(input.type === "password");
    // A click with a pointer goes back to typing where it was. From the
    // keyboard (detail is 0) the focus stays: moving it would be a surprise.
    if (event.detail > 0) {
      input.focus();
      input.setSelectionRange(selectionStart, selectionEnd);
    }
  });

  // Hidden again before it is sent, so that the browser treats it as the
  // secret it is and does not offer it as plain text next time.
  input.form?.addEventListener("submit", () => show(false));
}
