"use strict";

/* The tokens of Python, and its colours as spans with classes: a tokenizer, not a parser. */
const codemodePython = (() => {
  const LONGEST = 50_000; // characters; beyond them typing would lag
  const keywords = new Set(
    ("False None True and as assert async await break class continue def del elif else except " +
      "finally for from global if import in is lambda nonlocal not or pass raise return try while " +
      "with yield match case type").split(" "),
  );
  const builtins = new Set(
    ("abs all any bool bytes dict enumerate filter float frozenset int isinstance len list map max " +
      "min next print progress range repr result reversed round set sorted str sum tools tuple type " +
      "zip").split(" "),
  );
  const prefix = "(?:[rRbBuUfFtT]{1,2})?";
  const token = new RegExp(
    [
      "(?<comment>#[^\\n]*)",
      `(?<string>${prefix}(?:"""(?:\\\\[\\s\\S]|[^\\\\])*?(?:"""|$)|'''(?:\\\\[\\s\\S]|[^\\\\])*?(?:'''|$)` +
        `|"(?:\\\\[\\s\\S]|[^"\\\\\\n])*"?|'(?:\\\\[\\s\\S]|[^'\\\\\\n])*'?))`,
      "(?<number>\\b(?:0[xXoObB][\\da-fA-F_]+|\\d[\\d_]*(?:\\.[\\d_]*)?(?:[eE][+-]?\\d+)?|\\.\\d[\\d_]*)[jJ]?)",
      "(?<name>[\\p{L}_][\\p{L}\\p{N}_]*(?:\\.[\\p{L}_][\\p{L}\\p{N}_]*)*)",
    ].join("|"),
    "gu",
  );

  /* Yield {kind, text, index} for each comment, string, number and dotted name; for what is too long, nothing. */
  function* tokens(code) {
    for (const match of code.length > LONGEST ? [] : code.matchAll(token)) {
      const [kind, text] = Object.entries(match.groups).find(([, found]) => found !== undefined);
      yield { kind, text, index: match.index };
    }
  }

  /* Return those of the names that the code has, even as the text of a string or within an f-string. */
  function named(code, names) {
    const words = (text) => [...names].filter((name) => new RegExp(`(?<![\\w.])${name.replaceAll(".", "\\s*\\.\\s*")}(?!\\w)`, "u").test(text));
    if (code.length > LONGEST) return words(code);
    const found = new Set();
    for (const { kind, text } of tokens(code.replaceAll(/[ \t]*\.[ \t]*/g, "."))) {
      if (kind === "name") {
        const parts = text.split(".");
        for (let end = 1; end <= parts.length; end += 1) found.add(parts.slice(0, end).join("."));
      } else if (kind === "string") {
        const [, letters, inner] = /^([a-z]*)["']+([^]*?)["']*$/iu.exec(text);
        if (/[ft]/i.test(letters)) for (const name of words(inner)) found.add(name);
        else found.add(inner);
      }
    }
    return [...names].filter((name) => found.has(name));
  }

  function pieces(name, toolNames, attribute) {
    if (toolNames.has(name)) return [["name-tool", name]];
    const [first, ...rest] = name.split(".");
    const tail = rest.length ? [[null, `.${rest.join(".")}`]] : [];
    if (attribute) return [[null, name]];
    if (toolNames.has(first)) return [["name-tool", first], ...tail];
    if (keywords.has(first)) return [["keyword", first], ...tail];
    if (builtins.has(first)) return [["builtin", first], ...tail];
    return [[null, name]];
  }

  /* Fill an element with the code, coloured; toolNames is a Set. */
  function highlight(element, code, toolNames) {
    const fragment = document.createDocumentFragment();
    const add = (kind, text) => {
      if (kind === null) return fragment.append(text);
      const span = document.createElement("span");
      span.className = `codemode-${kind}`;
      span.textContent = text;
      return fragment.append(span);
    };
    let done = 0;
    for (const { kind, text, index } of tokens(code)) {
      if (index > done) add(null, code.slice(done, index));
      if (kind !== "name") add(kind, text);
      else for (const [piece, part] of pieces(text, toolNames, code[index - 1] === ".")) add(piece, part);
      done = index + text.length;
    }
    add(null, code.slice(done));
    element.replaceChildren(fragment);
  }

  return { tokens, named, highlight };
})();
