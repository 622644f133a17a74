"use strict";

/* What the code prints, while it runs: the last part of it, however much it is. */
class CodemodeOutput {
  static MOST = 100_000; // characters
  static PARTS = 2_000; // changes between stdout and stderr
  static PAUSE = 50; // milliseconds between two changes of the page
  #section;
  #element;
  #note;
  #waiting = [];
  #waitingLength = 0;
  #shown = 0;
  #leftOut = 0;
  #timer = null;

  constructor(section, element, note) {
    this.#section = section;
    this.#element = element;
    this.#note = note;
  }

  clear() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#waiting = [];
    this.#waitingLength = this.#shown = this.#leftOut = 0;
    this.#element.replaceChildren();
    this.#note.textContent = "";
    this.#section.hidden = true;
  }

  print({ stream, text }) {
    this.#waiting.push([stream === "stderr" ? "codemode-stderr" : "", text]);
    this.#waitingLength += text.length;
    while (this.#waitingLength - this.#waiting[0][1].length >= CodemodeOutput.MOST) {
      const { length } = this.#waiting.shift()[1];
      this.#waitingLength -= length;
      this.#leftOut += length;
    }
    this.#timer ??= setTimeout(() => this.flush(), CodemodeOutput.PAUSE);
  }

  /* Show what was printed until now. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#waiting.length) return;
    this.#section.hidden = false;
    const element = this.#element;
    const follows = element.scrollTop + element.clientHeight >= element.scrollHeight - 4;
    for (const [kind, text] of this.#waiting) {
      // One element for each change of stream, however often the code prints.
      if (element.lastElementChild?.className !== kind) {
        const span = document.createElement("span");
        span.className = kind;
        element.append(span);
      }
      element.lastElementChild.append(text);
    }
    this.#shown += this.#waitingLength;
    this.#waiting = [];
    this.#waitingLength = 0;
    this.#trim();
    if (follows) element.scrollTop = element.scrollHeight;
  }

  #trim() {
    while (this.#shown > CodemodeOutput.MOST || this.#element.childElementCount > CodemodeOutput.PARTS) {
      const span = this.#element.firstElementChild;
      const text = span.firstChild;
      const over = this.#shown - CodemodeOutput.MOST;
      const cut = over > 0 ? Math.min(text.length, over) : text.length;
      text.deleteData(0, cut);
      if (!text.length) text.remove();
      if (!span.firstChild) span.remove();
      this.#shown -= cut;
      this.#leftOut += cut;
    }
    if (this.#leftOut) this.#note.textContent = `The first ${this.#leftOut.toLocaleString()} characters are not shown.`;
  }
}
