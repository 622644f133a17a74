"use strict";

/* What a person may copy: code as a program, or as a command of a shell. */
const codemodeClipboard = (() => {
  async function write(text) {
    if (navigator.clipboard !== undefined) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // The page came by plain HTTP, where browsers have no clipboard but this one.
    const area = document.createElement("textarea");
    area.value = text;
    const former = document.activeElement;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    former?.focus();
    if (!copied) throw new Error("the browser refused");
  }

  /* A string of Python: over several lines where that says the same. */
  function literal(text) {
    if (!text.includes("\n") || /\\|"""|"$|\r/.test(text)) return JSON.stringify(text);
    return `"""\\\n${text}"""`;
  }

  /* A program for manage.py shell. inputs is JSON or "", others are names of the context. */
  function python({ code, inputs, profile, user, others }) {
    const options = [
      "code",
      ...(inputs ? [`inputs=json.loads(${JSON.stringify(inputs)})`] : []),
      ...(profile ? [`profile=${JSON.stringify(profile)}`] : []),
    ];
    return [
      "# For: python manage.py shell",
      ...(inputs ? ["import json", ""] : []),
      "from django.contrib.auth import get_user_model",
      "",
      "from django_codemode import get_codemode",
      "",
      `code = ${literal(code)}`,
      "codemode = get_codemode()",
      `user = get_user_model().objects.get_by_natural_key(${JSON.stringify(user)})`,
      ...(others.length ? [`# The page's context also had: ${others.join(", ")}`] : []),
      "with codemode.registry.context(user=user):",
      `    print(codemode.execute(${options.join(", ")}))`,
      "",
    ].join("\n");
  }

  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  /* A command with variables in the place of secrets. body is JSON on one line. */
  function curl({ url, body, session, csrf, csrfHeader }) {
    return [
      `# SESSION and CSRF: the values of your cookies ${session} and ${csrf}. For a view that takes tokens,`,
      '# put --header "Authorization: Bearer $TOKEN" in their place.',
      `curl --no-buffer ${quoted(url)} \\`,
      "  --header 'Content-Type: application/json' \\",
      `  --header "Cookie: ${session}=$SESSION; ${csrf}=$CSRF" \\`,
      `  --header "${csrfHeader}: $CSRF" \\`,
      `  --referer ${quoted(url)} \\`,
      "  --data-binary @- <<'JSON'",
      body,
      "JSON",
      "",
    ].join("\n");
  }

  return { write, python, curl };
})();
