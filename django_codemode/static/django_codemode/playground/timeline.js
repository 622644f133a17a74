"use strict";

/* The tool calls of the present run, as bars that grow while the calls run. */
class CodemodeTimeline {
  static LEAST = 1; // percent, so that the shortest call can be seen
  static MOST = 500; // rows; the calls beyond them are only counted
  #section;
  #list;
  #template;
  #calls = new Map();
  #began = 0;
  #timer = null;
  #uncounted = 0;

  constructor(section, list, template) {
    this.#section = section;
    this.#list = list;
    this.#template = template;
  }

  /* Clear the rows of the run before. */
  clear() {
    this.#calls.clear();
    this.#uncounted = 0;
    this.#list.replaceChildren();
    this.#section.hidden = true;
  }

  /* Begin the time of the run. */
  begin() {
    this.#began = performance.now();
    this.#timer = setInterval(() => this.#draw(), 100);
  }

  started({ call_id: id, name, arguments: given }) {
    this.#section.hidden = false;
    if (this.#calls.size >= CodemodeTimeline.MOST) {
      this.#uncounted += 1;
      if (this.#uncounted === 1) this.#list.append(document.createElement("li"));
      this.#list.lastChild.textContent = `${this.#uncounted} more`;
      return;
    }
    const row = this.#template.content.firstElementChild.cloneNode(true);
    row.querySelector(".codemode-call-name").textContent = name;
    row.querySelector(".codemode-call-arguments").textContent = JSON.stringify(given).slice(0, 2_000);
    const call = { row, start: performance.now() - this.#began, duration: null };
    this.#calls.set(id, call);
    this.#tell(call, "running", null, null);
    this.#list.append(row);
  }

  finished({ call_id: id, outcome, duration_ms: duration, error }) {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    // Events may come late. A call has ended when its end is told, or it would seem to last
    // into the calls that came after it.
    call.start = Math.max(0, Math.min(call.start, performance.now() - this.#began - duration));
    this.#tell(call, outcome, duration, error);
  }

  /* End the run; the outcome is that of the calls that have not finished by now. */
  end(outcome) {
    clearInterval(this.#timer);
    for (const call of this.#calls.values()) {
      if (call.duration === null) this.#tell(call, outcome, performance.now() - this.#began - call.start, null);
    }
    this.#draw();
  }

  #tell(call, outcome, duration, error) {
    call.duration = duration;
    call.row.dataset.outcome = outcome;
    call.row.querySelector(".codemode-call-outcome").textContent = outcome;
    call.row.querySelector(".codemode-call-duration").textContent =
      duration === null ? "" : `${duration.toFixed(1)} ms`;
    call.row.querySelector(".codemode-call-error").textContent = error ?? "";
  }

  #draw() {
    const whole = Math.max(1, performance.now() - this.#began);
    for (const { row, start, duration } of this.#calls.values()) {
      const left = Math.min(100 - CodemodeTimeline.LEAST, (start / whole) * 100);
      const share = ((duration ?? whole - start) / whole) * 100;
      const width = Math.min(100 - left, Math.max(CodemodeTimeline.LEAST, share));
      const bar = row.querySelector("rect");
      bar.setAttribute("x", `${left}%`);
      bar.setAttribute("width", `${width}%`);
    }
  }
}
