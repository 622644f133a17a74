"use strict";

/* What a run takes beside its code: inputs, a profile, and the user as whom it acts. */
class CodemodeOptions {
  #box;
  #inputs;
  #profile;
  #user;
  #error;

  /* user is null for a person who may act as nobody else. */
  constructor({ box, inputs, profile, user, error }) {
    this.#box = box;
    this.#inputs = inputs;
    this.#profile = profile;
    this.#user = user;
    this.#error = error;
  }

  get inputs() {
    return this.#inputs.value.trim();
  }

  get profile() {
    return this.#profile.value.trim();
  }

  get user() {
    return this.#user?.value.trim() ?? "";
  }

  /* Return what is wrong with the inputs, "" if nothing is, and show it at their field. */
  wrong() {
    let wrong = "";
    try {
      const value = JSON.parse(this.inputs || "{}");
      if (value === null || typeof value !== "object" || Array.isArray(value)) wrong = "they are JSON, and not an object";
    } catch (error) {
      wrong = error.message;
    }
    this.#error.textContent = wrong && `The inputs cannot be used: ${wrong}. Expected an object such as {"limit": 2}.`;
    this.#inputs.setAttribute("aria-invalid", String(wrong !== ""));
    if (wrong) {
      this.#box.open = true;
      this.#inputs.focus();
    }
    return wrong;
  }

  /* Return the request for a run as JSON on one line. The inputs go as they were written: numbers of any size are exact. */
  request(code) {
    const inputs = this.inputs.replaceAll(/[\n\r\t]/g, " ");
    const others = Object.entries({ profile: this.profile, as_user: this.user }).filter(([, value]) => value);
    const parts = [
      `"code": ${JSON.stringify(code)}`,
      ...(inputs ? [`"inputs": ${inputs}`] : []),
      ...others.map(([name, value]) => `"${name}": ${JSON.stringify(value)}`),
    ];
    return `{${parts.join(", ")}}`;
  }

  /* Show the options that count, so that nobody overlooks them. */
  reveal() {
    if (this.inputs || this.profile) this.#box.open = true;
  }

  clear() {
    this.#inputs.value = this.#profile.value = "";
  }
}
