"use strict";

/* A textarea with coloured code below its transparent text, line numbers and indentation. */
class CodemodeEditor {
  #textarea;
  #code = document.createElement("pre");
  #numbers = document.createElement("pre");
  #mark = document.createElement("div");
  #toolNames;
  #tabLeaves = false;
  /* While true, Tab moves the focus as everywhere else. */
  isBusy = false;
  /* The one who sees each key first, and returns whether it was its own. */
  assistant = null;

  constructor(box, textarea, toolNames) {
    this.#textarea = textarea;
    this.#toolNames = toolNames;
    const gutter = this.#element("codemode-gutter", this.#numbers);
    const shown = this.#element("codemode-highlight-box", this.#code);
    this.#code.className = "codemode-highlight";
    this.#mark.className = "codemode-mark";
    const code = this.#element("codemode-code", shown);
    for (const one of [gutter, shown]) one.setAttribute("aria-hidden", "true");
    code.append(textarea);
    box.append(gutter, code);
    textarea.addEventListener("input", () => this.#changed());
    textarea.addEventListener("scroll", () => this.#scrolled());
    textarea.addEventListener("keydown", (event) => this.#pressed(event));
    textarea.addEventListener("blur", () => (this.#tabLeaves = false));
    this.#changed();
  }

  get value() {
    return this.#textarea.value;
  }

  set value(code) {
    this.#textarea.value = code;
    this.#changed();
    this.#textarea.scrollTo(0, 0);
  }

  get textarea() {
    return this.#textarea;
  }

  /* Replace a part of the code, as typing would. */
  replace(start, end, text) {
    this.#textarea.focus();
    this.#textarea.setSelectionRange(start, end);
    this.#type(text);
  }

  /* Return where a character of the code is, in pixels from the corner of the editor. */
  place(index) {
    const { lineHeight, paddingLeft } = getComputedStyle(this.#textarea);
    const before = this.value.slice(0, index).split("\n");
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = getComputedStyle(this.#textarea).font;
    const { offsetLeft } = this.#textarea.parentElement;
    return {
      x: offsetLeft + parseFloat(paddingLeft) + pen.measureText(before.at(-1)).width - this.#textarea.scrollLeft,
      y: parseFloat(paddingLeft) + before.length * parseFloat(lineHeight) - this.#textarea.scrollTop,
    };
  }

  /* Insert text at the cursor, as typing would; the cursor goes between trailing parentheses. */
  insert(text) {
    const { selectionStart, selectionEnd } = this.#textarea;
    this.replace(selectionStart, selectionEnd, text);
    if (text.endsWith("()")) {
      const middle = this.#textarea.selectionEnd - 1;
      this.#textarea.setSelectionRange(middle, middle);
    }
  }

  markLine(number) {
    this.#mark.style.top = `calc(8px + ${number - 1} * 1.5em)`;
    this.#code.append(this.#mark);
  }

  unmark() {
    this.#mark.remove();
  }

  goToLine(number) {
    const lines = this.value.split("\n");
    const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    const end = start + (lines[number - 1] ?? "").length;
    this.#textarea.focus();
    this.#textarea.setSelectionRange(start, end);
    const height = parseFloat(getComputedStyle(this.#textarea).lineHeight);
    this.#textarea.scrollTop = Math.max(0, (number - 3) * height);
  }

  #element(name, child) {
    const element = document.createElement("div");
    element.className = name;
    element.append(child);
    return element;
  }

  #changed() {
    const code = this.value;
    codemodePython.highlight(this.#code, code, this.#toolNames);
    const lines = code.split("\n").length;
    this.#numbers.textContent = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
    this.#numbers.parentElement.style.width = `calc(${String(lines).length}ch + 17px)`;
    this.#scrolled();
  }

  #scrolled() {
    const { scrollLeft, scrollTop } = this.#textarea;
    this.#code.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
    this.#numbers.style.transform = `translateY(${-scrollTop}px)`;
  }

  #pressed(event) {
    if (this.assistant?.pressed(event)) {
      event.preventDefault();
      return;
    }
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.isComposing;
    if (event.key === "Escape") {
      this.#tabLeaves = true;
    } else if (event.key === "Tab" && plain) {
      if (this.#tabLeaves || this.isBusy) return;
      event.preventDefault();
      this.#indent(event.shiftKey);
    } else if (event.key === "Enter" && plain && !event.shiftKey) {
      event.preventDefault();
      this.#newLine();
    } else if (event.key !== "Shift") {
      this.#tabLeaves = false;
    }
  }

  #indent(backwards) {
    const { selectionStart, selectionEnd } = this.#textarea;
    if (selectionStart === selectionEnd && !backwards) {
      const column = selectionStart - this.#startOfLine(selectionStart);
      this.#type(" ".repeat(4 - (column % 4)));
      return;
    }
    const start = this.#startOfLine(selectionStart);
    const lines = this.value.slice(start, selectionEnd).split("\n");
    const moved = lines.map((line) => (backwards ? line.replace(/^ {1,4}|^\t/, "") : line && `    ${line}`));
    const [first, all] = [moved[0].length - lines[0].length, moved.join("\n")];
    if (all === lines.join("\n")) return;
    this.#textarea.setSelectionRange(start, selectionEnd);
    this.#type(all);
    this.#textarea.setSelectionRange(Math.max(start, selectionStart + first), start + all.length);
  }

  #newLine() {
    const before = this.value.slice(0, this.#textarea.selectionStart);
    const line = before.slice(this.#startOfLine(before.length));
    const indentation = /^[ \t]*/.exec(line)[0];
    this.#type(`\n${indentation}${/:\s*$/.test(line) ? "    " : ""}`);
  }

  #startOfLine(position) {
    return this.value.lastIndexOf("\n", position - 1) + 1;
  }

  #type(text) {
    // Of all ways to change a textarea this one alone keeps the browser's undo.
    const typed = text
      ? document.execCommand("insertText", false, text)
      : document.execCommand("delete");
    if (!typed) {
      this.#textarea.setRangeText(text, this.#textarea.selectionStart, this.#textarea.selectionEnd, "end");
      this.#changed();
    }
  }
}
