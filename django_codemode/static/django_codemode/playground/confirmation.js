"use strict";

/* The question before code runs that names tools which may write. */
class CodemodeConfirmation {
  #dialog;
  #list;
  #remember;
  #answer = null; // resolves the present question

  constructor(dialog, { list, remember, confirm, decline }) {
    this.#dialog = dialog;
    this.#list = list;
    this.#remember = remember;
    confirm.addEventListener("click", () => this.#close(true));
    decline.addEventListener("click", () => this.#close(false));
    // By Escape. The event may come late, when the dialog is open for the next question.
    dialog.addEventListener("close", () => !dialog.open && this.#answer(false));
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Escape") event.stopPropagation(); // It closes the dialog alone.
    });
  }

  /* Ask; resolve to {runs, remembers}. marks maps names of tools to what they do. */
  async ask(marks) {
    this.#list.replaceChildren(
      ...[...marks].map(([name, mark]) => {
        const [item, code, badge] = ["li", "code", "span"].map((tag) => document.createElement(tag));
        code.textContent = name;
        badge.className = "codemode-badge";
        badge.textContent = mark;
        item.append(code, " ", badge);
        return item;
      }),
    );
    this.#remember.checked = false;
    const runs = await new Promise((resolve) => {
      this.#answer = resolve;
      this.#dialog.showModal();
    });
    return { runs, remembers: runs && this.#remember.checked };
  }

  #close(runs) {
    this.#dialog.close();
    this.#answer(runs);
  }
}
