// Adds a "Copy" button to each copy box, where the browser can copy.
//
//   <div class="copy-row"><code id="copy-x">value</code></div>   labelled by #copy-x-label

const shown = 2500; // milliseconds that "Copied" stays

if (navigator.clipboard) {
  for (const row of document.querySelectorAll(".copy-row")) {
    add(row, row.querySelector("code"));
  }
}

function add(row, code) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-secondary copy-button";
  button.id = code.id + "-button";
  button.textContent = "Copy";
  button.setAttribute("aria-labelledby", button.id + " " + code.id + "-label");
  const status = document.createElement("span");
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  row.append(button, status);

  let timer = 0;
  button.addEventListener("click", async () => {
    clearTimeout(timer);
    try {
      await navigator.clipboard.writeText(code.textContent);
      say("Copied");
    } catch {
      // Not allowed here; with the text selected, one key press does it.
      getSelection().selectAllChildren(code);
      say("Press Ctrl+C or ⌘C");
    }
    timer = setTimeout(() => {
      button.textContent = "Copy";
      status.textContent = "";
    }, shown);
  });

  const say = (text) => {
    button.textContent = text;
    status.textContent = text;
  };
}
