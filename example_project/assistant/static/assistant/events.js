/* The server-sent events of a POST request. */

/* Send a form and yield {name, data} for each event. An abort of the signal ends the run on the server. */
export async function* eventsOf(url, body, signal) {
  const response = await fetch(url, { method: "POST", body, signal });
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.startsWith("text/event-stream")) {
    const text = type.startsWith("text/plain") ? await response.text() : "";
    throw new Error(text || `The server answered ${response.status} instead of an answer. Reload the page.`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = read(block);
      if (event !== null) yield event;
    }
  }
}

function read(block) {
  const fields = Object.fromEntries(
    block.split("\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
    }),
  );
  return fields.data ? { name: fields.event, data: JSON.parse(fields.data) } : null; // A comment is no event.
}
