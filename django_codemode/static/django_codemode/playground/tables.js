"use strict";

/* Return the nodes of what the server has made of a value: its templates have escaped it. */
function codemodeParsed(html) {
  return [...new DOMParser().parseFromString(html, "text/html").body.childNodes];
}

/* Divide the rows of long tables into pages. */
function codemodePages(element) {
  const SIZE = 50; // rows
  for (const box of element.querySelectorAll(".codemode-table-box")) {
    const rows = [...box.querySelectorAll(":scope > .codemode-scroll > table > tbody > tr")];
    if (rows.length <= SIZE) continue;
    const pager = box.querySelector(":scope > .codemode-table-head > .codemode-pager");
    const [back, on] = pager.querySelectorAll("button");
    const show = (first) => {
      rows.forEach((row, index) => (row.hidden = index < first || index >= first + SIZE));
      pager.querySelector(".codemode-page-rows").textContent = `${first + 1}–${Math.min(first + SIZE, rows.length)}`;
      for (const [button, next] of [[back, first - SIZE], [on, first + SIZE]]) {
        // Not disabled, which would lose the focus.
        button.setAttribute("aria-disabled", String(next < 0 || next >= rows.length));
        button.onclick = () => next >= 0 && next < rows.length && show(next);
      }
      box.querySelector(":scope > .codemode-scroll").scrollTop = 0;
    };
    pager.hidden = false;
    show(0);
  }
}
