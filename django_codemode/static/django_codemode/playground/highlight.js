"use strict";

/* Colours for Python, as spans with classes: a tokenizer, not a parser. */
const codemodeHighlight = (() => {
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
  return function highlight(element, code, toolNames) {
    const fragment = document.createDocumentFragment();
    const add = (kind, text) => {
      if (kind === null) return fragment.append(text);
      const span = document.createElement("span");
      span.className = `codemode-${kind}`;
      span.textContent = text;
      return fragment.append(span);
    };
    let done = 0;
    for (const match of code.length > LONGEST ? [] : code.matchAll(token)) {
      if (match.index > done) add(null, code.slice(done, match.index));
      const { comment, string, number, name } = match.groups;
      if (comment !== undefined) add("comment", comment);
      else if (string !== undefined) add("string", string);
      else if (number !== undefined) add("number", number);
      else for (const [kind, text] of pieces(name, toolNames, code[match.index - 1] === ".")) add(kind, text);
      done = match.index + match[0].length;
    }
    add(null, code.slice(done));
    element.replaceChildren(fragment);
  };
})();
