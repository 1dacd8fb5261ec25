// Takes an OAuth reply out of the URL's fragment, which no server sees, and
// sends it to our own origin as a form.
//
//   <div data-fragment="/connect/callback/…">
//     <p data-fragment-waiting hidden>…</p>
//     <div data-fragment-empty hidden>…</div>
//   </div>
//
// Load it on the callback page only. What the parameters mean, and whether one
// that is there twice is acceptable, is for the server to say: they are passed
// on as they came.

const root = document.querySelector("[data-fragment]");
const raw = location.hash.slice(1);

// First of all out of the address bar and the history: there are tokens in it.
history.replaceState(null, "", location.pathname);

// Some providers append "#_=_" to keep browsers from inheriting a fragment.
const reply = raw.replace(/(^|[#&])_=_$/, "");

if (root) {
  const parameters = [...new URLSearchParams(reply)];
  if (parameters.length > 0) {
    root.querySelector("[data-fragment-waiting]")?.removeAttribute("hidden");
    send(root.dataset.fragment, parameters);
  } else {
    root.querySelector("[data-fragment-empty]")?.removeAttribute("hidden");
  }
}

function send(action, parameters) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = action;
  form.hidden = true;
  for (const [name, value] of parameters) {
    const input = document.createElement("input");
    input.type = "hidden";
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  // The prototype's submit: a parameter called "submit" shadows the form's own.
  HTMLFormElement.prototype.submit.call(form);
}
