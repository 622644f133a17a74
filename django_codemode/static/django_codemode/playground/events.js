"use strict";

/* The events of a run, from the server-sent events of a POST request. */
const codemodeEvents = (() => {
  /* Yield {name, data} for each event of the response's body. */
  async function* parse(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let searched = 0;
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        rest += value;
        let end;
        while ((end = rest.indexOf("\n\n", searched)) >= 0) {
          const event = read(rest.slice(0, end));
          rest = rest.slice(end + 2);
          searched = 0;
          if (event !== null) yield event;
        }
        searched = Math.max(0, rest.length - 1);
      }
    } finally {
      reader.cancel().catch(() => {}); // It may have been cancelled by the signal before.
    }
  }

  function read(block) {
    let name = "message";
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    }
    return data.length ? { name, data: JSON.parse(data.join("\n")) } : null; // A comment is no event.
  }

  /* Say why an answer is no stream of events. */
  async function refusal(response) {
    const type = response.headers.get("Content-Type") ?? "";
    if (type.startsWith("application/json")) {
      const { error } = await response.json();
      return error.message;
    }
    if (response.status >= 500) return `The server failed (${response.status}); its log has the reason.`;
    return `The server answered ${response.status} instead of running the code. Reload the page; you may have been logged out.`;
  }

  /* Yield the events of a run. body is JSON, csrf the header that proves whose page it is. An abort of the signal ends the run on the server. */
  return async function* run(url, body, csrf, signal) {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...csrf },
      body,
      credentials: "same-origin",
      signal,
    });
    const type = response.headers.get("Content-Type") ?? "";
    if (!response.ok || !type.startsWith("text/event-stream")) throw new Error(await refusal(response));
    yield* parse(response.body);
  };
})();
