/* One question with its answer: the attempts, the sentence and the count. */
import { Attempt, fromTemplate } from "./attempt.js";

export class Exchange {
  #attempt = null;
  #attempts = 0;
  #toolNames;

  constructor(question, toolNames) {
    this.#toolNames = toolNames;
    this.element = fromTemplate("exchange-template");
    this.#find(".question").textContent = question;
  }

  /* Show an event; return what the page should say that happens, if that changes. */
  take(name, data) {
    if (name === "answer") return this.#answer(data);
    if (name === "counted") return this.#count(data);
    if (name === "error") return this.refuse(data.message);
    if (this.#attempt === null || this.#attempt.isOver) {
      this.#attempts += 1;
      this.#attempt = new Attempt(this.#attempts, this.#toolNames);
      this.#find(".attempts").append(this.#attempt.element);
    }
    this.#attempt[name]?.(data);
    return { code: "Writing code…", started: "Running the code…", completed: "Reading the result…" }[name];
  }

  /* Show why there is no answer. */
  refuse(message) {
    const trouble = this.#find(".trouble");
    trouble.hidden = false;
    trouble.textContent = message;
    return "Not answered";
  }

  /* Return the last part that is shown; from now on there is nothing to come. */
  end() {
    this.#find(".answer").setAttribute("aria-busy", "false");
    return [...this.element.children].findLast((part) => !part.hidden);
  }

  #answer({ text }) {
    const answer = this.#find(".answer");
    answer.hidden = false;
    answer.setAttribute("aria-busy", "true"); // It is read out when it is whole.
    answer.textContent += text;
    return "Answering…";
  }

  #count({ calls, round_trips: trips, tokens, instead_of: others, exact }) {
    if (trips === 0) return "Answered";
    const about = exact ? "" : "about ";
    const count = this.#find(".count");
    count.hidden = false;
    count.querySelector("summary").textContent = [
      number(calls, "tool call"),
      number(trips, "round trip"),
      `${about}${tokens.toLocaleString("en")} tokens${calls ? ` instead of ${others.toLocaleString("en")}` : ""}`,
    ].join(" · ");
    if (!exact) count.querySelector(".how").textContent = "by an estimate";
    return "Answered";
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

function number(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
