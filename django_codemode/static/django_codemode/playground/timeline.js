"use strict";

/* The tool calls of the present run, as bars by the clock of the server, that grow while the calls run. */
class CodemodeTimeline {
  static LEAST = 1; // percent, so that the shortest call can be seen
  static MOST = 500; // rows; the calls beyond them are only counted
  static PAUSE = 100; // milliseconds between two drawings
  #section;
  #list;
  #template;
  #prepare;
  #calls = new Map();
  #running = 0;
  #last = [0, 0]; // the latest time of the server, and that of this page when it came
  #timer = null;
  #uncounted = 0;

  /* prepare is called with each value that is shown. */
  constructor(section, list, template, prepare) {
    this.#section = section;
    this.#list = list;
    this.#template = template;
    this.#prepare = prepare;
  }

  /* Clear the rows of the run before. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#calls.clear();
    this.#running = this.#uncounted = 0;
    this.#last = [0, performance.now()];
    this.#list.replaceChildren();
    this.#section.hidden = true;
  }

  started({ call_id: id, name, arguments: given, at_ms: at }) {
    this.#section.hidden = false;
    if (this.#calls.size >= CodemodeTimeline.MOST) {
      this.#uncounted += 1;
      if (this.#uncounted === 1) this.#list.append(document.createElement("li"));
      this.#list.lastChild.textContent = `${this.#uncounted} more`;
      return;
    }
    const row = this.#template.content.firstElementChild.cloneNode(true);
    row.querySelector(".codemode-call-name").textContent = name;
    row.querySelector(".codemode-call-arguments").textContent = given;
    const call = { row, start: at, duration: null };
    this.#calls.set(id, call);
    this.#running += 1;
    this.#tell(call, "running", null, null);
    this.#list.append(row);
    this.#came(at);
  }

  finished({ call_id: id, outcome, duration_ms: duration, error, at_ms: at, html }) {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#running -= 1;
    call.start = Math.max(0, at - duration);
    this.#tell(call, outcome, duration, error);
    if (html) {
      const value = call.row.querySelector(".codemode-call-value");
      value.replaceChildren(...codemodeParsed(html));
      this.#prepare(value);
    }
    this.#came(at);
  }

  /* End the run. The outcome is that of the calls that have not finished by now; whole is the run's time, if known. */
  end(outcome, whole) {
    clearTimeout(this.#timer);
    this.#timer = null;
    const now = this.#now();
    for (const call of this.#calls.values()) {
      if (call.duration === null) this.#tell(call, outcome, Math.max(0, now - call.start), null);
    }
    this.#running = 0;
    this.#draw(Math.max(whole, this.#last[0]) || now);
  }

  #came(at) {
    if (at > this.#last[0]) this.#last = [at, performance.now()];
    this.#timer ??= setTimeout(() => this.#tick(), CodemodeTimeline.PAUSE);
  }

  /* Draw, and again while a call runs: without one nothing grows. */
  #tick() {
    this.#timer = this.#running ? setTimeout(() => this.#tick(), CodemodeTimeline.PAUSE) : null;
    this.#draw(this.#running ? this.#now() : this.#last[0]);
  }

  /* The time of the run on the server, as far as this page knows. */
  #now() {
    return this.#last[0] + performance.now() - this.#last[1];
  }

  #tell(call, outcome, duration, error) {
    call.duration = duration;
    call.row.dataset.outcome = outcome;
    call.row.querySelector(".codemode-call-outcome").textContent = outcome;
    call.row.querySelector(".codemode-call-duration").textContent =
      duration === null ? "" : `${duration.toFixed(1)} ms`;
    call.row.querySelector(".codemode-call-error").textContent = error ?? "";
  }

  #draw(time) {
    const whole = Math.max(0.001, time);
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
