"use strict";

/* What this browser has run, newest first, in its own storage and nowhere else. */
class CodemodeHistory {
  static MOST = 50;
  static LONGEST = 20_000; // characters of code; longer code is not kept
  #key;
  #list;
  #empty;
  #clear;
  #choose;

  constructor(key, { heading, list, empty, clear, choose }) {
    this.#key = key;
    this.#list = list;
    this.#empty = empty;
    this.#clear = clear;
    this.#choose = choose;
    clear.addEventListener("click", () => {
      if (this.#write([])) this.#show([]);
      heading.focus(); // The button is hidden now.
    });
    this.#show(this.#read());
  }

  add(entry) {
    if (entry.code.length > CodemodeHistory.LONGEST) return;
    const others = this.#read().filter((one) => one.code !== entry.code);
    const entries = [entry, ...others].slice(0, CodemodeHistory.MOST);
    if (this.#write(entries)) this.#show(entries);
  }

  #read() {
    try {
      const entries = JSON.parse(localStorage.getItem(this.#key) ?? "[]");
      return Array.isArray(entries) ? entries.filter((one) => typeof one?.code === "string") : [];
    } catch (error) {
      this.#fail(error);
      return [];
    }
  }

  #write(entries) {
    try {
      if (entries.length) localStorage.setItem(this.#key, JSON.stringify(entries));
      else localStorage.removeItem(this.#key);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #fail(error) {
    this.#empty.hidden = false;
    this.#empty.textContent = `This browser keeps no history: ${error.message}`;
  }

  #show(entries) {
    this.#empty.hidden = entries.length > 0;
    this.#clear.hidden = entries.length === 0;
    this.#list.replaceChildren(
      ...entries.map((entry) => {
        const [item, button, code, note] = ["li", "button", "code", "p"].map((tag) => document.createElement(tag));
        button.type = "button";
        button.className = "codemode-again";
        button.title = "Put this code into the editor";
        const filled = entry.code.split("\n").filter((line) => line.trim());
        code.textContent = filled.find((line) => !/^(import|from)\b|^#/.test(line)) ?? filled[0];
        const lines = entry.code.trimEnd().split("\n").length;
        note.textContent = [
          entry.status,
          lines > 1 ? `${lines} lines` : null,
          new Date(entry.at).toLocaleString(),
        ].filter(Boolean).join(", ");
        button.append(code);
        button.addEventListener("click", () => this.#choose(entry.code));
        item.append(button, note);
        return item;
      }),
    );
  }
}
