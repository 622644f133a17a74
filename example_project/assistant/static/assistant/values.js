/* Values and files that code has made, as elements. All of it is untrusted: it becomes text only. */

const MAX_ROWS = 100;
const MAX_COLUMNS = 12;
const MAX_CELL = 200;
const MAX_TEXT = 20_000;
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

export function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/* Return an element that shows a value of JSON, or null where there is nothing to show. */
export function valueElement(value) {
  if (value === null) return null;
  if (isRecord(value)) return table([value]);
  if (Array.isArray(value) && value.length && value.every(isRecord)) return table(value);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const block = make("pre", shorten(text, MAX_TEXT));
  block.tabIndex = 0;
  return block;
}

/* Return a figure for a picture, a link to save for any other file. */
export function fileElement({ name, media_type: type, data }) {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const isPicture = PICTURES.has(type);
  const url = URL.createObjectURL(new Blob([bytes], { type: isPicture ? type : "application/octet-stream" }));
  const link = make("a", `Save ${shorten(name, MAX_CELL)}`);
  link.href = url;
  link.download = name;
  if (!isPicture) return link;
  const figure = make("figure");
  const picture = new Image();
  picture.alt = `Picture made by the code: ${shorten(name, MAX_CELL)}`;
  picture.src = url;
  picture.addEventListener("error", () => picture.replaceWith("The picture cannot be shown."));
  const caption = make("figcaption");
  caption.append(link);
  figure.append(picture, caption);
  return figure;
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function table(rows) {
  const shown = rows.slice(0, MAX_ROWS);
  const columns = [...new Set(shown.flatMap(Object.keys))].slice(0, MAX_COLUMNS);
  const numeric = new Set(columns.filter((name) => shown.every((row) => isNumber(row[name]))));
  const element = make("table");
  const left = rows.length - shown.length;
  if (rows.length > 1) element.append(make("caption", `${rows.length} rows${left ? `, ${left} of them not shown` : ""}`));
  const head = element.createTHead().insertRow();
  for (const name of columns) {
    const cell = make("th", shorten(name, MAX_CELL), numeric.has(name) ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  }
  const body = element.createTBody();
  for (const row of shown) {
    const line = body.insertRow();
    for (const name of columns) line.append(make("td", cellText(row[name]), numeric.has(name) ? "number" : ""));
  }
  const scroll = make("div", "", "scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Result as a table");
  scroll.append(element);
  return scroll;
}

function isNumber(value) {
  return typeof value === "number" || (typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value));
}

function cellText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "string") return shorten(JSON.stringify(value), MAX_CELL);
  const moment = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d[\d.]*(Z|[+-]\d\d:\d\d)?$/.exec(value);
  return moment ? `${moment[1]} ${moment[2]}` : shorten(value, MAX_CELL);
}
