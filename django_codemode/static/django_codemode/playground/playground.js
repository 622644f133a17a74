"use strict";

/* Joins the page: what runs, what is shown while it runs, and the keys. */
(() => {
  const find = (id) => document.getElementById(`codemode-${id}`);
  const root = find("playground");
  const form = find("form");
  const [run, cancel, status] = [find("run"), find("cancel"), find("status")];
  const [refusal, outcome, output] = [find("refusal"), find("outcome"), find("output")];
  const [progress, progressBar, progressNote] = [find("progress"), find("progress-bar"), find("progress-note")];
  const inserts = [...document.querySelectorAll(".codemode-tool")];
  const toolNames = new Set([...document.querySelectorAll("#codemode-tools > li")].map((item) => item.dataset.name));
  const editor = new CodemodeEditor(find("editor"), find("code"), toolNames);
  const timeline = new CodemodeTimeline(find("calls-section"), find("calls"), find("call"));
  const history = new CodemodeHistory(root.dataset.historyKey, {
    heading: find("history-heading"),
    list: find("history"),
    empty: find("history-empty"),
    clear: find("history-clear"),
    choose: (code) => (editor.value = code),
  });
  // A WSGI server learns that the browser has left when it next writes to it.
  const endsAtOnce = root.dataset.endsAtOnce === "true";
  let running = null; // the AbortController of the present run

  function say(text, kind = "") {
    status.textContent = text;
    status.dataset.status = kind;
  }

  function refuse(message) {
    const note = document.createElement("p");
    note.className = "errornote";
    note.textContent = message;
    refusal.replaceChildren(note);
    say("Not completed", "wrong");
  }

  function begin() {
    refusal.replaceChildren();
    outcome.replaceChildren();
    output.replaceChildren();
    for (const one of ["result-section", "output-section"]) find(one).hidden = true;
    progress.hidden = true;
    timeline.clear();
    editor.unmark();
    cancel.disabled = false;
    if (document.activeElement === run) cancel.focus(); // A disabled button loses the focus.
    run.disabled = true;
    editor.isBusy = true;
    root.setAttribute("aria-busy", "true");
    say("Starting…");
  }

  function end(isKnown) {
    timeline.end(isKnown ? "cancelled" : "not known");
    run.disabled = false;
    if (document.activeElement === cancel) run.focus();
    cancel.disabled = true;
    editor.isBusy = false;
    root.removeAttribute("aria-busy");
    running = null;
  }

  function print({ stream, text }) {
    find("output-section").hidden = false;
    const follows = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
    const kind = stream === "stderr" ? "codemode-stderr" : "";
    // One element for each change of stream, however often the code prints.
    if (output.lastElementChild === null || output.lastElementChild.className !== kind) {
      const span = document.createElement("span");
      span.className = kind;
      output.append(span);
    }
    output.lastElementChild.append(text);
    if (follows) output.scrollTop = output.scrollHeight;
  }

  function report({ done, total, note }) {
    progress.hidden = false;
    if (total) {
      progressBar.max = total;
      progressBar.value = Math.min(done, total);
    } else {
      progressBar.removeAttribute("value");
    }
    progressNote.textContent = [total ? `${done} of ${total}` : String(done), note].filter(Boolean).join(", ");
  }

  /* Show what the server has made of the result: its templates have escaped it. */
  function show(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    outcome.replaceChildren(...page.body.childNodes);
    find("result-section").hidden = false;
    prepareOutcome();
  }

  function prepareOutcome() {
    for (const button of outcome.querySelectorAll(".codemode-line")) {
      button.disabled = false;
      button.title = "Go to the line";
      editor.markLine(Number(button.dataset.line));
      button.addEventListener("click", () => editor.goToLine(Number(button.dataset.line)));
    }
    for (const picture of outcome.querySelectorAll("img")) {
      picture.addEventListener("error", () => picture.replaceWith("This browser cannot show the picture, or the site's policy forbids it."));
    }
  }

  function showContext(context) {
    const facts = Object.entries(context).map(([name, value]) => {
      const [row, term, description] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      description.textContent = value;
      row.append(term, description);
      return row;
    });
    find("context").replaceChildren(...facts);
  }

  function complete({ status: ended, error, duration_ms: duration, html }) {
    progress.hidden = true;
    if (ended === "completed") say(`Completed in ${Math.round(duration)} ms`, "completed");
    else say(`${error?.type ?? ended}${error?.line ? ` on line ${error.line}` : ""}`, "wrong");
    show(html);
    return ended;
  }

  const take = {
    started: ({ context }) => {
      say("Running…");
      timeline.begin();
      showContext(context);
    },
    output: print,
    tool_call_started: (data) => timeline.started(data),
    tool_call_finished: (data) => timeline.finished(data),
    progress: report,
    completed: complete,
    error: ({ message }) => {
      refuse(message);
      return "error";
    },
  };

  async function start() {
    if (running !== null) return;
    const code = editor.value;
    if (!code.trim()) {
      say("There is no code to run");
      return;
    }
    running = new AbortController();
    const { signal } = running;
    begin();
    let ended = "interrupted";
    try {
      const csrf = { [root.dataset.csrfHeader]: form.elements.csrfmiddlewaretoken.value };
      for await (const { name, data } of codemodeEvents(root.dataset.streamUrl, code, csrf, signal)) {
        ended = take[name]?.(data) ?? ended;
      }
      if (ended === "interrupted") refuse("The connection ended before the run did.");
    } catch (error) {
      if (signal.aborted) {
        ended = "cancelled";
        progress.hidden = true;
        say(endsAtOnce ? "Cancelled" : "Left. The code ends within seconds, or when the tool at work has ended");
      } else {
        refuse(error.message);
      }
    } finally {
      // Of calls that have not been told to end.
      end(ended === "cancelled" ? endsAtOnce : ended !== "interrupted");
    }
    history.add({ code, status: ended, at: Date.now() });
  }

  function stop() {
    running?.abort();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  cancel.addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      start();
    } else if (event.key === "Escape") {
      stop();
    }
  });
  for (const button of inserts) {
    button.disabled = false;
    codemodeHighlight(button.querySelector("code"), button.textContent, toolNames);
    button.addEventListener("click", () => editor.insert(button.dataset.insert));
  }
  find("filter")?.addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const item of document.querySelectorAll("#codemode-tools > li")) {
      item.hidden = !item.textContent.toLowerCase().includes(wanted);
    }
  });

  root.classList.add("codemode-live");
  prepareOutcome();
})();
