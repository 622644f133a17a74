/* Colours for Python: enough for short programs to be read easily. */

const KEYWORDS = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from global if " +
    "import in is lambda nonlocal not or pass raise return try while with yield").split(" "),
);
const TOKEN =
  /(?<comment>#[^\n]*)|(?<string>[bfr]{0,2}(?:"""[^]*?(?:"""|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))|(?<number>\b\d[\w.]*)|(?<name>[\p{L}_][\p{L}\p{N}_]*)/giu;

/* Fill an element with code; the names of tools are a Set. */
export function highlight(element, code, toolNames) {
  const parts = [];
  let done = 0;
  for (const { 0: text, index, groups } of code.matchAll(TOKEN)) {
    const kind = kindOf(groups, text, toolNames);
    if (kind === undefined) continue;
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    parts.push(code.slice(done, index), span);
    done = index + text.length;
  }
  element.replaceChildren(...parts, code.slice(done));
}

function kindOf({ comment, string, number }, text, toolNames) {
  if (comment) return "comment";
  if (string) return "string";
  if (number) return "number";
  if (KEYWORDS.has(text)) return "keyword";
  return toolNames.has(text) ? "tool" : undefined;
}
