"use strict";

/* Suggestions while one types: tools, their arguments, and the fields of what they return.

The textarea stays a text field that points to a list of options. Nothing is chosen until an arrow
key chooses it, so that Enter and Tab keep their meaning. */
class CodemodeCompletion {
  static MOST = 8;
  #editor;
  #list;
  #status;
  #tools;
  #found = null; // {start, end, options} while the list is open
  #chosen = -1;

  /* tools maps names to {parameters, fields}. */
  constructor(editor, list, status, tools) {
    this.#editor = editor;
    this.#list = list;
    this.#status = status;
    this.#tools = tools;
    const { textarea } = editor;
    editor.assistant = this;
    textarea.setAttribute("aria-autocomplete", "list");
    textarea.setAttribute("aria-controls", list.id);
    textarea.addEventListener("input", (event) => this.#typed(event));
    for (const name of ["blur", "click"]) textarea.addEventListener(name, () => this.#close());
    textarea.addEventListener("scroll", () => this.#place());
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // The focus stays in the editor.
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option !== null) this.#accept([...list.children].indexOf(option));
    });
  }

  /* Return whether a key was for the list; it is not handled otherwise then. */
  pressed(event) {
    if (event.isComposing || event.altKey || event.metaKey) return false;
    if (event.ctrlKey) {
      if (event.key === " ") this.#open(0);
      else this.#close();
      return event.key === " ";
    }
    if (this.#found === null) return false;
    const { length } = this.#found.options;
    if (event.key === "ArrowDown") this.#choose((this.#chosen + 1) % length);
    else if (event.key === "ArrowUp") this.#choose((Math.max(this.#chosen, 0) + length - 1) % length);
    else if (event.key === "Enter" && this.#chosen >= 0) this.#accept(this.#chosen);
    else {
      if (event.key === "Escape") {
        this.#close();
        event.stopPropagation(); // It closes the list, and cancels no run.
      } else if (!["Shift", "Backspace"].includes(event.key) && event.key.length > 1) {
        this.#close();
      }
      return false;
    }
    return true;
  }

  #typed(event) {
    if (event.inputType === "insertText" || event.inputType === "deleteContentBackward") this.#open(2);
    else this.#close();
  }

  /* Show what fits at the cursor, for names of which at least this many characters are there. */
  #open(least) {
    const { textarea } = this.#editor;
    const position = textarea.selectionStart;
    const found = position === textarea.selectionEnd ? this.#find(textarea.value, position, least) : null;
    if (found === null || !found.options.length) {
      this.#close();
      return;
    }
    this.#found = found;
    this.#list.replaceChildren(
      ...found.options.map(({ text, kind }, index) => {
        const [option, note] = [document.createElement("li"), document.createElement("span")];
        option.id = `${this.#list.id}-${index}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        note.textContent = kind;
        option.append(text, note);
        return option;
      }),
    );
    this.#list.hidden = false;
    this.#place();
    this.#choose(-1);
    this.#status.textContent = `${found.options.length} suggestion${found.options.length === 1 ? "" : "s"}, arrow down chooses`;
  }

  /* Put the list under the word, as far to the right as it fits. */
  #place() {
    if (this.#found === null) return;
    const { x, y } = this.#editor.place(this.#found.start);
    const most = this.#list.parentElement.clientWidth - this.#list.offsetWidth;
    this.#list.style.left = `${Math.max(0, Math.min(x, most))}px`;
    this.#list.style.top = `${y}px`;
  }

  #close() {
    if (this.#found === null) return;
    this.#found = null;
    this.#list.hidden = true;
    this.#list.replaceChildren();
    this.#editor.textarea.removeAttribute("aria-activedescendant");
    this.#status.textContent = "";
  }

  #choose(index) {
    this.#chosen = index;
    const { textarea } = this.#editor;
    textarea.removeAttribute("aria-activedescendant");
    [...this.#list.children].forEach((option, place) => {
      option.setAttribute("aria-selected", String(place === index));
      if (place !== index) return;
      textarea.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    });
  }

  #accept(index) {
    const { start, end, options } = this.#found;
    this.#close();
    this.#editor.textarea.setSelectionRange(start, end);
    this.#editor.insert(options[index].insert);
    this.#close(); // The insertion was no typing.
  }

  #find(code, position, least) {
    const before = code.slice(0, position);
    const field = /\[\s*(["'])([^"'\n[\]]*)$/.exec(before);
    if (field !== null) return this.#fields(before, field);
    const typed = /[\p{L}_][\p{L}\p{N}_.]*$/u.exec(before)?.[0] ?? "";
    const start = position - typed.length;
    if (typed.length < least || /[\p{L}\p{N}_)\]"'.]$/u.test(before.slice(0, start)) || isInText(before.slice(0, start))) return null;
    const tool = calledIn(before.slice(0, start));
    const given = this.#tools.get(tool?.name)?.parameters.filter((name) => !tool.given.has(name)) ?? [];
    const all = [
      ...given.map((name) => ({ text: name, insert: `${name}=`, kind: "argument" })),
      ...[...this.#tools.keys()].map((name) => ({ text: name, insert: `${name}()`, kind: "tool" })),
    ];
    return { start, end: position, options: matching(all, typed) };
  }

  /* The fields of the tools that the code names, inside of the quotes of a subscript. */
  #fields(before, [, quote, typed]) {
    const names = codemodePython.named(before, new Set(this.#tools.keys()));
    const fields = new Set(names.flatMap((name) => this.#tools.get(name).fields));
    const all = [...fields].map((name) => ({ text: name, insert: name + quote, kind: "field" }));
    return { start: before.length - typed.length, end: before.length, options: matching(all, typed, true) };
  }
}

function matching(options, typed, evenWhole = false) {
  const wanted = typed.toLowerCase();
  return options
    .filter(({ text }) => text.toLowerCase().startsWith(wanted) && (evenWhole || text !== typed))
    .slice(0, CodemodeCompletion.MOST);
}

/* Whether the code ends within a comment or a string. */
function isInText(code) {
  let last = null;
  for (const token of codemodePython.tokens(`${code}\u{7f}`)) last = token;
  if (last === null || last.index + last.text.length <= code.length) return false;
  return last.kind === "comment" || last.kind === "string";
}

/* Return the call in whose parentheses the code ends: its {name, given}, the names of its arguments. */
function calledIn(code) {
  let depth = 0;
  const given = new Set();
  for (let index = code.length - 1; index >= 0 && code.length - index < 2_000; index -= 1) {
    const character = code[index];
    if (")]}".includes(character)) depth += 1;
    else if ("[{".includes(character)) depth -= 1;
    else if (character === "(" && depth === 0) {
      const name = /([\p{L}_][\p{L}\p{N}_.]*)\s*$/u.exec(code.slice(0, index));
      return name === null ? null : { name: name[1], given };
    } else if (character === "(") depth -= 1;
    else if (character === "=" && depth === 0) {
      const name = /([\p{L}_][\p{L}\p{N}_]*)\s*$/u.exec(code.slice(0, index));
      if (name !== null) given.add(name[1]);
    }
    if (depth < 0) return null;
  }
  return null;
}
