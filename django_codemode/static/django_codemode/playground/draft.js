"use strict";

/* The code and its options as they were left, in this browser's own storage. */
class CodemodeDraft {
  static PAUSE = 300; // milliseconds after the last change
  static LONGEST = 500_000; // characters; a longer draft is not kept
  #key;
  #fields;
  #allowed = new Set(); // names of tools about which nobody need ask again
  #timer = null;
  #fail;

  /* fields maps names to {value} objects; fail is told why nothing can be kept. */
  constructor(key, fields, fail) {
    this.#key = key;
    this.#fields = fields;
    this.#fail = fail;
    addEventListener("pagehide", () => this.#timer !== null && this.#save());
  }

  /* Fill the fields with what was left. */
  restore() {
    let draft = null;
    try {
      draft = JSON.parse(localStorage.getItem(this.#key) ?? "null");
    } catch (error) {
      this.#fail(error);
    }
    if (typeof draft?.code !== "string") return;
    for (const [name, field] of Object.entries(this.#fields)) {
      if (typeof draft[name] === "string") field.value = draft[name];
    }
    if (Array.isArray(draft.allowed)) this.#allowed = new Set(draft.allowed);
  }

  /* Note that something has changed. */
  changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), CodemodeDraft.PAUSE);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#allowed.clear();
    this.#store(null);
  }

  isAllowed(name) {
    return this.#allowed.has(name);
  }

  allow(names) {
    for (const name of names) this.#allowed.add(name);
    this.changed();
  }

  #save() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const values = Object.entries(this.#fields).map(([name, field]) => [name, field.value]);
    const draft = JSON.stringify({ ...Object.fromEntries(values), allowed: [...this.#allowed] });
    this.#store(draft.length > CodemodeDraft.LONGEST ? null : draft);
  }

  #store(draft) {
    try {
      if (draft === null) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, draft);
    } catch (error) {
      this.#fail(error);
    }
  }
}
