"use strict";

/* Joins the page: what runs, what is shown while it runs, and the keys. */
(() => {
  const find = (id) => document.getElementById(`codemode-${id}`);
  const root = find("playground");
  const form = find("form");
  const [run, cancel, status] = [find("run"), find("cancel"), find("status")];
  const [refusal, outcome] = [find("refusal"), find("outcome")];
  const [progress, progressBar, progressNote] = [find("progress"), find("progress-bar"), find("progress-note")];
  const cards = [...document.querySelectorAll("#codemode-tools > li")];
  const toolNames = new Set(cards.map((card) => card.dataset.name));
  const marks = new Map(cards.filter((card) => card.dataset.writes).map((card) => [card.dataset.name, card.dataset.writes]));
  const editor = new CodemodeEditor(find("editor"), find("code"), toolNames);
  const output = new CodemodeOutput(find("output-section"), find("output"), find("output-left-out"));
  const timeline = new CodemodeTimeline(find("calls-section"), find("calls"), find("call"), prepareValues);
  const history = new CodemodeHistory(root.dataset.historyKey, {
    heading: find("history-heading"),
    list: find("history"),
    empty: find("history-empty"),
    clear: find("history-clear"),
    choose: (code) => editor.replace(0, editor.value.length, code),
  });
  const options = new CodemodeOptions({
    box: find("options"),
    inputs: find("inputs"),
    profile: find("profile"),
    user: find("as-user"),
    error: find("inputs-error"),
  });
  const draft = new CodemodeDraft(
    `${root.dataset.historyKey}.draft`,
    { code: editor, inputs: find("inputs"), profile: find("profile") },
    (error) => say(`This browser keeps no draft: ${error.message}`),
  );
  const confirmation = new CodemodeConfirmation(find("confirmation"), {
    list: find("confirmation-tools"),
    remember: find("confirmation-remember"),
    confirm: find("confirm"),
    decline: find("decline"),
  });
  // A WSGI server learns that the browser has left when it next writes to it.
  const endsAtOnce = root.dataset.endsAtOnce === "true";
  let running = null; // the AbortController of the present run
  let copy = null; // the text of the last result

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
    find("result-section").hidden = true;
    output.clear();
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

  function end(isKnown, whole) {
    output.flush();
    timeline.end(isKnown ? "cancelled" : "not known", whole);
    run.disabled = false;
    if (document.activeElement === cancel) run.focus();
    cancel.disabled = true;
    editor.isBusy = false;
    root.removeAttribute("aria-busy");
    running = null;
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

  function prepareValues(element) {
    codemodePages(element);
    for (const picture of element.querySelectorAll("img")) {
      picture.addEventListener("error", () => picture.replaceWith("This browser cannot show the picture, or the site's policy forbids it."));
    }
  }

  function prepareOutcome() {
    for (const button of outcome.querySelectorAll(".codemode-line")) {
      button.disabled = false;
      button.title = "Go to the line";
      editor.markLine(Number(button.dataset.line));
      button.addEventListener("click", () => editor.goToLine(Number(button.dataset.line)));
    }
    prepareValues(outcome);
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

  function complete({ status: ended, error, duration_ms: duration, html, copy: text }) {
    progress.hidden = true;
    if (ended === "completed") say(`Completed in ${Math.round(duration)} ms`, "completed");
    else say(`${error?.type ?? ended}${error?.line ? ` on line ${error.line}` : ""}`, "wrong");
    copy = text;
    find("copy-result").hidden = copy === null;
    outcome.replaceChildren(...codemodeParsed(html));
    find("result-section").hidden = false;
    prepareOutcome();
    return ended;
  }

  const take = {
    started: ({ context }) => {
      say("Running…");
      showContext(context);
    },
    output: (data) => output.print(data),
    tool_call_started: (data) => timeline.started(data),
    tool_call_finished: (data) => timeline.finished(data),
    progress: report,
    completed: complete,
    error: ({ message }) => {
      refuse(message);
      return "error";
    },
  };

  /* Whether the person wants to run code that names tools which may write. */
  async function isConfirmed(code) {
    const named = codemodePython.named(code, new Set(marks.keys())).filter((name) => !draft.isAllowed(name));
    if (!named.length) return true;
    const { runs, remembers } = await confirmation.ask(named.map((name) => [name, marks.get(name)]));
    if (remembers) draft.allow(named);
    return runs;
  }

  async function start() {
    if (running !== null) return;
    const code = editor.value;
    if (!code.trim()) {
      say("There is no code to run");
      return;
    }
    if (options.wrong()) {
      say("Not run: the inputs are wrong", "wrong");
      return;
    }
    const request = options.request(code);
    running = new AbortController();
    const { signal } = running;
    if (!(await isConfirmed(code))) {
      running = null;
      say("Not run");
      return;
    }
    begin();
    let ended = "interrupted";
    let whole = 0;
    try {
      const csrf = { [root.dataset.csrfHeader]: form.elements.csrfmiddlewaretoken.value };
      for await (const { name, data } of codemodeEvents(root.dataset.streamUrl, request, csrf, signal)) {
        ended = take[name]?.(data) ?? ended;
        whole = data.wall_ms ?? whole;
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
      end(ended === "cancelled" ? endsAtOnce : ended !== "interrupted", whole);
    }
    history.add({ code, status: ended, at: Date.now() });
  }

  function stop() {
    running?.abort();
  }

  /* Put a text into the clipboard, and say so. */
  async function copied(text, what) {
    try {
      await codemodeClipboard.write(text);
      say(`Copied ${what}`);
    } catch (error) {
      say(`Not copied: ${error.message}`, "wrong");
    }
  }

  function copyAsPython() {
    const names = [...document.querySelectorAll("#codemode-context dt")].map((term) => term.textContent);
    const program = codemodeClipboard.python({
      code: editor.value,
      inputs: options.inputs,
      profile: options.profile,
      user: options.user || root.dataset.username,
      others: names.filter((name) => !["user", "real_user", "request_id"].includes(name)),
    });
    copied(program, "as Python");
  }

  function copyAsCurl() {
    if (options.wrong()) {
      say("Not copied: the inputs are wrong", "wrong");
      return;
    }
    // Only the playground's own view knows these two.
    const ownView = options.profile || options.user;
    const command = codemodeClipboard.curl({
      url: ownView ? new URL(root.dataset.streamUrl, location.href).href : root.dataset.curlUrl,
      body: options.request(editor.value),
      session: root.dataset.sessionCookie,
      csrf: root.dataset.csrfCookie,
      csrfHeader: root.dataset.csrfHeader,
    });
    copied(command, "as curl");
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  form.addEventListener("input", () => draft.changed());
  cancel.addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      start();
    } else if (event.key === "Escape") {
      stop();
    }
  });
  for (const card of cards) {
    const button = card.querySelector(".codemode-tool");
    button.disabled = false;
    codemodePython.highlight(button.querySelector("code"), button.textContent, toolNames);
    button.addEventListener("click", () => editor.insert(button.dataset.insert));
  }
  find("filter")?.addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const card of cards) card.hidden = !card.textContent.toLowerCase().includes(wanted);
  });
  find("copy-code").addEventListener("click", () => copied(editor.value, "the code"));
  find("copy-result").addEventListener("click", () => copied(copy, "the result"));
  find("copy-python").addEventListener("click", copyAsPython);
  find("copy-curl").addEventListener("click", copyAsCurl);
  find("clear-draft").addEventListener("click", () => {
    options.clear();
    editor.replace(0, editor.value.length, root.dataset.starter);
    draft.clear();
    say("The draft is forgotten");
  });

  // A page that shows an outcome shows the code of that outcome.
  if (find("result-section").hidden && !refusal.childElementCount) draft.restore();
  options.reveal();
  new CodemodeCompletion(
    editor,
    find("suggestions"),
    find("suggestions-status"),
    new Map(cards.map(({ dataset }) => [dataset.name, { parameters: JSON.parse(dataset.parameters), fields: JSON.parse(dataset.fields) }])),
  );
  root.classList.add("codemode-live");
  prepareOutcome();
  for (const value of document.querySelectorAll(".codemode-call-value")) prepareValues(value);
})();
