// Ticks all rows of a list at once, and says how many are ticked.
//
//   <form class="ticks"> <th><span class="tick" data-tick-all="Tick all on this page"></span>…
//     <input type="checkbox" name="…"> … <button data-ticked>Revoke the ticked…</button> </form>

for (const form of document.querySelectorAll("form.ticks")) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const head = form.querySelector("[data-tick-all]");
  if (head && boxes.length > 1) add(form, head, boxes);
}

function add(form, head, boxes) {
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", head.dataset.tickAll);
  const label = document.createElement("label");
  label.className = "tick";
  label.append(all);
  head.replaceWith(label); // in the room that was kept for it

  const button = form.querySelector("[data-ticked]");
  const text = button.textContent;
  const count = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && !all.checked;
    button.textContent = ticked > 0 ? text.replace("…", ` (${ticked})…`) : text;
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  window.addEventListener("pageshow", count); // as the back button left it
}
