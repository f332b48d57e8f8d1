// A program without an SDK: Node's own `fetch`.

import { GREETING, assembled, common, here, play, whole } from "./scenarios.mjs";

class Refused extends Error {
  constructor(status, body) {
    super(`${status}: ${body}`);
    Object.assign(this, { status, body });
  }
}

async function post(root, key, body, options) {
  const response = await fetch(`${root}/api/paas/v4/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model: "glm-4.6", ...body }),
    ...options,
  });
  if (!response.ok) throw new Refused(response.status, await response.text());
  return response;
}

/** The events of a stream; it must end with `[DONE]`. */
async function* events(response) {
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ")) throw new Error(`no data: ${part}`);
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.slice("data: ".length));
    }
  }
  throw new Error("the stream ended without [DONE]");
}

const connect = (key) => ({
  chat: async (messages, fields) => whole(await (await post(here.root, key, { messages, ...fields })).json()),
  stream: async (messages, fields) =>
    assembled(events(await post(here.root, key, { messages, stream: true, ...fields }))),
});

const slow = (content, options) =>
  post(here.slow_root, here.slow_key, { messages: [{ role: "user", content }], stream: true }, options);

async function cancelled() {
  const controller = new AbortController();
  const read = [];
  for await (const chunk of events(await slow("count", { signal: controller.signal }))) {
    read.push(chunk.choices[0].delta.content);
    if (read.length === 3) break;
  }
  controller.abort();
  return { read, left_s: Date.now() / 1000 };
}

/** A body whose length is not known beforehand: `fetch` sends it in chunks. */
async function streamedBody() {
  const text = JSON.stringify({ model: "glm-4.6", messages: GREETING });
  const response = await fetch(`${here.root}/api/paas/v4/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${here.key}` },
    body: new Blob([text.slice(0, 20), text.slice(20)]).stream(),
    duplex: "half",
  });
  return whole(await response.json()).seen;
}

await play("fetch", {
  ...common(connect),
  "streamed-body": streamedBody,
  models: async () =>
    (await fetch(`${here.root}/api/paas/v4/models`, { headers: { Authorization: `Bearer ${here.key}` } })).json(),
  cancelled,
  separators: async () => (await assembled(events(await slow("separators")))).seen,
});
