/* The page: questions go out, exchanges come in. */
import { eventsOf } from "./events.js";
import { Exchange } from "./exchange.js";

const find = (id) => document.getElementById(id);
const [root, form, input] = [find("assistant"), find("ask"), find("question")];
const [send, stop, status] = [find("send"), find("stop"), find("status")];
const suggestions = [...document.querySelectorAll(".suggestion")];
const toolNames = new Set(root.dataset.tools.split(" "));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let running = null; // the AbortController of the present answer

async function answer(question, body) {
  const exchange = new Exchange(question, toolNames);
  find("welcome").hidden = true;
  find("exchanges").append(exchange.element);
  show(exchange.element, "start");
  try {
    status.textContent = "Asking the model…";
    for await (const { name, data } of eventsOf(root.dataset.askUrl, body, running.signal)) {
      status.textContent = exchange.take(name, data) ?? status.textContent;
    }
  } catch (error) {
    status.textContent = exchange.refuse(running.signal.aborted ? "Stopped." : error.message);
  } finally {
    show(exchange.end(), "nearest");
  }
}

function show(element, block) {
  element.scrollIntoView({ block, behavior: calm.matches ? "auto" : "smooth" });
}

async function ask(question) {
  if (running !== null || !question.trim()) return;
  running = new AbortController();
  input.value = question;
  const body = new FormData(form);
  input.value = "";
  setBusy(true);
  await answer(question, body);
  running = null;
  setBusy(false);
}

function setBusy(isBusy) {
  const left = document.activeElement;
  stop.hidden = !isBusy;
  send.hidden = isBusy;
  for (const button of suggestions) button.setAttribute("aria-disabled", String(isBusy));
  // A hidden button loses the focus.
  if (left === send) stop.focus();
  if (left === stop) input.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(input.value);
});
stop.addEventListener("click", () => running?.abort());
for (const button of suggestions) button.addEventListener("click", () => ask(button.textContent));
