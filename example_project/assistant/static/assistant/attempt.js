/* One program of a model, and its run: code, tool calls, output, result. */
import { highlight } from "./highlight.js";
import { fileElement, make, shorten, valueElement } from "./values.js";

const MAX_CALLS = 200;
const MAX_OUTPUT = 50_000;
const MAX_ARGUMENTS = 120;
const LEAST_PERCENT = 1;

export function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export class Attempt {
  #code = "";
  #calls = new Map();
  #uncounted = 0;
  #output = "";
  #isolation = "";
  #toolNames;

  constructor(number, toolNames) {
    this.#toolNames = toolNames;
    this.element = fromTemplate("attempt-template");
    if (number > 1) this.#find(".program h3").textContent = `Code, attempt ${number}`;
    this.isOver = false;
  }

  code({ text }) {
    this.#code += text;
    highlight(this.#find("code"), this.#code, this.#toolNames);
  }

  started({ isolation }) {
    this.#isolation = isolation;
    this.#find(".facts").textContent = "running…";
  }

  output({ text }) {
    this.#output = shorten(this.#output + text, MAX_OUTPUT);
    this.#show(".output").querySelector("pre").textContent = this.#output;
  }

  tool_call_started({ call_id: id, name, arguments: given, at_ms: start }) {
    const list = this.#show(".calls").querySelector("ol");
    if (this.#calls.size >= MAX_CALLS) {
      this.#uncounted += 1;
      if (this.#uncounted === 1) list.append(make("li"));
      list.lastChild.textContent = `${this.#uncounted} more`;
      return;
    }
    const row = fromTemplate("call-template");
    row.querySelector(".call-name").textContent = name;
    row.querySelector(".call-arguments").textContent = shorten(argumentsText(given), MAX_ARGUMENTS);
    list.append(row);
    this.#calls.set(id, { row, start, end: start });
  }

  tool_call_finished({ call_id: id, outcome, error, duration_ms: duration }) {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    call.end = call.start + duration;
    call.row.dataset.outcome = outcome;
    call.row.querySelector(".call-time").textContent = `${duration.toFixed(1)} ms`;
    if (outcome !== "completed") call.row.querySelector(".call-error").textContent = `${outcome}: ${error ?? ""}`;
    this.#draw(Math.max(...[...this.#calls.values()].map((one) => one.end)));
  }

  completed({ status, value, text, duration_ms: duration, artifacts }) {
    this.isOver = true;
    this.element.dataset.status = status;
    this.#draw(duration);
    this.#find(".facts").textContent = `${status} in ${Math.round(duration)} ms, isolation tier ${this.#isolation}`;
    if (status !== "completed") {
      this.#show(".failure").querySelector("pre").textContent = text;
      return;
    }
    const shown = [...(artifacts ?? []).map(fileElement), valueElement(value)].filter((one) => one !== null);
    if (shown.length) this.#show(".result").append(...shown);
  }

  #draw(whole) {
    for (const { row, start, end } of this.#calls.values()) {
      const left = Math.min(100 - LEAST_PERCENT, (start / whole) * 100);
      const bar = row.querySelector("rect");
      bar.setAttribute("x", `${left}%`);
      bar.setAttribute("width", `${Math.max(LEAST_PERCENT, Math.min(100 - left, ((end - start) / whole) * 100))}%`);
    }
  }

  #show(selector) {
    const part = this.#find(selector);
    part.hidden = false;
    return part;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

function argumentsText(given) {
  return Object.entries(given)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(", ");
}
